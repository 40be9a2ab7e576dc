"""Erasing somebody: here at once and wholly, and then wherever their mail went, until everybody has followed.

A mail that is being handed over at that moment may still arrive; its batch settles as ever and finds nobody. The
provider is told only after that, so that nothing of it stays behind.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from funnel.core.consent import Suppressed
from funnel.flow import people, watch
from funnel.flow.doctor import Finding, Level
from funnel.flow.tools import Tools
from funnel.keyring import Keyring, Outdated, Unreadable, new_key, seal, unseal
from funnel.mail.erasing import EraseFault, Forgets
from funnel.store import erasing, keys, subscribers
from funnel.store.db import exclude_starts, reading, writing
from funnel.store.keys import ERASURE
from funnel.store.tables import Record

NO_REDIS = "Redis does not answer"
AT_ONCE = 20
SETTLING_MS = 10_000  # until a batch in flight is looked at again
LINGER_MS = 60_000  # until what a transaction wrote that had begun before is looked for
CLAIM_MS = 120_000  # longer than any answer takes
FIRST_WAIT_MS = 60_000
LONGEST_WAIT_MS = 24 * 3_600_000


class By(StrEnum):
    """Why somebody was erased: all that a tombstone tells beside the day."""

    READER = "asked"
    OPERATOR = "operator"
    UNCONFIRMED = "never confirmed"
    UNTOLD = "provider not told"


class Known(NamedTuple):
    """What an erasure remembers until everybody has followed."""

    address: str
    messages: list[str]
    places: list[tuple[int, int]]
    lessons: list[int]
    enrollments: list[int]
    subscriber_id: int  # 0 where only an address has been left


def erase(tools: Tools, address: str, now_ms: int) -> bool:
    """Erases whoever has this address, for an operator. False when nobody has it."""
    with writing(tools.engine) as connection:
        known = subscribers.by_hash(connection, tools.keyring.address_hashes(address))
        reader = known and subscribers.by_id(connection, known.id, lock=True)
        if not reader:
            return False
        erase_reader(connection, tools, reader, By.OPERATOR, now_ms)
        return True


def erase_reader(connection: Connection, tools: Tools, reader: Record, by: By, now_ms: int) -> None:
    """Deletes everything about a locked subscriber. What stays is a tombstone, and the suppression of their address:
    not for who never confirmed, of whom nobody knows that they were ever mailed by their own wish.
    """
    exclude_starts(connection)
    found = erasing.traces(connection, reader.id)
    address, messages = _address_of(connection, tools.keyring, reader), erasing.message_names(found)
    known = Known(address, messages, found.places, found.lessons, found.enrollments, reader.id)
    _remember(connection, tools.keyring, known, now_ms)
    erasing.delete_person(connection, reader.id, found)
    if by != By.UNCONFIRMED:
        subscribers.suppress(connection, reader.address_hash, Suppressed.ERASED, now_ms)
    _bury(connection, by, now_ms)


def leave_address(
    connection: Connection, tools: Tools, subscriber_id: int, address: str, lessons: list[int], now_ms: int
) -> None:
    """Others are to forget an address that a reader has changed for another, and that these lessons went there. What is
    being handed over at that moment is waited for."""
    places = erasing.traces(connection, subscriber_id).places
    _remember(connection, tools.keyring, Known(address, [], places, lessons, [], 0), now_ms)


def go_on(tools: Tools, others: Forgets, now_ms: int) -> int:
    """Tells others to forget whom we have erased, and tries again later where they do not. Returns how many were
    looked at. For a thread of its own: an answer may take its time.
    """
    with reading(tools.engine) as connection:
        rows = erasing.due_erasures(connection, now_ms, AT_ONCE)
    for row in rows:
        with writing(tools.engine) as connection:
            mine = erasing.claim(connection, row, now_ms + CLAIM_MS)
        if mine:
            _go_on(tools, others, row, now_ms)
    return len(rows)


def _go_on(tools: Tools, others: Forgets, row: Record, now_ms: int) -> None:
    try:
        known = _recall(tools.keyring, row)
    except Outdated:  # one who has the keyring of today goes on, once the claim has run out
        return
    except Unreadable:  # its master key is gone: nobody can be told any more
        with writing(tools.engine) as connection:
            give_up(connection, row.id, now_ms)
        return
    with reading(tools.engine) as connection:
        open_ = erasing.any_open(connection, [batch_id for batch_id, _ in known.places])
        waits = open_ or erasing.any_new_event(connection, known.places)
    told_ms, reason = row.told_ms, None
    if not open_ and told_ms is None:
        reason = _tell(tools, others, known, now_ms)
        told_ms = None if reason else now_ms
    with writing(tools.engine) as connection:
        if reason:
            erasing.failed(connection, row, now_ms + _wait_ms(row.tries), reason)
        elif waits or row.created_ms > now_ms - LINGER_MS:
            erasing.wait(connection, row.id, told_ms, now_ms + SETTLING_MS)
        else:
            _finish(connection, known, row)


def _tell(tools: Tools, others: Forgets, known: Known, now_ms: int) -> str | None:
    """None when they agreed; else what kept them from it."""
    try:
        others.forget(known.address, known.messages)
    except EraseFault as fault:
        return str(fault)
    forgotten = watch.forget(tools.marks, tools.keyring.tag_key, known.lessons, known.address, now_ms)
    return None if forgotten else NO_REDIS


def _finish(connection: Connection, known: Known, row: Record) -> None:
    """Once more, for what somebody wrote who had begun before the erasure and committed after it."""
    if known.subscriber_id:
        found = erasing.traces(connection, known.subscriber_id)
        ids = sorted({*found.enrollments, *known.enrollments})
        erasing.delete_person(connection, known.subscriber_id, found._replace(enrollments=ids))
        erasing.delete_events(connection, known.places)
    erasing.forget(connection, row.id)


def give_up(connection: Connection, erasure_id: int, now_ms: int) -> bool:
    """Forgets an erasure that the provider has not followed. False when somebody else was quicker."""
    forgotten = erasing.forget(connection, erasure_id)
    if forgotten:
        _bury(connection, By.UNTOLD, now_ms)
    return forgotten


def finding(tools: Tools) -> list[Finding]:
    """What the doctor says of erasures that a provider has not followed; nothing where the database does not answer."""
    try:
        with reading(tools.engine) as connection:
            rows = erasing.refused(connection)
    except SQLAlchemyError:
        return []  # told of elsewhere
    if not rows:
        return [Finding(Level.OK, "erasures", "nobody waits to be forgotten by the provider")]
    says = f"{len(rows)} wait to be forgotten by the provider; the first one met: {rows[0].reason}"
    do = "Give SendGrid's key the scope recipients.erasejob.create; the next try comes within a day."
    return [Finding(Level.BAD if rows[0].tries > 3 else Level.WARN, "erasures", says, do)]


def _address_of(connection: Connection, keyring: Keyring, reader: Record) -> str:
    """ "" where nobody can read it."""
    try:
        key = people.key_for(connection, keyring, reader)
        return people.open_person(key, reader.address_hash, reader.sealed).address
    except (LookupError, Unreadable):
        return ""


def _remember(connection: Connection, keyring: Keyring, known: Known, now_ms: int) -> None:
    """Seals what others must be told under a key of its own: that of the person is about to go, or to move."""
    fresh = new_key()
    sealed = seal(fresh, orjson.dumps([*known]), ERASURE)
    version = keys.hold(connection, keyring.version, now_ms)
    erasing.remember(connection, keyring.wrap(fresh, ERASURE, version), sealed, now_ms)


def _recall(keyring: Keyring, row: Record) -> Known:
    """Raises Unreadable or Outdated."""
    key = keyring.unwrap(row.version, row.wrapped, ERASURE)
    known = Known(*orjson.loads(unseal(key, row.sealed, ERASURE)))
    return known._replace(places=[(batch_id, position) for batch_id, position in known.places])


def _wait_ms(tries: int) -> int:
    return min(FIRST_WAIT_MS << min(tries, 20), LONGEST_WAIT_MS)


def _bury(connection: Connection, by: By, now_ms: int) -> None:
    erasing.bury(connection, datetime.fromtimestamp(now_ms / 1000, UTC).date(), by)
