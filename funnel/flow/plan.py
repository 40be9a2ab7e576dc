"""Plan: what is due becomes batches. All waiting happens before a batch is started."""

import secrets
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection

from funnel.core.consent import NOTICE_LIMITS, Enrolled, Standing, notice_refusal
from funnel.core.delivery import Kind
from funnel.core.lesson import segment
from funnel.core.notice import CONFIRM, is_late, is_moot
from funnel.core.sequence import Funnel
from funnel.flow import admission, entrance, holding, watch
from funnel.flow.course import go_on
from funnel.flow.holding import Gate
from funnel.flow.tools import Tools
from funnel.store import batches, deliveries, enrollments, revisions, signups, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record

ROWS_AT_ONCE = 20_000
OPEN_AT_MOST = 60_000
NOTICES_AT_ONCE = 1_000
_K = TypeVar("_K")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Planned:
    """How many lessons were planned, and the funnels that were held because there were far too many."""

    lessons: int = 0
    held: tuple[str, ...] = ()


def plan(tools: Tools, now_ms: int) -> Planned:
    """Plans every notice and lesson that is due, unless enough is on its way already."""
    admission.admit(tools, now_ms)
    with reading(tools.engine) as connection:
        held = holding.current(connection, now_ms)
        if held.provider(tools.provider) == Gate.SHUT:
            return Planned()
        stopped = revisions.lessons_of(connection, held.funnels)
        lessons = enrollments.any_due(connection, now_ms, stopped)
        room = OPEN_AT_MOST - batches.open_recipients(connection, now_ms)
        notices = signups.any_requested(connection)
    if notices:
        entrance.look_up(tools, NOTICES_AT_ONCE)
        plan_notices(tools, now_ms)
    return plan_lessons(tools, now_ms, min(room, ROWS_AT_ONCE), stopped) if lessons and room > 0 else Planned()


def plan_lessons(tools: Tools, now_ms: int, most: int = ROWS_AT_ONCE, stopped: Sequence[int] = ()) -> Planned:
    """Plans up to `most` lessons, as far as the pace allows; none of the lessons `stopped`."""
    granted = tools.pace.take(most)
    if granted <= 0:
        return Planned()
    count = 0
    try:
        with writing(tools.engine) as connection:
            watch.forecast(connection, now_ms)
            crowds = _take(connection, tools, now_ms, granted, stopped)
            planned = {name: _plan_funnel(connection, tools, name, crowd, now_ms) for name, crowd in crowds.items()}
            held = watch.volume(connection, planned, now_ms, real_time=tools.real_time)
        count = sum(planned.values())
    finally:
        tools.pace.give_back(granted - count)
    return Planned(count, tuple(held))


_READER = ("subscriber_id", "lesson_id", "enrollment_id", "turn", "due_ms")  # a due row begins with these
_alike = itemgetter(1, 5, 6, 7, 8, 9)  # … and ends with what tells its readers apart
_Columns = dict[str, "array[int]"]  # thousands of readers, by column: eight bytes for each number


@dataclass(frozen=True)
class _Crowd:
    """Whoever is due in a funnel: (lesson number, segment) → columns of `_READER`; and the rows of those whose lesson
    is not in their sequence any more.
    """

    groups: dict[tuple[int, str], _Columns]
    gone: list[Record]


def _take(connection: Connection, tools: Tools, now_ms: int, most: int, stopped: Sequence[int]) -> dict[str, _Crowd]:
    """Funnel → whoever is due in it, and is not any more in the due table."""
    lessons, published = revisions.lessons(connection), tools.current(connection)
    crowds: dict[str, _Crowd] = defaultdict(lambda: _Crowd({}, []))

    def see(rows: Sequence[Record]) -> None:
        for alike, part in _by(_alike, rows).items():
            name, key = lessons[alike[0]]
            _add(crowds[name], published[name][1], key, alike, part)

    enrollments.take_due(connection, now_ms, most, stopped, see)
    return crowds


def _add(crowd: _Crowd, funnel: Funnel, key: str, alike: tuple[Any, ...], rows: list[Record]) -> None:
    """Adds readers who share lesson number, pattern, secondary pattern, pace, locale and what their mails hold."""
    lesson_id, pattern, secondary, pace, locale, link_only = alike
    found = funnel.read_in(locale).lesson(key)
    if not found or found[0].key != pattern:
        crowd.gone.extend(rows)
        return
    traits = {"secondary": secondary or "", "pace": pace}
    name = segment(found[1].source, traits, link_only=funnel.link_only or bool(link_only))
    columns = crowd.groups.setdefault((lesson_id, name), _empty(*_READER))
    for column, values in zip(columns.values(), zip(*rows, strict=True), strict=False):
        column.extend(values)


def _plan_funnel(connection: Connection, tools: Tools, name: str, crowd: _Crowd, now_ms: int) -> int:
    """Batches for those whose lesson still stands in their sequence; the others go on to what comes next."""
    revision_id, _ = tools.current(connection)[name]
    shared = {"kind": Kind.LESSON, "funnel": name, "revision_id": revision_id, "planned_ms": now_ms}
    columns = _add_batches(connection, shared, crowd, tools.batch_size)
    deliveries.add(connection, columns)
    go_on(connection, tools, name, crowd.gone, now_ms)
    return len(columns["batch_id"])


def _add_batches(connection: Connection, shared: Mapping[str, Any], crowd: _Crowd, size: int) -> _Columns:
    """Adds the batches, of up to `size` readers each. Returns their deliveries by column."""
    columns = _empty(*_READER, "batch_id", "position")
    # Batches of a lesson stand together and are started together: their rows in the ledger and in the due table, too.
    groups = sorted(crowd.groups.items(), key=itemgetter(0))
    rows: list[dict[str, Any]] = [
        {"uid": secrets.token_hex(16), "lesson_id": lesson_id, "segment": name, "size": len(part), "due_ms": min(part)}
        for (lesson_id, name), readers in groups
        for part in _chunks(readers["due_ms"], size)
    ]
    ids = batches.add(connection, [{**shared, **own} for own in rows]) if rows else {}
    for _, readers in groups:
        for name, values in readers.items():
            columns[name] += values
    for own in rows:
        columns["batch_id"].extend(repeat(ids[own["uid"]], own["size"]))
        columns["position"].extend(range(own["size"]))
    return columns


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
            if is_moot(row.kind, row.signup_state):
                signups.skip_notice(connection, row.id, signups.NOT_OPEN)
                continue
            if is_late(row.kind, row.created_ms, now_ms):
                signups.skip_notice(connection, row.id, signups.TOO_LATE)
                continue
            person = people.get(row.subscriber_id)
            goes_to = row.address_hash or (person.address_hash if person else b"")
            suppressed = subscribers.suppression_of(connection, [goes_to])
            state = person.state if person else Standing.ERASED
            so_far = {window: counts[row.subscriber_id, row.kind] for window, counts in sent.items()}
            refusal = notice_refusal(state, suppressed, so_far, now_ms) or entrance.refusal(
                tools, person, row.sealed, now_ms
            )
            if refusal:
                signups.skip_notice(connection, row.id, refusal)
                continue
            for counts in sent.values():
                counts[row.subscriber_id, row.kind] += 1
            known = row.kind == CONFIRM and _is_reader(connection, row, state)
            kind = "already" if known else row.kind
            groups[row.funnel, tools.notice_segment(kind, row.locale)].append(row.id)
        _add_notice_batches(connection, tools, groups, now_ms)


def _is_reader(connection: Connection, notice: Record, state: str) -> bool:
    running = enrollments.live(connection, notice.subscriber_id, notice.funnel)
    return state == Standing.ACTIVE and running is not None and running.state == Enrolled.ACTIVE


def _add_notice_batches(
    connection: Connection, tools: Tools, groups: dict[tuple[str, str], list[int]], now_ms: int
) -> None:
    current = revisions.current(connection)
    for (funnel, name), members in groups.items():
        for part in _chunks(members, tools.batch_size):
            uid = secrets.token_hex(16)
            row = {
                "uid": uid,
                "kind": Kind.NOTICE,
                "funnel": funnel,
                "revision_id": current[funnel],
                "lesson_id": None,
                "segment": name,
                "planned_ms": now_ms,
                "size": len(part),
                "due_ms": now_ms,
            }
            batch_id = batches.add(connection, [row])[uid]
            for position, notice_id in enumerate(part):
                signups.plan_notice(connection, notice_id, batch_id, position)


def _empty(*names: str) -> _Columns:
    return {name: array("q") for name in names}


def _by(key: Callable[[Record], _K], rows: Iterable[Record]) -> dict[_K, list[Record]]:
    found: dict[_K, list[Record]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _chunks(members: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (members[start : start + size] for start in range(0, len(members), size))
