"""Rights without asking anyone: a freshly mailed link, and what its holder does with it.

Every call takes the link's token, and looks again whether it is one: in the transaction that does what is asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection

from funnel.core import links
from funnel.core.consent import Purpose
from funnel.core.notice import RIGHTS
from funnel.core.sequence import Funnel
from funnel.flow import course, erasing, leaving, pausing
from funnel.flow.erasing import By
from funnel.flow.tools import Tools
from funnel.store import rights, signups, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record

REQUESTS_AT_ONCE = 500


class Door(StrEnum):
    """What a link finds."""

    OPEN = "open"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Holder:
    """Who holds an open link: the funnel it was mailed for, its reader's language, and until when it works."""

    state: Door
    funnel: Funnel | None = None
    locale: str = ""
    until_ms: int = 0


class Held(NamedTuple):
    """An open link's service mail, and its subscriber, within a transaction."""

    notice: Record
    reader: Record


def ask_by_delivery(tools: Tools, delivery_id: int, now_ms: int) -> course.Found | None:
    """Asks for a link for the reader of a lesson. It goes to their own address, whoever pressed the button."""
    with writing(tools.engine) as connection:
        found = course.recipient(connection, delivery_id)
        if found is None:
            return None
        sent, reader = found
        signups.request_notice(connection, reader.id, 0, sent.funnel, RIGHTS, now_ms)
    return course.reader_of(tools, delivery_id)


def ask_by_address(tools: Tools, address: str, now_ms: int) -> None:
    """Notes that somebody typed this address. The same for every address: who has it, the worker finds out."""
    with writing(tools.engine) as connection:
        rights.ask(connection, tools.keyring.address_hashes(address), now_ms)


def answer(tools: Tools, now_ms: int) -> int:
    """Asks for a link for everybody who was asked for by address and has data here. Returns how many had asked."""
    with reading(tools.engine) as connection:
        if not rights.any_asked(connection):
            return 0
    with writing(tools.engine) as connection:
        asked = rights.take_asked(connection, REQUESTS_AT_ONCE)
        published = tools.current(connection)
        for hashes in asked:
            reader = subscribers.by_hash(connection, hashes)
            if reader and published:
                theirs = [name for name in rights.funnels_of(connection, reader.id) if name in published]
                funnel = theirs[0] if theirs else next(iter(published))
                signups.request_notice(connection, reader.id, 0, funnel, RIGHTS, now_ms)
        return len(asked)


def look_at(tools: Tools, token: str, now_ms: int) -> Holder:
    """What a link opens. Changes nothing, and shows nothing of the person."""
    with reading(tools.engine) as connection:
        hash_ = links.token_hash(token)
        notice = rights.by_token(connection, RIGHTS, hash_) if hash_ else None
        reader = subscribers.by_id(connection, notice.subscriber_id) if notice else None
        if not notice or not reader:
            return Holder(Door.UNKNOWN)
        published = tools.current(connection)
        _, funnel = published.get(notice.funnel) or next(iter(published.values()))
        state = Door.OPEN if notice.expires_ms > now_ms else Door.EXPIRED
        return Holder(state, funnel, reader.locale, notice.expires_ms)


@contextmanager
def held(tools: Tools, token: str, now_ms: int) -> Iterator[tuple[Connection, Held | None]]:
    """A transaction in which the link's holder is locked; None when the link opens nothing any more."""
    with writing(tools.engine) as connection:
        yield connection, find(connection, token, now_ms, lock=True)


def find(connection: Connection, token: str, now_ms: int, *, lock: bool = False) -> Held | None:
    """Who holds an open link; with `lock`, nobody else changes their affairs until the transaction ends."""
    hash_ = links.token_hash(token)
    notice = rights.by_token(connection, RIGHTS, hash_) if hash_ else None
    reader = subscribers.by_id(connection, notice.subscriber_id, lock=lock) if notice else None
    open_ = notice is not None and notice.expires_ms > now_ms
    return Held(notice, reader) if notice and reader and open_ else None


def ask_anew(tools: Tools, token: str, now_ms: int) -> bool:
    """A link that has run out offers a new one, to the same person. False for one that is none."""
    with writing(tools.engine) as connection:
        hash_ = links.token_hash(token)
        notice = rights.by_token(connection, RIGHTS, hash_) if hash_ else None
        if not notice:
            return False
        signups.request_notice(connection, notice.subscriber_id, 0, notice.funnel, RIGHTS, now_ms)
        return True


def pause(tools: Tools, token: str, enrollment_id: int, now_ms: int) -> bool:
    with held(tools, token, now_ms) as (connection, found):
        return found is not None and pausing.pause(connection, found.reader, enrollment_id, now_ms)


def resume(tools: Tools, token: str, enrollment_id: int, now_ms: int) -> bool:
    with held(tools, token, now_ms) as (connection, found):
        return found is not None and pausing.go_on(connection, tools, found.reader, enrollment_id, now_ms)


def withdraw(tools: Tools, token: str, purpose: Purpose, now_ms: int) -> bool:
    """Withdraws one consent: that to be mailed ends the notes, that to keep the result deletes it as well."""
    with held(tools, token, now_ms) as (connection, found):
        if found and purpose == Purpose.COURSE:
            leaving.stop(connection, found.reader, now_ms)
        elif found:
            leaving.withdraw_all(connection, found.reader, now_ms)
        return found is not None


def erase(tools: Tools, token: str, now_ms: int) -> bool:
    """Erases everything about the link's holder, the link itself with it."""
    with held(tools, token, now_ms) as (connection, found):
        if found:
            erasing.erase_reader(connection, tools, found.reader, By.READER, now_ms)
        return found is not None


def close(tools: Tools, token: str, now_ms: int) -> bool:
    """Ends every link that this person has been mailed: nobody who finds the mail opens anything with it."""
    with held(tools, token, now_ms) as (connection, found):
        if found:
            rights.expire(connection, found.reader.id, RIGHTS, now_ms)
        return found is not None
