"""What was promised to every reader, held against what came through their letterboxes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise

from funnel.core.schedule import zone_of
from funnel.core.sequence import Funnel, Lesson
from funnel.simulate.cohort import Person

NIGHT = (time(22), time(6))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Promise(StrEnum):
    """What nobody may ever find broken."""

    NIGHT = "nobody is mailed at night"
    DAY = "nobody gets two lessons on one day"
    WEEKDAY = "lessons come on their weekdays only"
    ORDER = "lessons come in order"
    ONCE = "no lesson comes twice"
    STRANDED = "nobody is stranded"
    PUNCTUAL = "nothing that is due is left lying"
    SENT = "every lesson that is planned is sent"
    BUILT = "every lesson can be built"
    HELD = "no funnel is held by its watch"


@dataclass(frozen=True)
class Breach:
    """One promise broken: to whom, if to somebody, by which lesson, when (epoch milliseconds), and how."""

    promise: Promise
    says: str
    person: int | None = None
    lesson: str | None = None
    at_ms: int | None = None


@dataclass(frozen=True)
class Arrival:
    """A lesson in somebody's letterbox, at their own time."""

    person: Person
    place: int  # in the sequence, from 0
    lesson: Lesson
    at_ms: int
    local: datetime

    @property
    def is_answer(self) -> bool:
        """Whether it answers the reader's own act: it comes when they act, whatever the hour."""
        return not self.lesson.timing.wait_ms and self.lesson.timing.at is None


def arrivals(funnel: Funnel, person: Person, mails: Iterable[tuple[int, str]]) -> list[Arrival]:
    """A reader's mails, as (epoch milliseconds, lesson key), in order of coming."""
    zone = zone_of(person.zone) or zone_of(funnel.timezone) or UTC
    found = []
    for at_ms, key in sorted(mails):
        named = funnel.lesson(key)
        assert named is not None, "only this revision was ever published"
        pattern, lesson = named
        local = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
        found.append(Arrival(person, pattern.lessons.index(lesson), lesson, at_ms, local))
    return found


def judge(came: Sequence[Arrival]) -> Iterator[Breach]:
    """What is wrong with what one reader got, in order of coming."""
    for each in came:
        if not each.is_answer and _is_night(each.local.time()):
            yield _breach(Promise.NIGHT, each, "in the night")
        if each.local.weekday() not in each.lesson.timing.days:
            yield _breach(Promise.WEEKDAY, each, "on a day that the lesson does not name")
    keys = [each.lesson.key for each in came]
    for number, each in enumerate(came):
        if each.lesson.key in keys[:number]:
            yield _breach(Promise.ONCE, each, "once more")
    for before, each in pairwise(came):
        if each.place < before.place:
            yield _breach(Promise.ORDER, each, f"after {before.lesson.key}")
    scheduled = [each for each in came if not each.is_answer]
    for before, each in pairwise(scheduled):
        if each.local.date() == before.local.date():
            yield _breach(Promise.DAY, each, f"on the day of {before.lesson.key}")


def _breach(promise: Promise, each: Arrival, how: str) -> Breach:
    says = f"{each.lesson.key} came at {each.local:%a %Y-%m-%d %H:%M} {each.person.zone}, {how}"
    return Breach(promise, says, each.person.number, each.lesson.key, each.at_ms)


def _is_night(clock: time) -> bool:
    begins, ends = NIGHT
    return clock >= begins or clock < ends


def stranded(places: Mapping[int, int]) -> Iterator[Breach]:
    """`places`: enrollment → in how many places it is, of those that are not in exactly one."""
    for person, count in places.items():
        how = "waits for nothing" if not count else f"is in {count} places at once"
        yield Breach(Promise.STRANDED, f"an active course {how}", person)
