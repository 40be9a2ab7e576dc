"""Settle: records what became of a batch, and writes what comes next. Decisions are fenced, evidence is not."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from funnel.core.consent import Enrolled
from funnel.core.delivery import CAUSE_OF, MOVES, Fate, Health, Kind, Report, State, bit
from funnel.core.pace import backoff_ms
from funnel.flow.course import go_on, standing
from funnel.flow.onward import follow_up
from funnel.flow.sent import Sent
from funnel.flow.tools import Tools
from funnel.store import batches, deliveries, enrollments
from funnel.store.db import reading, writing
from funnel.store.tables import Record

if TYPE_CHECKING:
    from funnel.flow.start import Started

REFUSALS_AT_MOST = 12
_draw = secrets.SystemRandom().random


def renew(tools: Tools, flights: Iterable[Started], now_ms: int) -> set[int]:
    """Extends the leases while requests are in flight. The ids of those that are ours still; the others are lost."""
    until_ms = now_ms + tools.lease_ms
    with writing(tools.engine) as connection:
        rows = sorted((started.batch for started in flights), key=lambda row: row.id)  # as everybody locks them
        return {row.id for row in rows if batches.renew(connection, row.id, row.owner, row.attempt, until_ms)}


def settle(tools: Tools, answers: Sequence[tuple[Started, Report]], now_ms: int) -> list[bool]:
    """Records answers and writes what comes next. For each: whether it counted.

    Decisions of a lost lease are void; acceptance is evidence, and counts whenever it comes.
    """
    kept = [False] * len(answers)
    accepted: dict[str, list[Sent]] = defaultdict(list)
    with writing(tools.engine) as connection:
        held = batches.held(connection, (started.batch for started, _ in answers))
        batches.accept(connection, [_acceptance(*answer) for answer in answers if _is_taken(*answer, held)], now_ms)
        for number, (started, report) in enumerate(answers):
            kept[number] = _record(connection, started, report, held, now_ms)
            if kept[number] and (lessons := _lessons(started, report)):
                accepted[started.batch.funnel] += lessons
        for funnel, rows in accepted.items():
            follow_up(connection, tools, funnel, rows, now_ms)
        return kept


def postpone(tools: Tools, batch: Record, fate: Fate, now_ms: int) -> None:
    """Gives a started batch back, of which nothing was sent."""
    with writing(tools.engine) as connection:
        batches.settle(connection, batch.id, batch.owner, batch.attempt, _values(batch, Report(fate), now_ms))


def give_back(tools: Tools, ids: Collection[int], owners: Collection[str], now_ms: int) -> None:
    """Gives those of the batches back that these owners have claimed; sure to have handed none of them over."""
    with reading(tools.engine) as connection:
        found = batches.by_ids(connection, ids)
    for row in found:
        if row.owner in owners and row.state == State.STARTED:
            postpone(tools, row, Fate(State.PLANNED, "its start broke off"), now_ms)


def prove(connection: Connection, tools: Tools, proofs: Mapping[int, int], now_ms: int) -> None:
    """Takes evidence of acceptance: batch id → mask of the attempts' bits. Once is as good as many times.

    Whoever was in doubt, or planned to be sent again, counts as sent; the courses go on. So it is with those who were
    in that attempt, and have been split off since.
    """
    if not proofs:
        return
    later = {
        row.id: proofs[row.split_from] & _before(row.split_attempt) for row in batches.split_off(connection, proofs)
    }
    prove(connection, tools, {id_: mask for id_, mask in later.items() if mask}, now_ms)
    for row in batches.by_ids(connection, list(proofs)):
        mask = proofs[row.id] & _before(row.attempt + 1)
        if not mask or row.proven | mask == row.proven:
            continue
        if batches.prove(connection, row.id, mask, now_ms):
            resume(connection, tools, row, now_ms)


def _before(attempt: int) -> int:
    """The bits of all attempts before this one."""
    return sum({bit(each) for each in range(1, attempt)})


def resume(connection: Connection, tools: Tools, batch: Record, now_ms: int) -> None:
    """After a doubt has been settled: what comes next for every course that still stands at this lesson."""
    if batch.kind == Kind.LESSON:
        go_on(connection, tools, batch.funnel, deliveries.of_batch(connection, batch.id), now_ms)


def split_off(connection: Connection, batch: Record, ids: Sequence[int], fate: Fate, planned_ms: int) -> None:
    """A batch of their own for those of `batch` that have another fate: planned again, or unknown."""
    uid = secrets.token_hex(16)
    same = ("kind", "funnel", "revision_id", "lesson_id", "segment", "provider", "started_ms", "attempt", "due_ms")
    fresh = {
        **{name: getattr(batch, name) for name in (*same, "resent")},
        "uid": uid,
        "split_from": batch.id,
        "split_attempt": batch.attempt,
        "state": fate.state,
        "reason": fate.reason or None,
        "planned_ms": planned_ms,
        "retries": batch.retries + (fate.retry_ms > 0),
        "size": len(ids),
    }
    batches.rebatch(connection, batch.kind, ids, batch.id, batches.add(connection, [fresh])[uid])


def _is_taken(started: Started, report: Report, held: Collection[int]) -> bool:
    return report.fate.state == State.ACCEPTED and started.batch.id in held


def _acceptance(started: Started, report: Report) -> tuple[int, int, str | None]:
    return started.batch.id, bit(started.batch.attempt), report.fate.reference or None


def _lessons(started: Started, report: Report) -> list[Sent]:
    """The lessons of a batch that were accepted."""
    if report.fate.state != State.ACCEPTED:
        return []
    places = enumerate(started.rows)
    return [row for place, row in places if isinstance(row, Sent) and place not in report.exceptions]


def _record(connection: Connection, started: Started, report: Report, held: Collection[int], now_ms: int) -> bool:
    row = started.batch
    if row.id not in held:
        proven = report.fate.state == State.ACCEPTED and _set_apart(connection, started, report)
        return proven and batches.prove(connection, row.id, bit(row.attempt), now_ms, report.fate.reference or None)
    if report.fate.state != State.ACCEPTED:
        batches.settle(connection, row.id, row.owner, row.attempt, _values(row, report, now_ms))
    if report.fate.state == State.FAILED:
        everybody = dict.fromkeys(range(len(started.rows)), report.fate)
        _differ(connection, row, started.rows, {**everybody, **report.exceptions}, now_ms)
    else:
        _differ(connection, row, started.rows, report.exceptions, now_ms)
    if report.split:
        half = [each.id for place, each in enumerate(started.rows) if place not in report.exceptions]
        split_off(connection, row, half[len(half) // 2 :], report.fate, now_ms)
    return True


def _set_apart(connection: Connection, started: Started, report: Report) -> bool:
    """Leaves those alone in a lost batch who were accepted: what was decided about the others is void, and they stay
    in doubt, or planned again, in a batch of their own. False where the next attempt has begun with all of them.
    """
    if not report.exceptions:
        return True
    now = batches.by_id(connection, started.batch.id)
    if now is None or now.attempt != started.batch.attempt or now.state not in (State.UNKNOWN, State.PLANNED):
        return False
    split_off(connection, now, [started.rows[place].id for place in report.exceptions], Fate(now.state), now.planned_ms)
    return True


def _values(batch: Record, report: Report, now_ms: int) -> dict[str, Any]:
    """What is written on the batch itself."""
    fate = report.fate
    values: dict[str, Any] = {"state": MOVES[CAUSE_OF[fate.state]].after, "reason": fate.reason or None}
    if fate.state == State.PLANNED:
        again = {"retries": batch.retries + (fate.retry_ms > 0), "owner": None, "lease_ms": None}
        return {**values, **again, "planned_ms": now_ms + _wait_ms(fate, batch.retries, report.health)}
    return {**values, "settled_ms": None if fate.state == State.UNKNOWN else now_ms}


def _wait_ms(fate: Fate, retries: int, health: Health = Health.FINE) -> int:
    if not fate.retry_ms:
        return 0
    if health == Health.BUSY:
        return fate.retry_ms
    return max(fate.retry_ms, backoff_ms(fate.retry_ms, retries, _draw()))


def _differ(
    connection: Connection, batch: Record, rows: Sequence[Record | Sent], exceptions: Mapping[int, Fate], now_ms: int
) -> None:
    """Those whose fate is not their batch's: failed for good, to be tried again, or in doubt alone."""
    by_fate = defaultdict(list)
    for place, fate in exceptions.items():
        if fate.state == State.PLANNED and batch.retries >= REFUSALS_AT_MOST:
            fate = Fate(State.FAILED, "refused for too long")
        by_fate[fate].append(rows[place])
    for fate, theirs in by_fate.items():
        ids = [row.id for row in theirs]
        if fate.state == State.FAILED:
            deliveries.set_fate(connection, batch.kind, ids, State.FAILED, fate.reason)
            _stop_courses(connection, batch, theirs, fate.reason, now_ms)
        else:
            split_off(connection, batch, ids, fate, now_ms + _wait_ms(fate, batch.retries))


def _stop_courses(
    connection: Connection, batch: Record, rows: Collection[Record | Sent], reason: str, now_ms: int
) -> None:
    """A lesson that can never arrive pauses its course: nobody is skipped ahead in silence."""
    if batch.kind == Kind.LESSON:
        ids = [person.id for person in standing(connection, rows)]
        enrollments.set_states(connection, ids, Enrolled.PAUSED, reason, now_ms)
