"""Moving people after a change, part by part, while sending goes on. Whoever begins again goes on where it stopped.

A part is one short transaction: due rows are locked, looked at, and replaced where they change. Somebody who is being
planned at that moment is on the way already, and left alone. Nobody is ever looked at twice for one publication.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from funnel.core.changes import after_all
from funnel.core.consent import Enrolled
from funnel.core.moving import Course, Policy, Waits, rebook
from funnel.core.progress import Reader, Step
from funnel.core.schedule import HOUR_MS
from funnel.flow import editions
from funnel.flow.placing import AFTER_ALL, Facts
from funnel.flow.publish import UNDO_MS
from funnel.flow.tools import Tools
from funnel.store import enrollments, publications, reached, revisions, waiting
from funnel.store.db import reading, writing
from funnel.store.publications import DONE, MOVING, REOPENING, RESTORING
from funnel.store.tables import Record

AT_ONCE = 2_000
_Note = tuple[int, int, int | None, int | None, int | None, int | None]  # in the order of publications.MOVED


@dataclass(frozen=True)
class Part:
    """What a part of the work was about: how many were looked at, how many of them moved, and whether that was all."""

    seen: int
    moved: int
    done: bool


class _Move(NamedTuple):
    """An enrollment, the due row that it has (None: it had finished), and what comes instead (None: nothing)."""

    person: Record
    row: Record | None
    step: Step | None


@dataclass(frozen=True)
class _Scene:
    """What moving looks at: the course as it is now, and its lessons' numbers."""

    entry: Record
    course: Course
    ids: dict[str, int]
    soonest_ms: int


def soonest(tools: Tools, now_ms: int) -> int:
    """Nobody is moved to before this: the coming hour, whose forecast will count them (see funnel/flow/watch.py)."""
    return now_ms - now_ms % HOUR_MS + HOUR_MS if tools.real_time else now_ms


def go_on(tools: Tools, now_ms: int, limit: int = AT_ONCE) -> int:
    """One part of whatever is unfinished, and of what may be forgotten. Returns how many were looked at."""
    with reading(tools.engine) as connection:
        open_ = publications.unfinished(connection)
        old = publications.forgettable(connection, now_ms - UNDO_MS)
    if old is not None:
        with writing(tools.engine) as connection:
            publications.forget(connection, old, limit)
    return sum(part.seen for part in (move_some(tools, id_, now_ms, limit) for id_ in open_) if part)


def to_look_at(tools: Tools) -> int:
    """How many people there are to look at in all that is unfinished."""
    with reading(tools.engine) as connection:
        return sum(publications.to_look_at(connection, id_) for id_ in publications.unfinished(connection))


def move_all(tools: Tools, clock: Callable[[], int], show: Callable[[Part | None], None]) -> int:
    """Everything that is unfinished, to its end, beside whoever else is at it: then a part is None. Returns how many
    people were moved."""
    with reading(tools.engine) as connection:
        open_ = publications.unfinished(connection)
    moved = 0
    for id_ in open_:
        while (part := move_some(tools, id_, clock())) is None or not part.done:
            moved += part.moved if part else 0
            show(part)
    return moved


def move_some(tools: Tools, id_: int, now_ms: int, limit: int = AT_ONCE) -> Part | None:
    """Moves the next people of a publication. None when somebody else is at it just now."""
    with writing(tools.engine) as connection:
        entry = publications.claim(connection, id_)
        if entry is None:
            return Part(0, 0, done=True) if publications.is_done(connection, id_) else None
        _, funnel = tools.current(connection)[entry.funnel]
        ids = revisions.lesson_ids(connection, entry.funnel)
        scene = _Scene(entry, editions.course(connection, tools, funnel), ids, soonest(tools, now_ms))
        if entry.state == RESTORING:
            return _restore_some(connection, scene, limit)
        if entry.state == REOPENING:
            return _reopen_some(connection, tools, scene, now_ms, limit)
        return _move_some(connection, tools, scene, now_ms, limit)


def _move_some(connection: Connection, tools: Tools, scene: _Scene, now_ms: int, limit: int) -> Part:
    entry = scene.entry
    cursor = (entry.cursor_ms, entry.cursor_id, entry.cursor_turn)
    rows = waiting.after(connection, list(scene.ids.values()), cursor, limit)
    if not rows:
        reopens = _reopens(connection, tools, scene)
        publications.enter(connection, entry.id, REOPENING if reopens else DONE)
        return Part(0, 0, done=not reopens)
    changed = _rebook(connection, tools, scene, rows, now_ms)
    last = rows[-1]
    publications.advance(connection, entry, (last.due_ms, last.enrollment_id, last.turn), len(rows), changed)
    return Part(len(rows), changed, done=False)


def _reopens(connection: Connection, tools: Tools, scene: _Scene) -> bool:
    """Whether the change brings something for those who had finished."""
    entry = scene.entry
    if entry.policy == Policy.NEW_ONLY or entry.before_id is None or entry.restores_id is not None:
        return False
    before = editions.readable(connection, tools, entry.before_id)
    return before is not None and bool(after_all(scene.course.funnel) - after_all(before))


def _rebook(connection: Connection, tools: Tools, scene: _Scene, rows: Sequence[Record], now_ms: int) -> int:
    """Replaces the due rows that the change moves. Returns how many."""
    before = publications.already_moved(connection, scene.entry.id, [row.enrollment_id for row in rows])
    fresh = [row for row in rows if row.enrollment_id not in before]
    people = enrollments.with_subscribers(connection, [row.enrollment_id for row in fresh])
    funnel, policy = scene.course.funnel, Policy(scene.entry.policy)
    facts = Facts(connection, tools, funnel, [row.subscriber_id for row in fresh], now_ms)
    events = reached.of(connection, list(people)) if "event" in funnel.reads else {}
    keys = {id_: key for key, id_ in scene.ids.items()}
    moves: list[_Move] = []
    for row in fresh:
        person = people.get(row.enrollment_id)
        if person is None or person.turn != row.turn or person.state != Enrolled.ACTIVE:
            continue
        reader = facts.reader(person, person.zone, person.id, events.get(person.id, {}))
        had, from_ms = facts.had[person.subscriber_id], facts.last_ms.get(person.id, person.created_ms)
        waits = Waits(keys[row.lesson_id], row.due_ms, person.reason == AFTER_ALL)
        step = rebook(policy, scene.course, reader, had, waits, from_ms, scene.soonest_ms)
        if step is None or (scene.ids[step.lesson.key], step.due_ms) != (row.lesson_id, row.due_ms):
            moves.append(_Move(person, row, step))
    _write(connection, scene, facts, moves, now_ms)
    return len(moves)


def _write(connection: Connection, scene: _Scene, facts: Facts, moves: Sequence[_Move], now_ms: int) -> None:
    waiting.remove(connection, [(row.due_ms, row.enrollment_id, row.turn) for _, row, _ in moves if row])
    onward = [(step.due_ms, scene.ids[step.lesson.key], person) for person, _, step in moves if step]
    waiting.add(connection, onward)
    for due_ms, _, person in onward:
        facts.crowd.book(person.subscriber_id, person.id, due_ms)
    facts.crowd.keep()
    ended = [person.id for person, _, step in moves if step is None]
    enrollments.set_states(connection, ended, Enrolled.FINISHED, None, now_ms)
    notes: list[_Note] = []
    for person, row, step in moves:
        before = (row.due_ms, row.lesson_id) if row else (None, None)
        after = (step.due_ms, scene.ids[step.lesson.key]) if step else (None, None)
        notes.append((person.id, person.turn, *before, *after))
    publications.record_moved(connection, scene.entry.id, notes)


def _reopen_some(connection: Connection, tools: Tools, scene: _Scene, now_ms: int, limit: int) -> Part:
    """Gives those who had finished what is marked after-all and new to them."""
    entry, funnel = scene.entry, scene.course.funnel
    people = waiting.finished(connection, entry.funnel, entry.cursor_id, limit)
    if not people:
        publications.enter(connection, entry.id, DONE)
        return Part(0, 0, done=True)
    facts = Facts(connection, tools, funnel, [person.subscriber_id for person in people], now_ms)
    events = reached.of(connection, [person.id for person in people]) if "event" in funnel.reads else {}
    moves: list[_Move] = []
    for person in people:
        reader = facts.reader(person, person.zone, person.id, events.get(person.id, {}))
        step = scene.course.onward(reader, facts.had[person.subscriber_id], now_ms, finished=True)
        if step:
            moves.append(_Move(person, None, scene.course.not_before(reader, step, scene.soonest_ms)))
    waiting.set_state(connection, [person.id for person, _, _ in moves], Enrolled.ACTIVE, AFTER_ALL)
    _write(connection, scene, facts, moves, now_ms)
    publications.advance(connection, entry, (-1, people[-1].id, -1), len(people), len(moves))
    return Part(len(people), len(moves), done=False)


def _restore_some(connection: Connection, scene: _Scene, limit: int) -> Part:
    """Puts those back whom the undone publication has moved, and who have not been mailed since."""
    entry = scene.entry
    rows = publications.moved_after(connection, entry.restores_id, entry.cursor_id, limit)
    if not rows:
        publications.enter(connection, entry.id, MOVING)
        return Part(0, 0, done=False)
    there = waiting.standing(connection, {_new_key(row) for row in rows if row.new_due_ms is not None})
    ended = [row.enrollment_id for row in rows if row.new_due_ms is None]
    free = {person.id for person in waiting.finished(connection, entry.funnel, -1, limit, ended)}
    theirs = [row for row in rows if _new_key(row) in there or row.enrollment_id in free]
    people = enrollments.with_subscribers(connection, [row.enrollment_id for row in theirs])
    standing = [row for row in theirs if people[row.enrollment_id].turn == row.turn]
    waiting.remove(connection, sorted(there))
    waiting.set_state(connection, [row.enrollment_id for row in standing if row.old_due_ms is None], Enrolled.FINISHED)
    waiting.set_state(connection, [row.enrollment_id for row in standing if row.new_due_ms is None], Enrolled.ACTIVE)
    back = [row for row in standing if row.old_due_ms is not None]
    again = [(*_old_place(scene, people[row.enrollment_id], row), people[row.enrollment_id]) for row in back]
    waiting.add(connection, again)
    notes: list[_Note] = [(p.id, p.turn, due_ms, lesson_id, due_ms, lesson_id) for due_ms, lesson_id, p in again]
    publications.record_moved(connection, entry.id, notes)
    publications.advance(connection, entry, (-1, rows[-1].enrollment_id, -1), len(rows), len(standing))
    return Part(len(rows), len(standing), done=False)


def _new_key(row: Record) -> tuple[int, int, int]:
    return (row.new_due_ms, row.enrollment_id, row.turn)


def _old_place(scene: _Scene, person: Record, row: Record) -> tuple[int, int]:
    """Where somebody waited before, (due_ms, lesson number); what is in the past by now comes at the next good hour."""
    key = next(key for key, id_ in scene.ids.items() if id_ == row.old_lesson_id)
    found = scene.course.funnel.lesson(key)
    if found is None or row.old_due_ms >= scene.soonest_ms:
        return row.old_due_ms, row.old_lesson_id
    reader = Reader(person.pattern, person.secondary, person.pace, person.zone)
    return scene.course.not_before(reader, Step(found[1], row.old_due_ms), scene.soonest_ms).due_ms, row.old_lesson_id
