"""What a change would mean to those who are half-way through, before anything happens. Exact: nobody is sampled.

Everything a change makes of somebody grows with the instants that it depends on: when their wait began, and when it
ends. So people who are alike in all else are put in order; where the first and the last of them are answered alike, so
are all between, and a million people take a few thousand answers.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, partial
from operator import itemgetter
from pathlib import Path

from sqlalchemy import Connection

from funnel import content
from funnel.content import revision_id
from funnel.core.changes import after_all, changes, late
from funnel.core.moving import Course, Known, Late, Policy, Waits, rebook, rest
from funnel.core.progress import Reader, Step
from funnel.core.sequence import Funnel
from funnel.flow import editions
from funnel.flow.placing import AFTER_ALL, Facts
from funnel.flow.rebooking import soonest
from funnel.flow.tools import Tools
from funnel.store import census, publications, reached, revisions, waiting
from funnel.store.db import reading

AT_ONCE = 5_000
_KEPT = -1  # in place of an instant: the very moment that is waited for
_Entry = tuple[str, int | None, int | None]  # lesson, when it would have come, and when it will
_People = list[tuple[int, int]]  # (due_ms, from_ms), in order
_from = itemgetter(1)


class Effect(StrEnum):
    """What becomes of a lesson that somebody has not had yet."""

    SOONER = "sooner"
    LATER = "later"
    SKIP = "skip"
    GAIN = "gain"
    REPEAT = "repeat"


@dataclass
class Tally:
    """How many people, and the first and last instants at which the lesson would have come to them, and will."""

    count: int = 0
    before: tuple[int, int] | None = None
    after: tuple[int, int] | None = None

    def add(self, count: int, before: tuple[int, int] | None, after: tuple[int, int] | None) -> None:
        self.count += count
        self.before = _joined(self.before, before)
        self.after = _joined(self.after, after)


@dataclass
class Impact:
    """`waiting` people were looked at, of whom `unmoved` see no difference; `on_their_way` are being sent a lesson, and
    go on by the changed content; `finished` had been through, and get something more."""

    waiting: int = 0
    on_their_way: int = 0
    unmoved: int = 0
    finished: int = 0
    lessons: dict[str, dict[Effect, Tally]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Tally)))


@dataclass(frozen=True)
class _Kind:
    """People who are alike in all but their instants."""

    traits: tuple[str, str | None, str, str, str]
    reached: tuple[tuple[str, int], ...]
    had: frozenset[str]
    lesson: str
    finished: bool

    def reader(self, mailed_ms: int) -> Reader:
        return Reader(*self.traits, dict(self.reached), (mailed_ms,))


@dataclass(frozen=True)
class _Change:
    """Both courses, and how people are moved from one to the other."""

    before: Course
    after: Course
    policy: Policy
    soonest_ms: int
    alike: frozenset[str]  # the patterns of which both say the same

    def answer(self, kind: _Kind, known: tuple[Known, Known], due_ms: int, from_ms: int) -> tuple[_Entry, ...]:
        """Every lesson that is still to come to somebody of this kind, before or after; `known` of them by either."""
        reader, had, waits = kind.reader(from_ms), kind.had, Waits(kind.lesson, due_ms, kind.finished)
        step = rebook(self.policy, self.after, reader, had, waits, from_ms, self.soonest_ms)
        kept = step is not None and step.lesson.key == kind.lesson and self._keeps(kind.lesson)
        if kept and reader.pattern in self.alike:
            return ()
        over, found = kind.finished, self.before.funnel.lesson(kind.lesson)
        stays = found is not None and self.before.has(reader.pattern, kind.lesson)
        first = Step(found[1], due_ms) if found and stays else self.before.onward(reader, had, due_ms, finished=over)
        old = rest(self.before, reader, had, first, finished=over, known=known[0])
        new = rest(self.after, reader, had, step, finished=over, known=known[1])
        if stays:
            old[kind.lesson] = _KEPT
        if kept:
            new[kind.lesson] = _KEPT
        return tuple((key, old.get(key), new.get(key)) for key in dict.fromkeys((*old, *new)))

    def _keeps(self, lesson: str) -> bool:
        """Whether whoever waits for this lesson and goes on to do so keeps its moment, whatever that is."""
        return self.policy != Policy.ALONG and self.after.late.get(lesson) != Late.CAUGHT_UP


def impact(tools: Tools, name: str, changed: Funnel, policy: Policy, now_ms: int) -> Impact:
    """What publishing `changed` would make of everybody who waits for a lesson of this funnel."""
    found = Impact()
    with reading(tools.engine) as connection:
        published = tools.current(connection).get(name)
        if published is None:
            return found
        before = editions.course(connection, tools, published[1])
        comes = {**before.late, **late(before.funnel, changed, policy)}
        after = Course(changed, comes, tools.day_ms)
        change = _Change(before, after, policy, soonest(tools, now_ms), _alike(before, after))
        found.on_their_way = publications.on_their_way(connection, name)
        for kind, people in _kinds(connection, before.funnel, changed):
            found.waiting += len(people)
            _look(change, kind, people, found)
        if policy != Policy.NEW_ONLY and after_all(changed) - after_all(before.funnel):
            _count_finished(connection, tools, change, found, now_ms)
    return found


def dry_run(tools: Tools, root: Path, policy: Policy, now_ms: int) -> dict[str, tuple[Funnel, Impact]]:
    """What publishing the files below `root` would make of everybody: (content, impact) by funnel, for those that have
    changed. Raises ContentError with every problem found."""
    found = content.read_all(root)
    with reading(tools.engine) as connection:
        current = revisions.current(connection)
    changed = {name: funnel for name, (files, funnel) in found.items() if current.get(name) != revision_id(files)}
    return {name: (funnel, impact(tools, name, funnel, policy, now_ms)) for name, funnel in changed.items()}


def _alike(before: Course, after: Course) -> frozenset[str]:
    touched = {each.pattern for each in changes(before.funnel, after.funnel)}
    return (
        frozenset() if before.funnel.timezone != after.funnel.timezone else frozenset(after.funnel.patterns) - touched
    )


def _kinds(connection: Connection, before: Funnel, after: Funnel) -> Iterator[tuple[_Kind, _People]]:
    """Everybody who waits, kind by kind; of no account is what no lesson reads."""
    ids = revisions.lesson_ids(connection, before.name)
    keys = {id_: key for key, id_ in ids.items()}
    awaited = {event for funnel in (before, after) for event in funnel.awaits}
    for each in census.everybody(connection, list(ids.values()), before.reads | after.reads, awaited):
        traits = each.pattern, each.secondary, each.pace, each.zone, each.locale or after.locale
        had, over = frozenset(keys[id_] for id_ in each.had), each.reason == AFTER_ALL
        kind = _Kind(traits, each.events, had, keys[each.lesson_id], over)
        yield kind, sorted(zip(each.dues, each.starts, strict=True))


def _look(change: _Change, kind: _Kind, people: _People, found: Impact) -> None:
    """Adds what becomes of these people, all at once where that is right, else half by half."""
    # Most are asked for twice: an end of a half is an end of the whole.
    answer = cache(partial(change.answer, kind, ({}, {})))
    parts = [people]
    while parts:
        part = parts.pop()
        low, high, first, last = part[0][0], part[-1][0], min(part, key=_from)[1], max(part, key=_from)[1]
        told = answer(low, first)
        if told == answer(high, last) and all(_sign(entry, low) == _sign(entry, high) for entry in told):
            _count(kind, told, (low, high), len(part), found)
        else:
            half = len(part) // 2
            parts += [part[half:], part[:half]]


def _count_finished(connection: Connection, tools: Tools, change: _Change, found: Impact, now_ms: int) -> None:
    """Adds what comes to those who had finished, part by part."""
    course, last = change.after, -1
    while people := waiting.finished(connection, course.funnel.name, last, AT_ONCE):
        facts = Facts(connection, tools, course.funnel, [person.subscriber_id for person in people], now_ms)
        events = reached.of(connection, [person.id for person in people]) if "event" in course.funnel.reads else {}
        for person in people:
            reader = facts.reader(person, person.zone, person.id, events.get(person.id, {}))
            had = facts.had[person.subscriber_id]
            if step := course.onward(reader, had, now_ms, finished=True):
                first = course.not_before(reader, step, change.soonest_ms)
                found.finished += 1
                for lesson, at_ms in rest(course, reader, had, first, finished=True).items():
                    found.lessons[lesson][Effect.GAIN].add(1, None, (at_ms, at_ms))
        last = people[-1].id


def _sign(entry: _Entry, due_ms: int) -> int:
    """Whether the lesson comes sooner (-1), at the same moment or later (1) for whoever waits for `due_ms`."""
    _, old, new = entry
    if old is None or new is None:
        return 0
    before, after = (due_ms if each == _KEPT else each for each in (old, new))
    return (after > before) - (after < before)


def _count(kind: _Kind, answer: Sequence[_Entry], dues: tuple[int, int], count: int, found: Impact) -> None:
    moves = False
    for entry in answer:
        lesson, old, new = entry
        before, after = (None if at is None else dues if at == _KEPT else (at, at) for at in (old, new))
        if new is not None and lesson in kind.had:
            found.lessons[lesson][Effect.REPEAT].add(count, before, after)
        if effect := _effect(entry, dues[0]):
            moves = True
            found.lessons[lesson][effect].add(count, before, after)
    found.unmoved += 0 if moves else count


def _effect(entry: _Entry, due_ms: int) -> Effect | None:
    _, old, new = entry
    if new is None:
        return Effect.SKIP
    if old is None:
        return Effect.GAIN
    return {-1: Effect.SOONER, 0: None, 1: Effect.LATER}[_sign(entry, due_ms)]


def _joined(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
