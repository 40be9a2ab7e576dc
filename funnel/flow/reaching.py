"""Events: a reader presses a button on a lesson's page, and the course answers."""

from sqlalchemy import Connection

from funnel.core.consent import Enrolled, Standing
from funnel.core.progress import goal_reached
from funnel.core.sequence import Funnel
from funnel.flow.course import end, enroll, recipient
from funnel.flow.placing import replace_due
from funnel.flow.tools import Tools
from funnel.store import enrollments, reached
from funnel.store.db import writing
from funnel.store.tables import Record

GOAL = "goal reached"


def reach(tools: Tools, delivery_id: int, event: str, now_ms: int) -> bool | None:
    """Records that the reader of a delivery reached `event`, which its lesson offers; pressing twice is once.

    None where there is no such event; False where nothing is to be reached any more: the course has ended.
    """
    with writing(tools.engine) as connection:
        found = recipient(connection, delivery_id, lock=True)
        if not found or not _offers(connection, tools, found[0], event):
            return None
        sent, reader = found
        running = enrollments.by_id(connection, sent.enrollment_id)
        gone = running is None or running.state not in (Enrolled.ACTIVE, Enrolled.FINISHED)
        if running is None or gone or reader.state != Standing.ACTIVE:
            return False
        if reached.add(connection, running.id, reader.id, event, now_ms) and running.state == Enrolled.ACTIVE:
            _, funnel = tools.current(connection)[sent.funnel]
            _answer(connection, tools, funnel, reader, running, event, now_ms)
        return True


def _offers(connection: Connection, tools: Tools, sent: Record, event: str) -> bool:
    """Whether the lesson has a button for this event, in the revision in which it was sent."""
    if sent.revision_id is None or sent.lesson_key is None:
        return False
    found = tools.funnel(connection, sent.revision_id).lesson(sent.lesson_key)
    return found is not None and event in found[1].source.events


def _answer(
    connection: Connection, tools: Tools, funnel: Funnel, reader: Record, running: Record, event: str, now_ms: int
) -> None:
    """What the course does about it: it ends, gives way to another, or brings what waits for this."""
    pattern = funnel.patterns.get(running.pattern)
    goal = goal_reached(pattern, {event}) if pattern else None
    if goal and goal.to:
        enroll(connection, tools, reader, funnel, goal.to, None, now_ms)
    elif goal:
        end(connection, running.id, GOAL, now_ms)
    elif "event" in funnel.reads:
        replace_due(connection, tools, funnel, [running.id], now_ms)
