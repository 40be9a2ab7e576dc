"""What readers change about their course while it runs: the time zone they live in, and the pace."""

from funnel.core.consent import Enrolled
from funnel.core.schedule import PACES, is_zone
from funnel.flow.placing import replace_due
from funnel.flow.tools import Tools
from funnel.store import enrollments, positions, subscribers
from funnel.store.db import writing


def change_zone(tools: Tools, subscriber_id: int, zone: str, now_ms: int) -> bool:
    """A reader lives by another clock now: every due row of theirs is written anew. False for an unknown zone."""
    if not is_zone(zone):
        return False
    with writing(tools.engine) as connection:
        if subscribers.by_id(connection, subscriber_id, lock=True) is None:
            return False
        positions.set_zone(connection, subscriber_id, zone)
        for running in enrollments.all_live(connection, subscriber_id):
            _, funnel = tools.current(connection)[running.funnel]
            replace_due(connection, tools, funnel, [running.id], now_ms)
        return True


def change_pace(tools: Tools, enrollment_id: int, pace: str, now_ms: int) -> bool:
    """A running course goes on faster or slower from the lesson before. False for an unknown pace or course."""
    if pace not in PACES:
        return False
    with writing(tools.engine) as connection:
        running = enrollments.by_id(connection, enrollment_id)
        if running is None or running.state not in (Enrolled.ACTIVE, Enrolled.PAUSED):
            return False
        subscribers.by_id(connection, running.subscriber_id, lock=True)
        positions.set_pace(connection, enrollment_id, pace)
        _, funnel = tools.current(connection)[running.funnel]
        replace_due(connection, tools, funnel, [enrollment_id], now_ms)
        return True
