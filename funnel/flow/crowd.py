"""People in several courses at once: their mails share the days that a cap leaves."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection

from funnel.core.consent import Enrolled
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.store import enrollments, slots


class Crowd:
    """What is booked for those of some people who are in several courses. Asked of nobody, it asks nothing."""

    def __init__(self, connection: Connection, subscriber_ids: Collection[int]) -> None:
        self._connection = connection
        self._slots = slots.of(connection, subscriber_ids) if subscriber_ids else {}
        self._fresh: dict[tuple[int, int], int] = {}

    def __contains__(self, subscriber_id: int) -> bool:
        return len(self._slots.get(subscriber_id, ())) > 1

    def others(self, subscriber_id: int, enrollment_id: int) -> Iterable[int]:
        """When the lessons of this person's other courses are due."""
        theirs = self._slots.get(subscriber_id, {})
        return (due_ms for each, due_ms in theirs.items() if each != enrollment_id)

    def book(self, subscriber_id: int, enrollment_id: int, due_ms: int) -> None:
        """Takes a moment for a course; whoever has only one needs none."""
        if subscriber_id in self:
            self._slots[subscriber_id][enrollment_id] = due_ms
            self._fresh[subscriber_id, enrollment_id] = due_ms

    def leave(self, subscriber_id: int, enrollment_id: int) -> None:
        """A course is over."""
        if subscriber_id in self:
            slots.close(self._connection, enrollment_id)

    def keep(self) -> None:
        """Writes what was booked."""
        slots.put(self._connection, self._fresh)


def shares_days(tools: Tools, published: Mapping[str, tuple[str, Funnel]]) -> bool:
    """Whether there is more than one funnel, and a cap on the mails of a day."""
    capped = any(funnel.schedule.daily_cap for _, funnel in published.values())
    return tools.real_time and len(published) > 1 and capped


def join(connection: Connection, tools: Tools, subscriber_id: int, enrollment_id: int) -> list[int]:
    """Somebody begins a course: it and the others will know of each other.

    Returns the others that have not said yet when their next lessons are due.
    """
    if not shares_days(tools, tools.current(connection)):
        return []
    live = [each for each in enrollments.all_live(connection, subscriber_id) if each.state == Enrolled.ACTIVE]
    others = [each.id for each in live if each.id != enrollment_id]
    if not others:
        return []
    slots.open_for(connection, subscriber_id, (*others, enrollment_id))
    known = slots.of(connection, [subscriber_id])[subscriber_id]
    return [each for each in others if not known[each]]
