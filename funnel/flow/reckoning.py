"""Why something was due when it was, reckoned anew: revisions never change, and acceptance is on record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Connection

from funnel.core.delivery import NEVER_SENT
from funnel.core.progress import Reader, Step, after_finish, next_step
from funnel.flow.tools import Tools
from funnel.store import history, holds, publications, reached
from funnel.store.tables import Record

REVISIONS_AT_MOST = 8  # that are tried; each has to be read
ANCHORS_AT_MOST = 4


@dataclass(frozen=True)
class Past:
    """All that is on record about a course: its own `deliveries`, and those of every course of its reader (`all`).

    `published` are its funnel's publications, the newest first; `moves`, by publication, how they have moved it.
    """

    course: Record
    all: Sequence[Record]
    entries: dict[int, int]
    events: Sequence[Record]
    consents: Sequence[Record]
    due: Sequence[Record]
    suppressed: Record | None
    revisions: Sequence[Record]
    current: Record | None
    held: Sequence[Record]
    reached: Mapping[str, int]
    published: Sequence[Record]
    moves: Mapping[int, Record]

    def current_at(self, at_ms: int) -> str | None:
        """The revision that was current then, as far as publications are on record."""
        return next((row.revision_id for row in self.published if row.at_ms <= at_ms), None)

    @property
    def deliveries(self) -> list[Record]:
        return [row for row in self.all if row.enrollment_id == self.course.id]


@dataclass(frozen=True)
class Reckoned:
    """The step that gives a recorded time: counted from `from_ms`, when `what` happened, by this revision."""

    from_ms: int
    what: str
    revision_id: str
    step: Step


def gather(connection: Connection, enrollment_id: int) -> Past | None:
    """What is on record; None when there is no such enrollment."""
    course = history.course(connection, enrollment_id)
    if course is None:
        return None
    rows = history.deliveries(connection, course.subscriber_id)
    published = publications.listed(connection, course.funnel)
    return Past(
        course=course,
        all=rows,
        entries=history.ledger_entries(connection, course.subscriber_id),
        events=history.events(connection, [row.id for row in rows if row.enrollment_id == course.id]),
        consents=history.consents(connection, course.subscriber_id),
        due=history.due_rows(connection, course.id),
        suppressed=history.suppressed(connection, course.subscriber_id),
        revisions=history.revisions(connection, course.funnel),
        current=history.current_since(connection, course.funnel),
        held=holds.listed(connection),
        reached=reached.of(connection, [course.id]).get(course.id, {}),
        published=published,
        moves=publications.moves_of(connection, course.id, [row.id for row in published]),
    )


def reckon(
    connection: Connection, tools: Tools, past: Past, due: Record, delivery_id: int | None, revision_id: str | None
) -> Reckoned | None:
    """What made a lesson due: the latest of what happened before from which some revision, `revision_id` first, gives
    this very time; or else gives the same lesson earlier: then it was put off. None when none does.

    `due` is a due row, or with `delivery_id` a delivery: what was planned later did not come before it.
    """
    earlier: Reckoned | None = None
    before = [row for row in past.all if delivery_id is None or row.id < delivery_id]
    for name, from_ms, what in _candidates(past, before, due.due_ms, revision_id):
        funnel = tools.funnel(connection, name)
        reader, had = _reader(past, before, from_ms, due.due_ms), _had(before, from_ms)
        for step_of in (next_step, after_finish):
            step = step_of(funnel, reader, had, from_ms, tools.day_ms)
            if step is None or step.lesson.key != due.lesson_key:
                continue
            found = Reckoned(from_ms, what, name, step)
            if step.due_ms == due.due_ms:
                return found
            earlier = earlier or (found if step.due_ms < due.due_ms else None)
    return earlier


def _candidates(past: Past, before: Sequence[Record], due_ms: int, first: str | None) -> Iterator[tuple[str, int, str]]:
    """(revision, instant, what happened then): first with what was current at the instant, then with any other."""
    anchors = _anchors(past, before, due_ms)
    then = [(past.current_at(from_ms), from_ms, what) for from_ms, what in anchors]
    ever = [(name, *anchor) for name in _revisions(past, first) for anchor in anchors]
    for name, from_ms, what in dict.fromkeys((*then, *ever)):
        if name is not None:
            yield name, from_ms, what


def _revisions(past: Past, first: str | None) -> list[str]:
    current = past.current.revision_id if past.current else None
    wanted = dict.fromkeys((first, current, *(row.id for row in past.revisions)))
    return [name for name in wanted if name is not None][:REVISIONS_AT_MOST]


def _anchors(past: Past, before: Sequence[Record], due_ms: int) -> list[tuple[int, str]]:
    """What a time may have been counted from, the latest first."""
    course = past.course
    found = [(at_ms, f"delivery {row.id} was accepted") for row, at_ms in _accepted(before)]
    found += [(course.created_ms, "the course was entered"), (course.changed_ms, "the course was changed")]
    found.sort(key=itemgetter(0), reverse=True)  # of what happened at once, the acceptance first
    return [each for each in found if each[0] <= due_ms][:ANCHORS_AT_MOST]


def _accepted(rows: Sequence[Record]) -> Iterator[tuple[Record, int]]:
    for row in rows:
        if row.batch_settled_ms is not None and row.state not in NEVER_SENT:
            yield row, row.batch_settled_ms


def _had(rows: Sequence[Record], at_ms: int) -> set[str]:
    """The keys of the lessons that the reader had, or may have had, by then."""
    sent = (row for row in rows if row.lesson_key and row.state not in NEVER_SENT)
    return {row.lesson_key for row in sent if row.batch_started_ms is not None and row.batch_started_ms <= at_ms}


def _reader(past: Past, before: Sequence[Record], at_ms: int, due_ms: int) -> Reader:
    """As the course is now: what it was before is not on record."""
    course = past.course
    mailed = tuple(settled_ms for _, settled_ms in _accepted(before) if settled_ms <= at_ms)
    events = {event: reached_ms for event, reached_ms in past.reached.items() if reached_ms <= due_ms}
    return Reader(course.pattern, course.secondary, course.pace, course.zone, course.locale, events, mailed)
