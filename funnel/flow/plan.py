"""Plan: what is due becomes batches. All waiting happens before a batch is started."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from funnel.core.consent import NOT_MAILED, NOTICE_LIMITS, Enrolled, Standing, lesson_refusal, notice_refusal
from funnel.core.delivery import Kind, State
from funnel.core.lesson import segment
from funnel.flow.course import schedule_next
from funnel.flow.tools import Tools
from funnel.store import batches, enrollments, revisions, signups, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record

ROWS_AT_ONCE = 20_000
OPEN_AT_MOST = 400
NOTICES_AT_ONCE = 1_000


def plan(tools: Tools, now_ms: int) -> None:
    """Plans every notice and lesson that is due, unless enough is on its way already."""
    with reading(tools.engine) as connection:
        lessons = enrollments.any_due(connection, now_ms) and batches.open_count(connection) < OPEN_AT_MOST
        notices = signups.any_requested(connection)
    if notices:
        plan_notices(tools, now_ms)
    if lessons:
        plan_lessons(tools, now_ms)


def plan_lessons(tools: Tools, now_ms: int) -> None:
    with writing(tools.engine) as connection:
        rows = enrollments.take_due(connection, now_ms, ROWS_AT_ONCE)
        people = enrollments.with_subscribers(connection, {row.enrollment_id for row in rows})
        current = tools.current(connection)
        by_funnel = defaultdict(list)
        for row in rows:
            person = people.get(row.enrollment_id)
            if person and person.turn == row.turn:  # else it was rescheduled: another row has taken this one's place
                by_funnel[person.funnel].append((row, person))
        for name, due in by_funnel.items():
            _plan_funnel(connection, tools, *current[name], due, now_ms)


def _plan_funnel(
    connection: Connection, tools: Tools, revision_id: str, funnel: Any, due: list[tuple[Record, Record]], now_ms: int
) -> None:
    keys = {number: key for key, number in revisions.lesson_ids(connection, funnel.name).items()}
    had = enrollments.received(connection, {person.subscriber_id for _, person in due})
    groups = defaultdict(list)
    refused, elsewhere = [], []
    for row, person in due:
        found = funnel.lesson(keys[row.lesson_id])
        if refusal := lesson_refusal(person.subscriber_state, person.state, row.turn, person.turn):
            refused.append((row, person, refusal))
        elif not found or found[0].key != person.pattern or (person.subscriber_id, row.lesson_id) in had:
            elsewhere.append((person, person.zone))  # the lesson has gone from the sequence: on to what comes next
        else:
            traits = {"secondary": person.secondary or "", "pace": person.pace}
            groups[row.lesson_id, segment(found[1].source, traits)].append((row, person))
    _add_batches(connection, tools, revision_id, funnel.name, groups, now_ms)
    batches.add_deliveries(
        connection, [_delivery(row, person, None, State.SKIPPED, reason) for row, person, reason in refused]
    )
    enrollments.set_states(connection, [person.id for _, person, _ in refused], Enrolled.PAUSED, NOT_MAILED, now_ms)
    schedule_next(connection, tools, funnel, elsewhere, now_ms)


def _add_batches(
    connection: Connection,
    tools: Tools,
    revision_id: str,
    funnel: str,
    groups: dict[tuple[int, str], list[tuple[Record, Record]]],
    now_ms: int,
) -> None:
    cut = [
        (secrets.token_hex(16), lesson_id, name, part)
        for (lesson_id, name), members in groups.items()
        for part in _chunks(members, tools.batch_size)
    ]
    if not cut:
        return
    shared = {"kind": Kind.LESSON, "funnel": funnel, "revision_id": revision_id, "planned_ms": now_ms}
    ids = batches.add(
        connection, [{**shared, "uid": uid, "lesson_id": number, "segment": name} for uid, number, name, _ in cut]
    )
    rows = [_delivery(row, person, ids[uid], None, None) for uid, _, _, part in cut for row, person in part]
    batches.add_deliveries(connection, rows)


def _delivery(
    row: Record, person: Record, batch_id: int | None, state: State | None, reason: str | None
) -> dict[str, Any]:
    return {
        "subscriber_id": person.subscriber_id,
        "lesson_id": row.lesson_id,
        "enrollment_id": person.id,
        "turn": row.turn,
        "batch_id": batch_id,
        "due_ms": row.due_ms,
        "state": state,
        "reason": reason,
    }


def plan_notices(tools: Tools, now_ms: int) -> None:
    """Decides which requested notices may be sent; the limits act here, in silence, so that no reply reveals them."""
    with writing(tools.engine) as connection:
        rows = signups.requested(connection, NOTICES_AT_ONCE)
        people = {row.id: row for row in subscribers.sealed_by_id(connection, {row.subscriber_id for row in rows})}
        sent = {
            window: Counter(signups.sent_since(connection, set(people), now_ms - window)) for window in NOTICE_LIMITS
        }
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row in rows:
            if row.signup_state != signups.PENDING:
                signups.skip_notice(connection, row.id, signups.NOT_OPEN)
                continue
            person = people.get(row.subscriber_id)
            suppressed = subscribers.suppression_of(connection, [person.address_hash]) if person else None
            state = person.state if person else Standing.ERASED
            so_far = {window: counts[row.subscriber_id] for window, counts in sent.items()}
            if refusal := notice_refusal(state, suppressed, so_far):
                signups.skip_notice(connection, row.id, refusal)
                continue
            for counts in sent.values():
                counts[row.subscriber_id] += 1
            groups[row.funnel, "already" if _is_reader(connection, row, state) else row.kind].append(row.id)
        _add_notice_batches(connection, tools, groups, now_ms)


def _is_reader(connection: Connection, notice: Record, state: str) -> bool:
    running = enrollments.live(connection, notice.subscriber_id, notice.funnel)
    return state == Standing.ACTIVE and running is not None and running.state == Enrolled.ACTIVE


def _add_notice_batches(
    connection: Connection, tools: Tools, groups: dict[tuple[str, str], list[int]], now_ms: int
) -> None:
    current = revisions.current(connection)
    for (funnel, kind), members in groups.items():
        for part in _chunks(members, tools.batch_size):
            uid = secrets.token_hex(16)
            row = {
                "uid": uid,
                "kind": Kind.NOTICE,
                "funnel": funnel,
                "revision_id": current[funnel],
                "lesson_id": None,
                "segment": kind,
                "planned_ms": now_ms,
            }
            batch_id = batches.add(connection, [row])[uid]
            for notice_id in part:
                signups.plan_notice(connection, notice_id, batch_id)


def _chunks(members: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (members[start : start + size] for start in range(0, len(members), size))
