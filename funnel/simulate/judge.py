"""What was promised to every reader, held against what came through their letterboxes."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum

from funnel.core.calendar import wall, zone_for
from funnel.core.sequence import Funnel, Lesson, Pattern
from funnel.simulate.world import Departure

NIGHT = (time(22), time(6))


class Promise(StrEnum):
    """What nobody may ever find broken."""

    NIGHT = "nobody is mailed at night"
    QUIET = "nobody is mailed in quiet hours"
    DAY = "nobody gets more lessons on a day than they should"
    WEEKDAY = "lessons come on their weekdays only"
    ORDER = "lessons come in order"
    ONCE = "no lesson comes twice"
    LEFT = "nobody is mailed what they left"
    STRANDED = "nobody is stranded"
    PUNCTUAL = "nothing that is due is left lying"
    SENT = "every lesson that is planned is sent"
    BUILT = "every lesson can be built"
    HELD = "no funnel is held by its watch"


@dataclass(frozen=True)
class Breach:
    """One promise broken: to which reader, if to one, by which lesson, when (epoch milliseconds), and how."""

    promise: Promise
    says: str
    reader: int | None = None
    lesson: str | None = None
    at_ms: int | None = None


@dataclass(frozen=True)
class Arrival:
    """A lesson in somebody's letterbox, at their own time.

    One that `is_answer` answers the reader's own act: it comes when they act, whatever the hour.
    """

    reader: int
    funnel: Funnel
    pattern: Pattern
    lesson: Lesson
    at_ms: int
    local: datetime
    is_answer: bool

    @property
    def place(self) -> int:
        """In its sequence, from 0."""
        return self.pattern.lessons.index(self.lesson)


def arrival(funnel: Funnel, lesson: str, reader: int, zone: str, at_ms: int, events: Collection[str] = ()) -> Arrival:
    """A lesson as it came to somebody who had reached these events. There was never more than this one revision."""
    named = funnel.lesson(lesson)
    assert named is not None, "only this revision was ever published"
    timing, until = named[1].timing, named[1].until
    is_answer = timing.at_once and (until is None or until.event in events)
    return Arrival(reader, funnel, *named, at_ms, wall(at_ms, zone_for(funnel, zone)), is_answer)


def judge(came: Sequence[Arrival], left: Sequence[Departure]) -> Iterator[Breach]:
    """What is wrong with what one reader got, in order of coming; `left` is what they left."""
    for each in came:
        yield from _hours(each)
        if _was_left(each, left):
            yield _breach(Promise.LEFT, each, "after the reader had left it")
    yield from _sequence(came)
    yield from _days([each for each in came if not each.is_answer])


def _hours(each: Arrival) -> Iterator[Breach]:
    clock, timing = each.local.time(), each.lesson.timing
    if each.local.weekday() not in timing.days and not each.is_answer:
        yield _breach(Promise.WEEKDAY, each, "on a day that the lesson does not name")
    if each.is_answer:
        return
    if _within(clock, NIGHT):
        yield _breach(Promise.NIGHT, each, "in the night")
    if timing.quiet and _within(clock, timing.quiet):
        yield _breach(Promise.QUIET, each, "in the quiet hours")
    if timing.not_before and clock < timing.not_before:
        yield _breach(Promise.QUIET, each, f"before {timing.not_before:%H:%M}")


def _sequence(came: Sequence[Arrival]) -> Iterator[Breach]:
    had: set[tuple[str, str]] = set()
    last: dict[tuple[str, str], Arrival] = {}
    for each in came:
        name, course = (each.funnel.name, each.lesson.key), (each.funnel.name, each.pattern.key)
        if name in had:
            yield _breach(Promise.ONCE, each, "once more")
        if course in last and each.place < last[course].place:
            yield _breach(Promise.ORDER, each, f"after {last[course].lesson.key}")
        had.add(name)
        last[course] = each


def _days(scheduled: Sequence[Arrival]) -> Iterator[Breach]:
    """Each lesson's own funnel says how many a day may bring, of whatever funnel; where it says nothing, one."""
    days: Counter[date] = Counter()
    for each in scheduled:
        days[each.local.date()] += 1
        most = each.funnel.schedule.daily_cap or 1
        if days[each.local.date()] > most:
            yield _breach(Promise.DAY, each, f"number {days[each.local.date()]} of that day; {most} may come")


def _was_left(each: Arrival, left: Sequence[Departure]) -> bool:
    """Whether the last that its reader did about this course, before it came, was to leave it."""
    theirs = (departure for departure in left if departure.funnel in (None, each.funnel.name))
    last = max((one for one in theirs if one.at_ms < each.at_ms), key=lambda one: one.at_ms, default=None)
    return last is not None and last.pattern != each.pattern.key


def _breach(promise: Promise, each: Arrival, how: str) -> Breach:
    says = f"{each.lesson.key} came at {each.local:%a %Y-%m-%d %H:%M} ({each.local.tzinfo}), {how}"
    return Breach(promise, says, each.reader, each.lesson.key, each.at_ms)


def _within(clock: time, hours: tuple[time, time]) -> bool:
    begin, end = hours
    return begin <= clock < end if begin <= end else clock >= begin or clock < end
