"""A reader's own pause, and going on after it: a course is always in exactly one place."""

from sqlalchemy import Connection

from funnel.core.consent import Enrolled, Standing
from funnel.flow.course import meet_others, schedule_next
from funnel.flow.placing import AFTER_ALL
from funnel.flow.tools import Tools
from funnel.store import enrollments, slots
from funnel.store.tables import Record

PAUSED_BY_READER = "paused by its reader"
PAUSED_AFTER_ALL = "paused by its reader, after all"
# Why it is paused → why it is active once it goes on.
_BACK: dict[str | None, str | None] = {PAUSED_BY_READER: None, PAUSED_AFTER_ALL: AFTER_ALL}


def pause(connection: Connection, reader: Record, enrollment_id: int, now_ms: int) -> bool:
    """Pauses a running course of this locked reader. What is being handed over still arrives. False when it does not
    run."""
    running = _own(connection, reader, enrollment_id, Enrolled.ACTIVE)
    if running is None:
        return False
    reason = PAUSED_AFTER_ALL if running.reason == AFTER_ALL else PAUSED_BY_READER
    enrollments.move(connection, running.id, Enrolled.PAUSED, reason, now_ms)
    slots.close(connection, running.id)
    return True


def go_on(connection: Connection, tools: Tools, reader: Record, enrollment_id: int, now_ms: int) -> bool:
    """Goes on with a course that this locked reader has paused, from where it stood. False when that is not so."""
    paused = _own(connection, reader, enrollment_id, Enrolled.PAUSED)
    if paused is None or not may_go_on(paused) or reader.state != Standing.ACTIVE:
        return False
    enrollments.move(connection, paused.id, Enrolled.ACTIVE, _BACK[paused.reason], now_ms)
    meet_others(connection, tools, reader.id, paused.id, now_ms)
    again = enrollments.by_id(connection, paused.id)
    assert again is not None
    _, funnel = tools.current(connection)[paused.funnel]
    schedule_next(connection, tools, funnel, [(again, reader.zone)], now_ms)
    return True


def may_go_on(course: Record) -> bool:
    """Whether a course is paused because its reader wished so."""
    return course.state == Enrolled.PAUSED and course.reason in _BACK


def _own(connection: Connection, reader: Record, enrollment_id: int, state: Enrolled) -> Record | None:
    found = enrollments.by_id(connection, enrollment_id)
    return found if found and found.subscriber_id == reader.id and found.state == state else None
