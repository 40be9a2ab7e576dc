"""What becomes of people half-way through a sequence when it changes. Everything that moves somebody asks here."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from funnel.core.progress import Reader, Step, after_finish, next_step, timed
from funnel.core.schedule import DAY_MS
from funnel.core.sequence import Funnel

LATELY_MS = DAY_MS + 2 * DAY_MS // 24  # the longest local day there is


class Policy(StrEnum):
    """What a change does to those who wait for a lesson.

    GENTLE: whoever's next lesson stays the same keeps its moment; any other comes at that moment at the soonest, and
    nobody is sent back. NEW_ONLY: whoever waits keeps lesson and moment while the lesson exists. ALONG: the next lesson
    is counted anew from the one before it. CATCH_UP: as gentle, and inserted lessons that somebody is past come first,
    at most one a day.
    """

    GENTLE = "gentle"
    NEW_ONLY = "new-only"
    ALONG = "along"
    CATCH_UP = "catch-up"


class Late(StrEnum):
    """How a lesson came to its place in a sequence while people were in it."""

    PASSED = "passed"  # inserted: whoever was past its place does without
    CAUGHT_UP = "caught-up"  # inserted: whoever was past its place gets it all the same, at most one a day
    MOVED = "moved"  # was elsewhere before: whoever has not had it gets it


Known = dict[tuple[tuple[str, ...], tuple[int, ...]], Step | None]  # (what has come, when the latest came) → what next


@dataclass(frozen=True)
class Waits:
    """The lesson that somebody waits for, and its moment (epoch milliseconds); whether they had finished before."""

    lesson: str
    due_ms: int
    finished: bool = False


@dataclass(frozen=True)
class Course:
    """A funnel as it is published: its content, and the lessons that came late to their places."""

    funnel: Funnel
    late: Mapping[str, Late]
    day_ms: int = DAY_MS

    def has(self, pattern: str, lesson: str) -> bool:
        """Whether the lesson stands in the sequence of this pattern."""
        return lesson in self._keys(pattern)

    def onward(
        self, reader: Reader, had: Collection[str], from_ms: int, waits_for: str = "", *, finished: bool = False
    ) -> Step | None:
        """What comes next, counted from `from_ms`. Whoever waits for a lesson is not past it; whoever had `finished`
        gets what is marked after-all."""
        if finished:
            return after_finish(self.funnel, reader, had, from_ms, self.day_ms)
        late = {key: how for key, how in self.late.items() if how != Late.MOVED and key != waits_for}
        behind = self._past(reader.pattern, late, had) if late else frozenset()
        passed = {key for key in behind if late[key] == Late.PASSED}
        step = next_step(self.funnel, reader, passed.union(had) if passed else had, from_ms, self.day_ms)
        if step and step.lesson.key in behind:
            # Caught up: a day after the mail before it at the soonest, so that nobody's mail bursts.
            timing = step.lesson.timing
            rested = replace(step.lesson, timing=replace(timing, wait_ms=max(timing.wait_ms, DAY_MS)))
            return replace(step, due_ms=timed(self.funnel, reader, rested, from_ms, self.day_ms).due_ms)
        return step

    def not_before(self, reader: Reader, step: Step, soonest_ms: int) -> Step:
        """The step, at the first moment from `soonest_ms` on that its lesson's own rules allow."""
        if step.due_ms >= soonest_ms:
            return step
        # A wait of nothing would make it an answer to the reader's own act, free of all rules.
        lesson = replace(step.lesson, timing=replace(step.lesson.timing, wait_ms=1), until=None)
        return replace(step, due_ms=timed(self.funnel, reader, lesson, soonest_ms, self.day_ms).due_ms)

    def _past(self, pattern: str, late: Collection[str], had: Collection[str]) -> frozenset[str]:
        """Those of the `late` lessons, not had, behind which something was had."""
        keys = self._keys(pattern)
        furthest = max((place for key, place in keys.items() if key in had), default=-1)
        return frozenset(key for key in late if keys.get(key, furthest) < furthest and key not in had)

    def _keys(self, pattern: str) -> Mapping[str, int]:
        found = self.funnel.patterns.get(pattern)
        return found.places if found else {}


def rebook(
    policy: Policy, course: Course, reader: Reader, had: Collection[str], waits: Waits, from_ms: int, soonest_ms: int
) -> Step | None:
    """What somebody who waits is to wait for in the changed `course`. None when there is no more to send.

    `from_ms` is when the lesson before was accepted, or the course begun; nothing is moved to before `soonest_ms`.
    """
    step = course.onward(reader, had, from_ms, waits.lesson, finished=waits.finished)
    if policy == Policy.NEW_ONLY and course.has(reader.pattern, waits.lesson):
        return _kept(course, waits)
    if step is None:
        return None
    if policy == Policy.ALONG or (policy == Policy.CATCH_UP and course.late.get(step.lesson.key) == Late.CAUGHT_UP):
        same = step.lesson.key == waits.lesson and step.due_ms == waits.due_ms
        return step if same else course.not_before(reader, step, soonest_ms)
    return _kept(course, waits) if step.lesson.key == waits.lesson else course.not_before(reader, step, waits.due_ms)


def _kept(course: Course, waits: Waits) -> Step:
    found = course.funnel.lesson(waits.lesson)
    assert found is not None, "it stands in the sequence"
    return Step(found[1], waits.due_ms)


def rest(
    course: Course,
    reader: Reader,
    had: Collection[str],
    first: Step | None,
    *,
    finished: bool = False,
    known: Known | None = None,
) -> dict[str, int]:
    """All that is still to come, if every lesson is accepted when it is due: key → instant, in order.

    What is asked again and again for the same course, had and reader, `mailed` aside, may be given the same `known`.
    """
    coming: dict[str, int] = {}
    known = {} if known is None else known
    step = first
    while step is not None:
        coming[step.lesson.key] = from_ms = step.due_ms
        lately = tuple(at_ms for at_ms in coming.values() if at_ms > from_ms - LATELY_MS)
        place = (tuple(coming), lately)
        if place not in known:
            then = replace(reader, mailed=lately)
            known[place] = course.onward(then, {*had, *coming}, from_ms, finished=finished)
        step = known[place]
    return coming
