"""Being in a course: entering one, what comes next, changing to another, leaving, coming back."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection

from funnel.core.consent import Action, Enrolled, Purpose, Standing
from funnel.core.schedule import due_ms, is_zone
from funnel.core.sequence import Funnel, Lesson
from funnel.flow.tools import Tools
from funnel.store import batches, enrollments, revisions, signups, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record

UNDO_MS = 24 * 3_600_000
UNSUBSCRIBED = "unsubscribed"
COURSE = frozenset({Purpose.COURSE})


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
        enrollments.set_secondary(connection, running.id, secondary)
        return
    if running:
        end(connection, running.id, "another course", now_ms)
    added = enrollments.add(connection, subscriber.id, funnel.name, pattern, secondary, now_ms)
    entered = enrollments.by_id(connection, added)
    assert entered is not None
    schedule_next(connection, tools, funnel, [(entered, subscriber.zone)], now_ms)


def end(connection: Connection, enrollment_id: int, reason: str, now_ms: int) -> None:
    """Ends a course: nothing that has not been started will be sent."""
    enrollments.move(connection, enrollment_id, Enrolled.ENDED, reason, now_ms)
    enrollments.skip_planned(connection, enrollment_id, reason)


def schedule_next(
    connection: Connection, tools: Tools, funnel: Funnel, people: Iterable[tuple[Record, str]], from_ms: int
) -> None:
    """Writes the next due row of each (active enrollment, zone), counted from `from_ms`; finishes who has them all."""
    listed = list(people)
    lesson_ids = revisions.lesson_ids(connection, funnel.name)
    had = enrollments.received(connection, [enrollment.subscriber_id for enrollment, _ in listed])
    rows, finished = [], []
    for enrollment, zone in listed:
        lesson = next_lesson(funnel, enrollment, lesson_ids, had)
        if lesson is None:
            finished.append(enrollment.id)
            continue
        local = zone if is_zone(zone) else funnel.timezone
        rows.append(
            {
                "due_ms": due_ms(from_ms, lesson.timing, local, enrollment.pace, tools.day_ms),
                "enrollment_id": enrollment.id,
                "lesson_id": lesson_ids[lesson.key],
                "turn": enrollment.turn,
            }
        )
    enrollments.add_due(connection, rows)
    enrollments.set_states(connection, finished, Enrolled.FINISHED, None, from_ms)


def next_lesson(
    funnel: Funnel, enrollment: Record, lesson_ids: dict[str, int], had: Collection[tuple[int, int]]
) -> Lesson | None:
    """The first lesson of the enrollment's sequence that its subscriber has not received."""
    pattern = funnel.patterns.get(enrollment.pattern)
    lessons = pattern.lessons if pattern else ()
    return next(
        (lesson for lesson in lessons if (enrollment.subscriber_id, lesson_ids[lesson.key]) not in had),
        None,
    )


def choose(tools: Tools, delivery_id: int, pattern: str, now_ms: int) -> Funnel | None:
    """Changes the course of a delivery's reader to `pattern`. None when the link or the choice leads nowhere."""
    with writing(tools.engine) as connection:
        sent = batches.delivery_by_id(connection, delivery_id)
        reader = sent and subscribers.by_id(connection, sent.subscriber_id, lock=True)
        if not sent or not reader:
            return None
        _, funnel = tools.current(connection)[sent.funnel]
        if pattern not in funnel.patterns or reader.state != Standing.ACTIVE:
            return None
        enroll(connection, tools, reader, funnel, pattern, None, now_ms)
        return funnel


def reader_of(tools: Tools, delivery_id: int) -> tuple[Funnel, Record, str, str | None] | None:
    """(funnel, delivery, the reader's standing, the pattern of the live course) behind a lesson's link."""
    with reading(tools.engine) as connection:
        sent = batches.delivery_by_id(connection, delivery_id)
        reader = sent and subscribers.by_id(connection, sent.subscriber_id)
        if not sent or not reader:
            return None
        _, funnel = tools.current(connection)[sent.funnel]
        running = enrollments.live(connection, reader.id, sent.funnel)
        return funnel, sent, reader.state, running.pattern if running else None


def unsubscribe(tools: Tools, delivery_id: int, now_ms: int) -> bool:
    """Stops everything for a delivery's reader, at once and for good. False when there is no such delivery."""
    with writing(tools.engine) as connection:
        sent = batches.delivery_by_id(connection, delivery_id)
        reader = sent and subscribers.by_id(connection, sent.subscriber_id, lock=True)
        if not sent or not reader:
            return False
        if reader.state != Standing.ACTIVE:
            return True
        for running in enrollments.all_live(connection, reader.id):
            end(connection, running.id, UNSUBSCRIBED, now_ms)
        subscribers.set_state(connection, reader.id, Standing.UNSUBSCRIBED, now_ms)
        subscribers.suppress(connection, reader.address_hash, UNSUBSCRIBED, now_ms)
        _record(connection, reader.id, Action.WITHDRAWN, now_ms, COURSE)
        return True


def withdraw(tools: Tools, delivery_id: int, now_ms: int) -> bool:
    """Stops everything and deletes the result: the patterns, and the ledger that would tell them. No way back."""
    with writing(tools.engine) as connection:
        sent = batches.delivery_by_id(connection, delivery_id)
        reader = sent and subscribers.by_id(connection, sent.subscriber_id, lock=True)
        if not sent or not reader:
            return False
        for running in enrollments.all_live(connection, reader.id):
            end(connection, running.id, UNSUBSCRIBED, now_ms)
        subscribers.set_state(connection, reader.id, Standing.UNSUBSCRIBED, now_ms)
        subscribers.suppress(connection, reader.address_hash, UNSUBSCRIBED, now_ms)
        _record(connection, reader.id, Action.WITHDRAWN, now_ms, frozenset(Purpose))
        signups.replace_all(connection, reader.id)
        enrollments.forget_patterns(connection, reader.id)
        batches.forget_deliveries(connection, reader.id)
        return True


def undo_unsubscribe(tools: Tools, delivery_id: int, now_ms: int) -> bool:
    """Takes an unsubscription back, within a day and by its own reader's link; courses go on where they stood."""
    with writing(tools.engine) as connection:
        sent = batches.delivery_by_id(connection, delivery_id)
        reader = sent and subscribers.by_id(connection, sent.subscriber_id, lock=True)
        if not sent or not reader:
            return False
        if reader.state != Standing.UNSUBSCRIBED or reader.changed_ms < now_ms - UNDO_MS:
            return bool(reader.state == Standing.ACTIVE)
        ended = enrollments.ended_for(connection, reader.id, UNSUBSCRIBED, reader.changed_ms)
        subscribers.set_state(connection, reader.id, Standing.ACTIVE, now_ms)
        subscribers.lift(connection, [reader.address_hash], [UNSUBSCRIBED])
        _record(connection, reader.id, Action.CONFIRMED, now_ms, COURSE)
        for stopped in ended:
            enrollments.move(connection, stopped.id, Enrolled.ACTIVE, None, now_ms)
            again = enrollments.by_id(connection, stopped.id)
            assert again is not None
            _, funnel = tools.current(connection)[stopped.funnel]
            schedule_next(connection, tools, funnel, [(again, reader.zone)], now_ms)
        return True


def _record(
    connection: Connection, subscriber_id: int, action: Action, now_ms: int, purposes: frozenset[Purpose]
) -> None:
    """Appends `action` for these consents, in the wordings last agreed to."""
    for row in signups.last_consents(connection, subscriber_id):
        if row.purpose in purposes:
            wordings = {row.purpose: row.wording_hash}
            signups.record_consents(
                connection, subscriber_id, row.signup_id, wordings, row.revision_id, row.locale, action, now_ms
            )
