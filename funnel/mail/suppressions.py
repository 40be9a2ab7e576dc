"""SendGrid's suppression lists, page by page, through its SDK."""

import http.client
import logging
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

PAGE = 500  # the most that SendGrid gives at once
LONGEST_S = 20.0
_TRY_AGAIN = frozenset({408, 425, 429})


class List(StrEnum):
    """The lists by the names that they have in the API's addresses."""

    SPAM_REPORTS = "spam_reports"
    BOUNCES = "bounces"
    INVALID_EMAILS = "invalid_emails"
    UNSUBSCRIBES = "unsubscribes"
    BLOCKS = "blocks"


class Entry(NamedTuple):
    """An address, and when it came on the list (epoch milliseconds)."""

    address: str
    at_ms: int


class Page(NamedTuple):
    """What is of use on one page of a list, and how much stands there in all: nothing beyond the end."""

    entries: list[Entry]
    size: int


class ListFault(Exception):
    """A list cannot be read; `temporary`: later it may be. The message holds nothing of what was answered."""

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


class Suppressions:
    def __init__(self, key: str, url: str) -> None:
        # At DEBUG the SDK's client logs the key, and every address of an answer.
        logging.getLogger("python_http_client.client").disabled = True
        self._client = SendGridAPIClient(api_key=key, host=url).client
        self._client.timeout = LONGEST_S

    def page(self, list_: List, offset: int, since_ms: int, until_ms: int) -> Page:
        """The page of a list from `offset` on, of what came on it between these moments. Raises ListFault."""
        asked = {"limit": PAGE, "offset": offset, "end_time": until_ms // 1000}
        if since_ms > 0:
            asked["start_time"] = since_ms // 1000
        found = self._get(list_, asked)
        return Page(list(_entries(found)), len(found))

    def _get(self, list_: List, asked: dict[str, int]) -> list[Any]:
        try:
            body = self._client.suppression._(list_.value).get(query_params=asked).body
        except HTTPError as error:
            status = int(error.status_code)
            raise ListFault(f"answer {status}", temporary=status in _TRY_AGAIN or status >= 500) from None
        except (OSError, http.client.HTTPException):
            raise ListFault("no answer", temporary=True) from None
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, list):
            raise ListFault("an answer that is no list", temporary=True)
        return found


def _entries(found: list[Any]) -> Iterator[Entry]:
    """Those that say who and when; others are no entries."""
    for each in found:
        if isinstance(each, dict):
            address, created = each.get("email"), each.get("created")
            if isinstance(address, str) and address.isprintable() and type(created) is int and 0 <= created < 10**11:
                yield Entry(address, created * 1000)
