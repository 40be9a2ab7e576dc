"""Why: the story of a course or of one delivery, without the person. What is not on record it does not guess."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from funnel.core.consent import Enrolled
from funnel.flow.doctor import evidence
from funnel.flow.fate import Line, fate, rule, scheduled
from funnel.flow.reckoning import Past, gather, reckon
from funnel.flow.tools import Tools
from funnel.flow.wording import Words, clock, revision, words
from funnel.store import batches, history
from funnel.store.db import reading
from funnel.store.holds import EVERYTHING, funnel_scope
from funnel.store.tables import Record

AS_NOW = "Zone, pace and second pattern are taken as they are now: what they were before is not on record."
OTHER_REVISION = (
    "The first publications are not on record: of the time before, the revision named gives this very time."
)
TURNS = "Of a course's changes only the last one has its time on record."
HOLDS = "Holds that have ended are not on record: what came late may have been held, paced, or met no worker."


@dataclass(frozen=True)
class Story:
    """What it is `about`, the `lines` in order of time, those without one last; and what is not on record (`gaps`)."""

    about: Mapping[str, str | int]
    lines: tuple[Line, ...]
    gaps: tuple[str, ...]


def of_enrollment(tools: Tools, enrollment_id: int, now_ms: int, *, lessons: bool = False) -> Story | None:
    """The story of a course. None when there is none of that number. `lessons` shows what tells a pattern."""
    with reading(tools.engine) as connection:
        past = gather(connection, enrollment_id)
        return _tell(connection, tools, past, now_ms, lessons=lessons) if past else None


def of_delivery(tools: Tools, delivery_id: int, now_ms: int, *, lessons: bool = False) -> Story | None:
    """The story of one delivery, and of its course as far as it bears on it."""
    with reading(tools.engine) as connection:
        enrollment_id = history.enrollment_of(connection, delivery_id)
        past = gather(connection, enrollment_id) if enrollment_id is not None else None
        if past is None:
            return None
        told = _tell(connection, tools, past, now_ms, lessons=lessons, only=delivery_id)
    return Story({"delivery": delivery_id, **told.about}, told.lines, told.gaps)


def _tell(
    connection: Connection, tools: Tools, past: Past, now_ms: int, *, lessons: bool, only: int | None = None
) -> Story:
    spoken = words(connection, tools, past.course.funnel, open_=lessons)
    lines = [*_course(past, spoken, now_ms), *_deliveries(connection, tools, past, spoken, now_ms, only)]
    if only is None:
        lines += _waiting(connection, tools, past, spoken, now_ms)
    timed = sorted((line for line in lines if line.at_ms is not None), key=lambda line: line.at_ms or 0)
    untimed = [line for line in lines if line.at_ms is None]
    return Story(_about(past, spoken), (*timed, *untimed), tuple(_gaps(past, lines)))


def _about(past: Past, spoken: Words) -> dict[str, str | int]:
    course = past.course
    found: dict[str, str | int] = {
        "enrollment": course.id,
        "funnel": course.funnel,
        "state": course.state + (f" ({rule(course.reason)})" if course.reason else ""),
        "turn": course.turn,
        "pace": course.pace,
        "zone": course.zone,
        "reader": f"{course.subscriber_state} since {clock(course.subscriber_ms)}",
    }
    if past.current:
        found["content"] = f"{revision(past.current.revision_id)}, current since {clock(past.current.since_ms)}"
    if spoken.open_:
        found["pattern"] = " and ".join(filter(None, (course.pattern, course.secondary))) or "withdrawn"
    return found


def _course(past: Past, spoken: Words, now_ms: int) -> Iterator[Line]:
    """What happened to the course itself, and to its reader's consents."""
    course = past.course
    for row in past.consents:
        yield Line(row.at_ms, "consent", f"{row.purpose}: {row.action}, in the wording of {revision(row.revision_id)}")
    yield Line(course.created_ms, "entered", "the course begins; its first lesson is counted from here")
    if course.changed_ms != course.created_ms or course.turn > 1:
        why = f": {rule(course.reason)}" if course.reason else ""
        yield Line(course.changed_ms, "changed", f"the course is {course.state}, in turn {course.turn}{why}")
    yield from _published(past, spoken)
    for event, at_ms in past.reached.items():
        yield Line(at_ms, "reached", f"the reader reached {spoken.event(event)}")
    if past.suppressed:
        yield Line(past.suppressed.at_ms, "suppressed", f"the address is not mailed: {past.suppressed.reason}")
    for row in past.held:
        if row.scope in (EVERYTHING, funnel_scope(course.funnel)) or row.scope.startswith("provider:"):
            until = "until a person resumes it" if row.until_ms is None else f"until {clock(row.until_ms)}"
            if row.until_ms is None or row.until_ms > now_ms:
                yield Line(row.since_ms, "held", f"{row.scope}: {row.reason}; {until}")


def _published(past: Past, spoken: Words) -> Iterator[Line]:
    """The publications since the course began, and where they have moved it."""
    for row in past.published:
        if row.at_ms > past.course.created_ms:
            yield Line(row.at_ms, "published", f"{revision(row.revision_id)} is current, by policy {row.policy}")
        if move := past.moves.get(row.id):
            before = _place(spoken, move.old_key, move.old_due_ms) or "having finished"
            after = _place(spoken, move.new_key, move.new_due_ms) or "the end: nothing is left to send"
            yield Line(row.at_ms, "moved", f"by that publication, from {before}, to {after}")


def _place(spoken: Words, key: str | None, due_ms: int | None) -> str:
    return "" if due_ms is None else f"{spoken.lesson(key)}, due at {clock(due_ms)}"


def _deliveries(
    connection: Connection, tools: Tools, past: Past, spoken: Words, now_ms: int, only: int | None
) -> Iterator[Line]:
    for row in past.deliveries:
        if only in (None, row.id):
            reckoned = reckon(connection, tools, past, row, row.id, row.batch_revision_id) if row.lesson_key else None
            yield from fate(past, row, spoken, reckoned, partial(_evidence, connection, tools, row, now_ms))


def _evidence(connection: Connection, tools: Tools, row: Record, now_ms: int) -> str:
    found = batches.by_id(connection, row.batch_id)
    return evidence(connection, tools, found, now_ms)[0] if found else ""


def _waiting(connection: Connection, tools: Tools, past: Past, spoken: Words, now_ms: int) -> Iterator[Line]:
    """Where the course stands: what is due, or that nothing is."""
    current = past.current.revision_id if past.current else None
    standing = False
    for row in past.due:
        if row.turn != past.course.turn or past.course.state != Enrolled.ACTIVE:
            says = f"a due row of turn {row.turn} for {spoken.lesson(row.lesson_key)} is left: it will not be sent"
            yield Line(row.due_ms, "void", says)
            continue
        standing = True
        yield scheduled(spoken, row.lesson_key, row.due_ms, reckon(connection, tools, past, row, None, current), None)
        says = f"{spoken.lesson(row.lesson_key)} is due" + ("" if row.due_ms > now_ms else ", and not planned yet")
        yield Line(row.due_ms, "due", says)
    if not standing and past.course.state == Enrolled.ACTIVE and not _open(past):
        yield Line(None, "stranded", "an active course that waits for nothing: this should not be")


def _open(past: Past) -> bool:
    """Whether a delivery of the present turn is on its way."""
    states = ("planned", "started", "unknown")
    return any(
        row.turn == past.course.turn and row.state is None and row.batch_state in states for row in past.deliveries
    )


def _gaps(past: Past, lines: list[Line]) -> Iterator[str]:
    if any(line.what == "scheduled" for line in lines):
        yield AS_NOW
    if len(past.revisions) > 1 and past.current_at(past.course.created_ms) is None:
        yield OTHER_REVISION
    if past.course.turn > 1:
        yield TURNS
    if any("not on record" in line.says for line in lines):
        yield HOLDS
