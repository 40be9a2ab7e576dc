"""What a change would mean to those who are half-way through, before anything happens. Exact: nobody is sampled."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection

from funnel import content
from funnel.content import revision_id
from funnel.core.changes import after_all, changes, late
from funnel.core.moving import Course, Policy, rest
from funnel.core.outlook import Change, Entry, Outlook, Peers, Person
from funnel.core.sequence import Funnel
from funnel.flow import editions
from funnel.flow.placing import AFTER_ALL, Facts
from funnel.flow.rebooking import soonest
from funnel.flow.tools import Tools
from funnel.store import census, publications, reached, revisions, waiting
from funnel.store.db import reading

AT_ONCE = 5_000


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
        change = Change(before, after, policy, now_ms, soonest(tools, now_ms), _alike(before.funnel, changed))
        found.on_their_way = publications.on_their_way(connection, name)
        for peers, people in _everybody(connection, before.funnel, changed):
            found.waiting += len(people)
            for entries, count in Outlook(change, peers).groups(people):
                _count(peers, entries, count, found)
        if policy != Policy.NEW_ONLY and after_all(changed) - after_all(before.funnel):
            _count_finished(connection, tools, change, found)
    return found


def dry_run(tools: Tools, root: Path, policy: Policy, now_ms: int) -> dict[str, tuple[Funnel, Impact]]:
    """What publishing the files below `root` would make of everybody: (content, impact) by funnel, for those that have
    changed. Raises ContentError with every problem found."""
    found = content.read_all(root)
    with reading(tools.engine) as connection:
        current = revisions.current(connection)
    changed = {name: funnel for name, (files, funnel) in found.items() if current.get(name) != revision_id(files)}
    return {name: (funnel, impact(tools, name, funnel, policy, now_ms)) for name, funnel in changed.items()}


def _alike(before: Funnel, after: Funnel) -> frozenset[str]:
    """The patterns to whose readers both say the same."""
    shared = ((each.timezone, each.schedule, each.alike) for each in (before, after))
    if next(shared) != next(shared):
        return frozenset()
    return frozenset(after.patterns).difference(each.pattern for each in changes(before, after))


def _everybody(connection: Connection, before: Funnel, after: Funnel) -> Iterator[tuple[Peers, list[Person]]]:
    """All who wait, in groups that are alike; of no account is what no lesson reads."""
    ids = revisions.lesson_ids(connection, before.name)
    keys = {id_: key for key, id_ in ids.items()}
    awaited = {event for funnel in (before, after) for event in funnel.awaits}
    for each in census.everybody(connection, list(ids.values()), before.reads | after.reads, awaited):
        traits = each.pattern, each.secondary, each.pace, each.zone, each.locale or after.locale
        had, finished = frozenset(keys[id_] for id_ in each.had), each.reason == AFTER_ALL
        peers = Peers(traits, each.events, had, keys[each.lesson_id], each.begun, finished)
        yield peers, list(zip(each.dues, each.starts, strict=True))


def _count_finished(connection: Connection, tools: Tools, change: Change, found: Impact) -> None:
    """Adds what comes to those who had finished, part by part."""
    course, last = change.after, -1
    while people := waiting.finished(connection, course.funnel.name, last, AT_ONCE):
        facts = Facts(connection, tools, course.funnel, [person.subscriber_id for person in people], change.now_ms)
        events = reached.of(connection, [person.id for person in people]) if "event" in course.funnel.reads else {}
        for person in people:
            reader = facts.reader(person, person.zone, person.id, events.get(person.id, {}))
            had = facts.had[person.subscriber_id]
            if step := course.onward(reader, had, change.now_ms, finished=True):
                first = course.not_before(reader, step, change.soonest_ms)
                found.finished += 1
                for lesson, at_ms in rest(course, reader, had, first, finished=True).items():
                    found.lessons[lesson][Effect.GAIN].add(1, None, (at_ms, at_ms))
        last = people[-1].id


def _count(peers: Peers, entries: tuple[Entry, ...], count: int, found: Impact) -> None:
    moves = False
    for lesson, old_ms, new_ms in entries:
        before, after = (None if at_ms is None else (at_ms, at_ms) for at_ms in (old_ms, new_ms))
        if after and lesson in peers.had:
            found.lessons[lesson][Effect.REPEAT].add(count, before, after)
        if effect := _effect(old_ms, new_ms):
            moves = True
            found.lessons[lesson][effect].add(count, before, after)
    found.unmoved += 0 if moves else count


def _effect(old_ms: int | None, new_ms: int | None) -> Effect | None:
    if new_ms is None:
        return Effect.SKIP
    if old_ms is None:
        return Effect.GAIN
    if old_ms == new_ms:
        return None
    return Effect.SOONER if new_ms < old_ms else Effect.LATER


def _joined(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
