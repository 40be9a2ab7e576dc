"""Being in a course: entering one, what comes next, changing to another."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from funnel.core.consent import Enrolled, Standing
from funnel.core.sequence import Funnel
from funnel.flow import crowd
from funnel.flow.placing import AFTER_ALL, Placed, place, replace_due
from funnel.flow.sent import Sent
from funnel.flow.tools import Tools
from funnel.store import deliveries, enrollments, slots, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record

AFTER_ALL_ONLY = "after-all"  # Schedule.on_reentry


def enroll(
    connection: Connection,
    tools: Tools,
    subscriber: Record,
    funnel: Funnel,
    pattern: str,
    secondary: str | None,
    now_ms: int,
) -> None:
    """Makes `pattern` the subscriber's one live course in this funnel. What was received is not sent again, nor is what
    is the same."""
    running = enrollments.live(connection, subscriber.id, funnel.name)
    if running and running.pattern == pattern and running.state == Enrolled.ACTIVE:
        _change_traits(connection, tools, funnel, running, secondary, subscriber.locale, now_ms)
        return
    if running:
        end(connection, running.id, "another course", now_ms)
    again = funnel.schedule.on_reentry == AFTER_ALL_ONLY and _has_finished(connection, subscriber.id, funnel, pattern)
    known = subscriber.locale, subscriber.link_only
    added = enrollments.add(connection, subscriber.id, funnel.name, pattern, secondary, now_ms, *known)
    if again:
        enrollments.set_states(connection, [added], Enrolled.ACTIVE, AFTER_ALL, now_ms)
    meet_others(connection, tools, subscriber.id, added, now_ms)
    entered = enrollments.by_id(connection, added)
    assert entered is not None
    schedule_next(connection, tools, funnel, [(entered, subscriber.zone)], now_ms)


def meet_others(connection: Connection, tools: Tools, subscriber_id: int, enrollment_id: int, now_ms: int) -> None:
    """A course begins, or begins again: from now on it shares the days with the reader's others."""
    for other in crowd.join(connection, tools, subscriber_id, enrollment_id):
        found = enrollments.by_id(connection, other)
        if found:
            replace_due(connection, tools, tools.current(connection)[found.funnel][1], [other], now_ms)


def _change_traits(
    connection: Connection,
    tools: Tools,
    funnel: Funnel,
    running: Record,
    secondary: str | None,
    locale: str,
    now_ms: int,
) -> None:
    enrollments.set_traits(connection, running.id, secondary, locale)
    changed = {"secondary"} if secondary != running.secondary else set()
    changed |= {"locale"} if locale != running.locale else set()
    if changed & funnel.reads:
        replace_due(connection, tools, funnel, [running.id], now_ms)


def _has_finished(connection: Connection, subscriber_id: int, funnel: Funnel, pattern: str) -> bool:
    rows = enrollments.finished(connection, subscriber_id, funnel.name)
    return any(row.pattern == pattern for row in rows)


def end(connection: Connection, enrollment_id: int, reason: str, now_ms: int) -> None:
    """Ends a course: nothing that has not been started will be sent."""
    enrollments.move(connection, enrollment_id, Enrolled.ENDED, reason, now_ms)
    slots.close(connection, enrollment_id)


def schedule_next(
    connection: Connection, tools: Tools, funnel: Funnel, people: Iterable[tuple[Record, str]], from_ms: int
) -> None:
    """Writes the next due row of each (active enrollment, zone), counted from `from_ms`; finishes who has them all."""
    place(connection, tools, funnel, [Placed(enrolled, zone, from_ms) for enrolled, zone in people], from_ms)


def standing(connection: Connection, rows: Collection[Record | Sent]) -> list[Record]:
    """The active enrollments that still are where these due rows or deliveries belong."""
    turns = {row.enrollment_id: row.turn for row in rows}
    people = enrollments.with_subscribers(connection, turns).values() if turns else ()
    return [person for person in people if person.state == Enrolled.ACTIVE and person.turn == turns[person.id]]


def go_on(connection: Connection, tools: Tools, funnel: str, rows: Collection[Record | Sent], now_ms: int) -> None:
    """What comes next for every course of `funnel` that still stands at one of these due rows or deliveries."""
    if people := standing(connection, rows):
        _, current = tools.current(connection)[funnel]
        schedule_next(connection, tools, current, [(person, person.zone) for person in people], now_ms)


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
