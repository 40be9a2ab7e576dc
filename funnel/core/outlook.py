"""What a change makes of people who are alike in all but their instants. Exact: nobody is sampled.

`Outlook.entries` tells it of one person. `Outlook.groups` asks it once for all who are bound to be told the same:

- Which lesson comes next is read off who somebody is, what they have had and which events they reached. It is the same
  for all of them, whatever their instants.
- When somebody's wait began matters only by the moment at which that lesson comes, counted from then. The day of their
  last mail may be full, but that moment lies behind it, and nothing is looked for before that moment.
- It only grows with the beginning of the wait, if the lesson has an hour of its own and no event cut it short. So where
  it is the same for the first and the last in a row, it is so for all between, and few have to be reckoned.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from funnel.core.moving import LATELY_MS, Course, Known, Late, Policy, Waits, rebook, rest
from funnel.core.progress import Reader, Step
from funnel.core.sequence import Lesson

Entry = tuple[str, int | None, int | None]  # lesson, when it would have come, and when it will
Person = tuple[int, int]  # (due_ms, from_ms): the moment that is waited for, and when the wait began


@dataclass(frozen=True)
class Change:
    """Both courses, and how people are moved from one to the other, at `now_ms`; to nothing before `soonest_ms`."""

    before: Course
    after: Course
    policy: Policy
    now_ms: int
    soonest_ms: int
    alike: frozenset[str] = frozenset()  # patterns to whose readers both say the same


@dataclass(frozen=True)
class Peers:
    """People who wait for the same `lesson`, and are alike. `traits` are a Reader's, up to the locale.

    `events` are those reached, with the instant, or 0: before the wait began. `begun` is whether the course has sent
    them something; their wait began with it. `finished` is whether they had been through before.
    """

    traits: tuple[str, str | None, str, str, str]
    events: tuple[tuple[str, int], ...]
    had: frozenset[str]
    lesson: str
    begun: bool = True
    finished: bool = False


class Outlook:
    """What is still to come to these people, before and after the change."""

    def __init__(self, change: Change, peers: Peers) -> None:
        self._change, self._peers, self._pattern = change, peers, peers.traits[0]
        self._known: tuple[Known, Known] = {}, {}
        found = change.before.funnel.lesson(peers.lesson)
        self._lesson = found[1] if found and change.before.has(self._pattern, peers.lesson) else None

    def groups(self, people: Collection[Person]) -> Iterator[tuple[tuple[Entry, ...], int]]:
        """Everybody, as (entries, how many people)."""
        step = self._onward(next(iter(people))[1])
        keeps = self._keeps(step)
        if keeps and self._pattern in self._change.alike:
            yield (), len(people)
            return
        stand_ins = self._stand_ins(sorted({from_ms for _, from_ms in people}), None if keeps else step)
        alike = Counter((due_ms, stand_ins[from_ms]) for due_ms, from_ms in people)
        for (due_ms, from_ms), count in alike.items():
            yield self.entries(due_ms, from_ms), count

    def entries(self, due_ms: int, from_ms: int) -> tuple[Entry, ...]:
        """Every lesson that is still to come, before or after, to somebody who waits for `due_ms` since `from_ms`."""
        change, peers, reader = self._change, self._peers, self._reader(from_ms)
        waits = Waits(peers.lesson, due_ms, peers.finished)
        new = rebook(change.policy, change.after, reader, peers.had, waits, from_ms, change.soonest_ms)
        old = Step(self._lesson, due_ms) if self._lesson else None
        old = old or change.before.onward(reader, peers.had, due_ms, finished=peers.finished)
        was = rest(change.before, reader, peers.had, old, finished=peers.finished, known=self._known[0])
        will = rest(change.after, reader, peers.had, new, finished=peers.finished, known=self._known[1])
        return tuple((key, was.get(key), will.get(key)) for key in dict.fromkeys((*was, *will)))

    def _reader(self, from_ms: int) -> Reader:
        mailed = self._peers.begun and from_ms > self._change.now_ms - LATELY_MS
        return Reader(*self._peers.traits, dict(self._peers.events), (from_ms,) if mailed else ())

    def _onward(self, from_ms: int) -> Step | None:
        """What comes next by the new course alone."""
        had, lesson, finished = self._peers.had, self._peers.lesson, self._peers.finished
        return self._change.after.onward(self._reader(from_ms), had, from_ms, lesson, finished=finished)

    def _keeps(self, step: Step | None) -> bool:
        """Whether they keep their lesson and moment, whatever that is, where `step` comes next by the new course."""
        policy, after, lesson = self._change.policy, self._change.after, self._peers.lesson
        if policy == Policy.NEW_ONLY and after.has(self._pattern, lesson):
            return True
        if step is None or policy == Policy.ALONG or step.lesson.key != lesson:
            return False
        return policy != Policy.CATCH_UP or after.late.get(lesson) != Late.CAUGHT_UP

    def _stand_ins(self, starts: Sequence[int], counted: Step | None) -> dict[int, int]:
        """Beginning of a wait → one for which the same is told to whoever waits for the same moment.

        `starts` are in order; `counted` is the step of one of them, if its moment is of account.
        """
        if self._lesson is None or (counted and not self._grows(counted.lesson)):
            return {from_ms: from_ms for from_ms in starts}
        if counted is None:
            return dict.fromkeys(starts, starts[0])
        moment = cache(self._moment)
        found: dict[int, int] = {}
        parts = [(0, len(starts) - 1)]
        while parts:
            first, last = parts.pop()
            if moment(starts[first]) == moment(starts[last]):
                found.update(dict.fromkeys(starts[first : last + 1], starts[first]))
            else:
                middle = (first + last) // 2
                parts += [(first, middle), (middle + 1, last)]
        return found

    def _moment(self, from_ms: int) -> int | None:
        step = self._onward(from_ms)
        return step.due_ms if step else None

    def _grows(self, lesson: Lesson) -> bool:
        """Whether the lesson's moment only grows with the beginning of the wait, in steps of a day or more."""
        reached_ms = lesson.until and dict(self._peers.events).get(lesson.until.event)
        return lesson.timing.at is not None and not reached_ms
