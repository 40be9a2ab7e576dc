"""The provider's events: stored first and answered, then applied by the worker. Any order, any number of times."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import Connection

from funnel.core.consent import Suppressed
from funnel.core.delivery import EVIDENCE, Cause, Kind, bit
from funnel.core.event import CAUSES, KNOWN, SUPPRESSES
from funnel.core.notice import ADDRESS
from funnel.flow.leaving import suppress
from funnel.flow.settle import prove
from funnel.flow.tools import Tools
from funnel.mail.events import Signed, Webhook, read
from funnel.store import events, subscribers
from funnel.store.db import exclude_starts, reading, writing
from funnel.store.tables import Record

COST_AT_ONCE = 2_000  # of a transaction, in plain events
COST_AT_MOST = 20_000  # of a call: it keeps the worker's only writer busy
SUPPRESSING_COSTS = 40


class Receipt(StrEnum):
    """What became of a webhook request. Only `STORED` has changed anything, if there was anything of ours in it."""

    STORED = "stored"
    REPEATED = "repeated"  # everything of ours was there already
    STRANGE = "strange"  # nothing of ours, but something that pretends to be
    UNSIGNED = "unsigned"
    DAMAGED = "damaged"


_REFUSED = {Signed.FALSE: Receipt.UNSIGNED, Signed.DAMAGED: Receipt.DAMAGED, Signed.STALE: Receipt.DAMAGED}


def webhook(key: str) -> Webhook | None:
    """What checks signatures by this public key; None without one. Raises ValueError for a key that is none."""
    return Webhook(key) if key else None


def receive(tools: Tools, checks: Webhook, signature: str, timestamp: str, body: bytes, now_ms: int) -> Receipt:
    """Stores what a signed request tells of our batches."""
    signed = checks.check(signature, timestamp, body, now_ms)
    if signed in _REFUSED:
        return _REFUSED[signed]
    told = read(body)
    if told is None:
        return Receipt.DAMAGED
    if not told.events:
        return Receipt.STRANGE if told.strange else Receipt.STORED
    with writing(tools.engine) as connection:
        ids = events.batch_ids(connection, {event.uid for event in told.events})
        ours = [(ids[event.uid], event) for event in told.events if event.uid in ids]
        if not ours:
            return Receipt.STRANGE
        return Receipt.STORED if events.add(connection, ours, now_ms) else Receipt.REPEATED


def apply(tools: Tools, now_ms: int) -> int:
    """Applies what has been stored. Returns how many events; the rest, if there are very many, is for the next time."""
    done = cost = 0
    while cost < COST_AT_MOST and (some := _apply_some(tools, now_ms)):
        done += len(some)
        cost += sum(map(_cost, some))
    return done


def _apply_some(tools: Tools, now_ms: int) -> Sequence[Record]:
    with reading(tools.engine) as connection:
        if not events.any_new(connection):
            return ()
    with writing(tools.engine) as connection:
        if not events.is_alone(connection):
            return ()
        rows = _affordable(events.new(connection, COST_AT_ONCE))
        lost = [row.id for row in rows if row.batch_kind and row.target_id is None]
        found = [*rows, *events.moved(connection, lost)]
        telling = [row for row in found if row.kind in KNOWN and row.batch_kind]
        stopped = _stopped(connection, telling)
        # Locked in the order of everybody else: a person first, then the starts, then batches and deliveries.
        readers = subscribers.locked(connection, list(stopped.readers)) if stopped.readers else ()
        if readers:
            exclude_starts(connection)
        _believe(connection, tools, telling, now_ms)
        _move(connection, telling)
        _stop(connection, readers, stopped, now_ms)
        events.handle(connection, [row.id for row in rows], now_ms)
        return rows


def _cost(row: Record) -> int:
    return SUPPRESSING_COSTS if row.reason in SUPPRESSES else 1


def _affordable(rows: Sequence[Record]) -> Sequence[Record]:
    """The first of these, as many as one transaction may cost."""
    costs = accumulate(map(_cost, rows))
    return rows[: max(1, sum(1 for cost in costs if cost <= COST_AT_ONCE))]


class _Held(NamedTuple):
    """Since when a reason holds, and when the last mail left that it is about."""

    at_ms: int = 0
    left_ms: int = 0


class _Stopped(NamedTuple):
    """Who is to be mailed no more, and why: by subscriber, and by the hash of an address that is nobody's here."""

    readers: dict[int, dict[Suppressed, _Held]]
    strangers: dict[bytes, dict[Suppressed, _Held]]


def _stopped(connection: Connection, rows: Iterable[Record]) -> _Stopped:
    """What tells against an address to which somebody wanted to move tells nothing against their own."""
    found = _Stopped({}, {})
    for row in rows:
        reason = SUPPRESSES.get(row.reason)
        if not reason or not row.subscriber_id or (row.notice_kind == ADDRESS and not row.address_hash):
            continue
        if row.notice_kind == ADDRESS:
            reader = subscribers.by_hash(connection, [row.address_hash])
            theirs = _reasons_of(found, reader.id if reader else None, row.address_hash)
        else:
            theirs = _reasons_of(found, row.subscriber_id)
        known = theirs.get(reason, _Held())
        theirs[reason] = _Held(max(known.at_ms, row.at_ms), max(known.left_ms, _left_ms(row)))
    return found


def _left_ms(row: Record) -> int:
    """When the mail left for its reader's own address; what went to another one is about that."""
    return int(row.at_ms if row.notice_kind == ADDRESS or row.started_ms is None else row.started_ms)


def _reasons_of(found: _Stopped, reader_id: int | None, address_hash: bytes = b"") -> dict[Suppressed, _Held]:
    if reader_id is None:
        return found.strangers.setdefault(address_hash, {})
    return found.readers.setdefault(reader_id, {})


def _stop(connection: Connection, readers: Iterable[Record], found: _Stopped, now_ms: int) -> None:
    """For every reason, the strongest last."""
    for reason in Suppressed:
        for reader in readers:
            held = found.readers[reader.id].get(reason)
            # What bounced before they moved in has bounced elsewhere.
            if held and not (reason == Suppressed.BOUNCED and held.left_ms < reader.moved_in_ms):
                suppress(connection, reader, reason, min(held.at_ms, now_ms), now_ms)
        for address_hash, reasons in found.strangers.items():
            if reason in reasons:
                subscribers.suppress(connection, address_hash, reason, min(reasons[reason].at_ms, now_ms))


def _believe(connection: Connection, tools: Tools, rows: Iterable[Record], now_ms: int) -> None:
    """Any event of an attempt proves that the provider had accepted it."""
    seen: dict[int, int] = {}
    proofs: dict[int, int] = {}
    for row in rows:
        if row.seen_ms is None:
            seen[row.batch_id] = min(seen.get(row.batch_id, row.received_ms), row.received_ms)
        proofs[row.batch_id] = proofs.get(row.batch_id, 0) | bit(row.attempt)
    events.see(connection, dict(sorted(seen.items())))
    if proofs:
        prove(connection, tools, proofs, now_ms)


def _move(connection: Connection, rows: Sequence[Record]) -> None:
    """Each recipient by the strongest evidence among these: a weaker one would change nothing after it."""
    rank = {cause: number for number, cause in enumerate(EVIDENCE)}
    best: dict[tuple[str, int], tuple[Cause, Any]] = {}
    for row in rows:
        cause = CAUSES.get(row.kind)
        if cause is None or row.target_id is None:
            continue
        target = (row.batch_kind, row.target_id)
        if target not in best or rank[cause] > rank[best[target][0]]:
            best[target] = (cause, row)
    for kind in Kind:
        for cause in EVIDENCE:
            moved = [
                (row.target_id, row.batch_id, row.reason or None)
                for target, (found, row) in sorted(best.items(), key=lambda each: each[0])
                if target[0] == kind and found == cause
            ]
            events.move(connection, kind, cause, moved)
