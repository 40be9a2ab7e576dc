"""Placing people: the due row of what comes next, from everything that the sequence asks about them."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from funnel.core.consent import Enrolled
from funnel.core.moving import LATELY_MS
from funnel.core.progress import Reader, put_off
from funnel.core.sequence import Funnel
from funnel.flow import editions
from funnel.flow.crowd import Crowd, shares_days
from funnel.flow.tools import Tools
from funnel.store import enrollments, positions, reached, revisions
from funnel.store.db import exclude_starts
from funnel.store.tables import Record

# Why an enrollment is active that had been finished: it gets what is marked after-all, and nothing else.
AFTER_ALL = "after all"


class Placed(NamedTuple):
    """An active enrollment, its reader's zone, and the moment from which the next lesson is counted."""

    enrollment: Record
    zone: str
    from_ms: int


class Facts:
    """What sequences ask about some people, read at once for all of them."""

    def __init__(
        self, connection: Connection, tools: Tools, funnel: Funnel, subscriber_ids: Collection[int], now_ms: int
    ) -> None:
        shared = shares_days(tools, tools.current(connection))
        self.crowd = Crowd(connection, subscriber_ids if shared else ())
        self.lesson_ids = revisions.lesson_ids(connection, funnel.name)
        everywhere = revisions.lessons(connection) if shared else self.lesson_ids.values()
        self.had: dict[int, set[str]] = defaultdict(set)
        self.last_ms: dict[int, int] = {}
        self.under_way: set[int] = set()
        self._mailed: dict[int, list[int]] = defaultdict(list)
        keys = {id_: key for key, id_ in self.lesson_ids.items()}
        for row in positions.had(connection, list(everywhere), subscriber_ids):
            if row.lesson_id in keys:
                self.had[row.subscriber_id].add(keys[row.lesson_id])
            self.last_ms[row.enrollment_id] = max(row.at_ms, self.last_ms.get(row.enrollment_id, 0))
            if row.open:
                self.under_way.add(row.enrollment_id)
            if funnel.schedule.daily_cap and row.at_ms > now_ms - LATELY_MS:
                self._mailed[row.subscriber_id].append(row.at_ms)
        self._main_locale = funnel.locale

    def reader(self, position: Record, zone: str, enrollment_id: int, events: dict[str, int]) -> Reader:
        """Somebody at a `position`: an enrollment, or a due row."""
        who = position.subscriber_id
        mailed = (*self._mailed.get(who, ()), *self.crowd.others(who, enrollment_id))
        traits = position.pattern, position.secondary, position.pace, zone, position.locale or self._main_locale
        return Reader(*traits, events, mailed)


def place(
    connection: Connection,
    tools: Tools,
    funnel: Funnel,
    people: Sequence[Placed],
    now_ms: int,
    facts: Facts | None = None,
) -> None:
    """Writes the next due row of each active enrollment; finishes who has had all."""
    who = [each.enrollment.subscriber_id for each in people]
    facts = facts or Facts(connection, tools, funnel, who, now_ms)
    ids = [each.enrollment.id for each in people]
    events = reached.of(connection, ids) if "event" in funnel.reads else {}
    edition = editions.course(connection, tools, funnel)
    rows, finished = [], []
    for enrollment, zone, from_ms in people:
        reader = facts.reader(enrollment, zone, enrollment.id, events.get(enrollment.id, {}))
        had = facts.had[enrollment.subscriber_id]
        step = edition.onward(reader, had, from_ms, finished=enrollment.reason == AFTER_ALL)
        if step is None:
            finished.append(enrollment.id)
            facts.crowd.leave(enrollment.subscriber_id, enrollment.id)
            continue
        due_ms = step.due_ms
        if tools.real_time and from_ms < now_ms:
            due_ms = put_off(funnel, reader, step.lesson, due_ms, now_ms)
        facts.crowd.book(enrollment.subscriber_id, enrollment.id, due_ms)
        rows.append((enrollment, due_ms, facts.lesson_ids[step.lesson.key]))
    enrollments.add_due(connection, rows)
    enrollments.set_states(connection, finished, Enrolled.FINISHED, None, now_ms)
    facts.crowd.keep()


def replace_due(connection: Connection, tools: Tools, funnel: Funnel, ids: Collection[int], now_ms: int) -> int:
    """Writes the due rows of these enrollments of `funnel` anew, counted from what was accepted last.

    Whoever is not active is left alone, and who has a lesson under way: what comes next follows from its settling.
    Returns how many were placed.
    """
    exclude_starts(connection)  # from here on nothing new gets under way
    people = enrollments.with_subscribers(connection, ids)
    facts = Facts(connection, tools, funnel, [each.subscriber_id for each in people.values()], now_ms)
    free = [id_ for id_ in people if id_ not in facts.under_way]
    turned = positions.begin_turns(connection, free, now_ms)
    placed = [
        Placed(each, people[each.id].zone, facts.last_ms.get(each.id, each.created_ms))
        for each in sorted(turned, key=lambda each: int(each.id))
    ]
    place(connection, tools, funnel, placed, now_ms, facts)
    return len(placed)
