"""Forgetting somebody where their mail went: the files of a local outbox, and what SendGrid keeps of a recipient."""

import http.client
import logging
from collections.abc import Iterable
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from python_http_client.exceptions import HTTPError

LONGEST_S = 20.0
TRY_AGAIN = frozenset({408, 425, 429})


class EraseFault(Exception):
    """Nobody could be told. The message is short, and holds nothing of what was asked or answered."""

    def __init__(self, message: str, *, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


class Forgets(Protocol):
    """Asking twice for the same person is as good as once."""

    def forget(self, address: str, messages: Iterable[str]) -> None:
        """Forgets a recipient and these messages. Raises EraseFault."""


class OutboxFiles:
    """A message is a file, named for it; one that is just being written has another ending. Whatever else went to the
    address is found by looking into every file: rows that named older ones may be gone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def forget(self, address: str, messages: Iterable[str]) -> None:
        try:
            for name in messages:
                for path in (self.folder / f"{name}.eml", *self.folder.glob(f"{name}.*.part")):
                    path.unlink(missing_ok=True)
            for path in self.folder.glob("*.eml"):
                if address and _goes_to(path, address):
                    path.unlink(missing_ok=True)
        except OSError:
            raise EraseFault("outbox: a file stays", temporary=True) from None


def _goes_to(path: Path, address: str) -> bool:
    with path.open("rb") as file:
        headers = BytesHeaderParser().parse(file)
    return parseaddr(str(headers["To"] or ""))[1].lower() == address.lower()


class SendGridRecipients:
    """SendGrid's Recipients' Data Erasure API: it deletes the personal data of a recipient, some time after it agreed.

    The key needs the scope recipients.erasejob.create.
    """

    def __init__(self, key: str, url: str) -> None:
        self._key = key
        self._url = url

    @cached_property
    def _client(self) -> Any:
        from sendgrid import SendGridAPIClient  # slow to load, large, and seldom of use

        # At DEBUG the SDK's client logs the key, and the body of a request.
        logging.getLogger("python_http_client.client").disabled = True
        client = SendGridAPIClient(api_key=self._key, host=self._url).client
        client.timeout = LONGEST_S
        return client

    def forget(self, address: str, messages: Iterable[str]) -> None:  # noqa: ARG002 -- all of a recipient's at once
        if not address:
            return
        try:
            self._client.recipients.erasejob.post(request_body={"email_addresses": [address]})
        except HTTPError as error:
            status = int(error.status_code)
            raise EraseFault(f"answer {status}", temporary=status in TRY_AGAIN or status >= 500) from None
        except (OSError, http.client.HTTPException):
            raise EraseFault("no answer", temporary=True) from None


class All:
    """Every place where something of a person may lie."""

    def __init__(self, places: Iterable[Forgets]) -> None:
        self._places = tuple(places)

    def forget(self, address: str, messages: Iterable[str]) -> None:
        names = tuple(messages)
        for place in self._places:
            place.forget(address, names)
