"""What each of SendGrid's answers means for a batch."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from funnel.core.delivery import Fate, Health, Report, State
from funnel.mail.provider import Mailing

SOON_MS = 30_000
LATER_MS = 10 * 60_000


class Meaning(NamedTuple):
    """An answer's part that does not hang on what else it says. Without a reason, the status is the reason."""

    state: State
    health: Health
    retry_ms: int = 0
    reason: str = ""


_REFUSED = Meaning(State.PLANNED, Health.REFUSING, LATER_MS)
_IN_DOUBT = Meaning(State.UNKNOWN, Health.FAILING)

MEANINGS: dict[int, Meaning] = {
    202: Meaning(State.ACCEPTED, Health.FINE),
    # Waiting does not mend a request that we wrote badly, but neither is its lesson dropped: a person sees it wait.
    400: Meaning(State.PLANNED, Health.FINE, LATER_MS),
    401: _REFUSED,
    403: _REFUSED,
    404: _REFUSED,
    405: _REFUSED,
    406: _REFUSED,
    413: Meaning(State.PLANNED, Health.FINE, 0, "too large"),
    415: _REFUSED,
    429: Meaning(State.PLANNED, Health.BUSY, SOON_MS, "rate limit"),
    # 503 too: SendGrid's list of answers does not have it, and a gateway gives it both before and after it passed the
    # request on.
    500: _IN_DOUBT,
    502: _IN_DOUBT,
    503: _IN_DOUBT,
    504: _IN_DOUBT,
}

NO_ROOM = Report(Fate(State.PLANNED, "every connection is busy", retry_ms=SOON_MS), health=Health.UNASKED)
NO_CONNECTION = Report(Fate(State.PLANNED, "no connection", retry_ms=SOON_MS), health=Health.FAILING)
TOO_LATE = Report(Fate(State.PLANNED, "connected too late", retry_ms=SOON_MS), health=Health.FAILING)
NOT_TRUSTED = Report(Fate(State.PLANNED, "certificate not trusted", retry_ms=LATER_MS), health=Health.FAILING)
NO_ANSWER = Report(Fate(State.UNKNOWN, "no answer"), health=Health.FAILING)

# Blame for anything else of a person's is a mistake of ours, and likely one in everybody's.
_ADDRESS = re.compile(r"personalizations\.(\d{1,4})(\.to(\.\d+(\.email)?)?)?")
_REFERENCE = re.compile(r"[A-Za-z0-9_.=-]{1,200}")


def meaning_of(status: int) -> Meaning:
    """The table's line. A redirect is a wrong address of ours; what SendGrid never says is in doubt, a 200 included."""
    return _REFUSED if 300 <= status < 400 else MEANINGS.get(status, _IN_DOUBT)


def read_answer(status: int, headers: Mapping[str, str], body: bytes, mailing: Mailing) -> Report:
    """What a whole answer says about `mailing`. `headers` are found by name in any case."""
    meaning = meaning_of(status)
    reason = meaning.reason or f"answer {status}"
    if status == 202:
        return Report(Fate(State.ACCEPTED, reference=_reference(headers)))
    if status == 400 and (places := _refused_places(body, len(mailing.recipients))):
        refused = Fate(State.FAILED, "address refused")
        return Report(Fate(State.PLANNED, "another address was refused"), dict.fromkeys(places, refused))
    if status == 413 and len(mailing.recipients) == 1:
        return Report(Fate(State.FAILED, reason))
    retry_ms = _until_reset(headers, mailing.date_ms) if status == 429 else meaning.retry_ms
    return Report(Fate(meaning.state, reason, retry_ms=retry_ms), health=meaning.health, split=status == 413)


def _reference(headers: Mapping[str, str]) -> str:
    found = headers.get("X-Message-Id", "")
    return found if _REFERENCE.fullmatch(found) else ""


def _until_reset(headers: Mapping[str, str], now_ms: int) -> int:
    reset = headers.get("X-RateLimit-Reset", "")
    if not re.fullmatch(r"[0-9]{1,12}", reset):
        return SOON_MS
    return min(max(int(reset) * 1000 - now_ms, 1000), LATER_MS)


def _refused_places(body: bytes, size: int) -> set[int]:
    """The places of the recipients that a 400 blames; none when it blames anything else too, or makes no sense."""
    try:
        matches = [_ADDRESS.fullmatch(str(error.get("field"))) for error in orjson.loads(body)["errors"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return set()
    places = {int(match[1]) for match in matches if match}
    return places if None not in matches and all(place < size for place in places) else set()
