"""Plan: what is due becomes batches. All waiting happens before a batch is started."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from funnel.core.consent import NOTICE_LIMITS, Enrolled, Standing, notice_refusal
from funnel.core.delivery import Kind
from funnel.core.lesson import segment
from funnel.core.sequence import Funnel
from funnel.flow import holding, watch
from funnel.flow.course import schedule_next
from funnel.flow.holding import Gate
from funnel.flow.tools import Tools
from funnel.store import batches, enrollments, revisions, signups, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record

ROWS_AT_ONCE = 20_000
OPEN_AT_MOST = 60_000
NOTICES_AT_ONCE = 1_000
_T = TypeVar("_T")


@dataclass(frozen=True)
class Planned:
    """How many lessons were planned, and the funnels that were held because there were far too many."""

    lessons: int = 0
    held: tuple[str, ...] = ()


def plan(tools: Tools, now_ms: int) -> Planned:
    """Plans every notice and lesson that is due, unless enough is on its way already."""
    with reading(tools.engine) as connection:
        held = holding.current(connection, now_ms)
        if held.provider(tools.provider) == Gate.SHUT:
            return Planned()
        stopped = revisions.lessons_of(connection, held.funnels)
        lessons = enrollments.any_due(connection, now_ms, stopped)
        room = OPEN_AT_MOST - batches.open_recipients(connection, now_ms)
        notices = signups.any_requested(connection)
    if notices:
        plan_notices(tools, now_ms)
    return plan_lessons(tools, now_ms, min(room, ROWS_AT_ONCE), stopped) if lessons and room > 0 else Planned()


def plan_lessons(tools: Tools, now_ms: int, most: int = ROWS_AT_ONCE, stopped: Sequence[int] = ()) -> Planned:
    """Plans up to `most` lessons, as far as the pace allows; none of the lessons `stopped`."""
    granted = tools.pace.take(most)
    if granted <= 0:
        return Planned()
    with writing(tools.engine) as connection:
        watch.forecast(connection, now_ms)
        rows = enrollments.take_due(connection, now_ms, granted, stopped)
        planned = {}
        for name, due in _by_funnel(rows).items():
            planned[name] = _plan_funnel(connection, tools, name, due, now_ms)
        held = watch.volume(connection, planned, now_ms, real_time=tools.real_time)
    count = sum(planned.values())
    tools.pace.give_back(granted - count)
    return Planned(count, tuple(held))


_Reader = tuple[int, int, int, int, int]
_READER = ("subscriber_id", "lesson_id", "enrollment_id", "turn", "due_ms")


@dataclass
class _Group:
    """Readers of the same lesson in the same segment, each as _READER says."""

    lesson_id: int
    segment: str
    readers: list[_Reader] = field(default_factory=list)


def _plan_funnel(connection: Connection, tools: Tools, name: str, due: Iterable[Record], now_ms: int) -> int:
    """Batches for those whose lesson still stands in their sequence; the others go on to what comes next."""
    revision_id, funnel = tools.current(connection)[name]
    groups, gone = _group(connection, funnel, due)
    ids, columns = _add_batches(connection, tools, revision_id, funnel.name, groups, now_ms)
    written = batches.add_deliveries(connection, _in_order(columns))
    wanted = len(columns["batch_id"])
    had = _left_out(connection, ids, columns) if written < wanted else []
    _go_on(connection, tools, funnel, [*gone, *had], now_ms)
    return written


def _group(connection: Connection, funnel: Funnel, due: Iterable[Record]) -> tuple[list[_Group], list[int]]:
    """Readers by what they are sent alike, and the enrollments whose lesson is not in their sequence any more."""
    keys = {number: key for key, number in revisions.lesson_ids(connection, funnel.name).items()}
    groups: dict[tuple[int, str], _Group] = {}
    known: dict[tuple[Any, ...], _Group | None] = {}
    gone = []
    for due_ms, lesson_id, id_, turn, subscriber_id, _, pattern, secondary, pace in map(tuple, due):
        alike = (lesson_id, pattern, secondary, pace)
        if alike not in known:
            found = funnel.lesson(keys[lesson_id])
            if found and found[0].key == pattern:
                name = segment(found[1].source, {"secondary": secondary or "", "pace": pace})
                known[alike] = groups.setdefault((lesson_id, name), _Group(lesson_id, name))
            else:
                known[alike] = None
        group = known[alike]
        if group is None:
            gone.append(id_)
        else:
            group.readers.append((subscriber_id, lesson_id, id_, turn, due_ms))
    return list(groups.values()), gone


def _add_batches(
    connection: Connection, tools: Tools, revision_id: str, funnel: str, groups: list[_Group], now_ms: int
) -> tuple[list[int], dict[str, list[int]]]:
    """The new batches' ids, and their deliveries by column."""
    columns: dict[str, list[int]] = {name: [] for name in (*_READER, "batch_id", "position")}
    parts = [(group, part) for group in groups for part in _chunks(group.readers, tools.batch_size)]
    cut = [(secrets.token_hex(16), group, part) for group, part in parts]
    if not cut:
        return [], columns
    shared = {"kind": Kind.LESSON, "funnel": funnel, "revision_id": revision_id, "planned_ms": now_ms}
    rows = [
        {
            **shared,
            "uid": uid,
            "lesson_id": group.lesson_id,
            "segment": group.segment,
            "size": len(part),
            "due_ms": part[0][-1],  # they come in order
        }
        for uid, group, part in cut
    ]
    ids = batches.add(connection, rows)
    for uid, _, part in cut:
        columns["batch_id"] += [ids[uid]] * len(part)
        columns["position"] += range(len(part))
        for name, values in zip(_READER, zip(*part, strict=True), strict=True):
            columns[name] += values
    return list(ids.values()), columns


def _in_order(columns: dict[str, list[int]]) -> dict[str, list[int]]:
    """Rows by subscriber: the ledger's unique index is walked through once, page after page."""
    order = sorted(range(len(columns["subscriber_id"])), key=columns["subscriber_id"].__getitem__)
    return {name: [values[place] for place in order] for name, values in columns.items()}


def _left_out(connection: Connection, batch_ids: list[int], columns: dict[str, list[int]]) -> list[int]:
    """Enrollments whose reader has had the lesson already: the ledger refused a second delivery."""
    taken = batches.enrolled_in(connection, batch_ids)
    return [id_ for id_ in columns["enrollment_id"] if id_ not in taken]


def _go_on(connection: Connection, tools: Tools, funnel: Funnel, enrollment_ids: list[int], now_ms: int) -> None:
    if enrollment_ids:
        people = enrollments.with_subscribers(connection, enrollment_ids).values()
        active = [(person, person.zone) for person in people if person.state == Enrolled.ACTIVE]
        schedule_next(connection, tools, funnel, active, now_ms)


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
            if refusal := notice_refusal(state, suppressed, so_far, now_ms):
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
                "size": len(part),
                "due_ms": now_ms,
            }
            batch_id = batches.add(connection, [row])[uid]
            for position, notice_id in enumerate(part):
                signups.plan_notice(connection, notice_id, batch_id, position)


def _by_funnel(rows: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {name: [] for name in {row.funnel for row in rows}}
    for row in rows:
        found[row.funnel].append(row)
    return found


def _chunks(members: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (members[start : start + size] for start in range(0, len(members), size))
