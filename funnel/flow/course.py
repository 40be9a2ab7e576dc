"""Being in a course: entering one, what comes next, changing to another."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from funnel.core.consent import Enrolled, Standing
from funnel.core.progress import Reader, next_step
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.store import deliveries, enrollments, revisions, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record


def enroll(
    connection: Connection,
    tools: Tools,
    subscriber: Record,
    funnel: Funnel,
    pattern: str,
    secondary: str | None,
    now_ms: int,
) -> None:
    """Makes `pattern` the subscriber's one live course in this funnel. What was received is not sent again."""
    running = enrollments.live(connection, subscriber.id, funnel.name)
    if running and running.pattern == pattern and running.state == Enrolled.ACTIVE:
        enrollments.set_traits(connection, running.id, secondary, subscriber.locale)
        return
    if running:
        end(connection, running.id, "another course", now_ms)
    added = enrollments.add(connection, subscriber.id, funnel.name, pattern, secondary, now_ms, subscriber.locale)
    entered = enrollments.by_id(connection, added)
    assert entered is not None
    schedule_next(connection, tools, funnel, [(entered, subscriber.zone)], now_ms)


def end(connection: Connection, enrollment_id: int, reason: str, now_ms: int) -> None:
    """Ends a course: nothing that has not been started will be sent."""
    enrollments.move(connection, enrollment_id, Enrolled.ENDED, reason, now_ms)


def schedule_next(
    connection: Connection, tools: Tools, funnel: Funnel, people: Iterable[tuple[Record, str]], from_ms: int
) -> None:
    """Writes the next due row of each (active enrollment, zone), counted from `from_ms`; finishes who has them all."""
    listed = list(people)
    lesson_ids = revisions.lesson_ids(connection, funnel.name)
    had = _received(connection, lesson_ids, [enrollment.subscriber_id for enrollment, _ in listed])
    rows, finished = [], []
    for enrollment, zone in listed:
        reader = Reader(enrollment.pattern, enrollment.secondary, enrollment.pace, zone)
        step = next_step(funnel, reader, had[enrollment.subscriber_id], from_ms, tools.day_ms)
        if step is None:
            finished.append(enrollment.id)
        else:
            rows.append((enrollment, step.due_ms, lesson_ids[step.lesson.key]))
    enrollments.add_due(connection, rows)
    enrollments.set_states(connection, finished, Enrolled.FINISHED, None, from_ms)


def standing(connection: Connection, rows: Collection[Record]) -> list[Record]:
    """The active enrollments that still are where these due rows or deliveries belong."""
    turns = {row.enrollment_id: row.turn for row in rows}
    people = enrollments.with_subscribers(connection, turns).values() if turns else ()
    return [person for person in people if person.state == Enrolled.ACTIVE and person.turn == turns[person.id]]


def go_on(connection: Connection, tools: Tools, funnel: str, rows: Collection[Record], now_ms: int) -> None:
    """What comes next for every course of `funnel` that still stands at one of these due rows or deliveries."""
    if people := standing(connection, rows):
        _, current = tools.current(connection)[funnel]
        schedule_next(connection, tools, current, [(person, person.zone) for person in people], now_ms)


def _received(connection: Connection, lesson_ids: Mapping[str, int], readers: list[int]) -> Mapping[int, set[str]]:
    """subscriber → the keys of the lessons they have had."""
    keys = {id_: key for key, id_ in lesson_ids.items()}
    had: dict[int, set[str]] = defaultdict(set)
    for subscriber_id, lesson_id in enrollments.received(connection, list(keys), readers):
        had[subscriber_id].add(keys[lesson_id])
    return had


def choose(tools: Tools, delivery_id: int, pattern: str, now_ms: int) -> Funnel | None:
    """Changes the course of a delivery's reader to `pattern`. None when the link or the choice leads nowhere."""
    with writing(tools.engine) as connection:
        found = recipient(connection, delivery_id, lock=True)
        if not found or found[1].state != Standing.ACTIVE:
            return None
        sent, reader = found
        _, funnel = tools.current(connection)[sent.funnel]
        if pattern not in funnel.patterns:
            return None
        enroll(connection, tools, reader, funnel, pattern, None, now_ms)
        return funnel


class Found(NamedTuple):
    """Who is behind a lesson's link: `running` is the live course's pattern, `deleted` whether the result was."""

    funnel: Funnel
    standing: str
    running: str | None
    deleted: bool
    locale: str


def reader_of(tools: Tools, delivery_id: int) -> Found | None:
    """The reader behind a lesson's link."""
    with reading(tools.engine) as connection:
        found = recipient(connection, delivery_id)
        if not found:
            return None
        sent, reader = found
        _, funnel = tools.current(connection)[sent.funnel]
        running = enrollments.live(connection, reader.id, sent.funnel)
        pattern = running.pattern if running else None
        return Found(funnel, reader.state, pattern, sent.lesson_id is None, reader.locale)


def recipient(connection: Connection, delivery_id: int, *, lock: bool = False) -> tuple[Record, Record] | None:
    """(delivery, its subscriber); with `lock`, nobody else changes this person's affairs meanwhile."""
    sent = deliveries.by_id(connection, delivery_id)
    reader = subscribers.by_id(connection, sent.subscriber_id, lock=lock) if sent else None
    return (sent, reader) if sent and reader else None
