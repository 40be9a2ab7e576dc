"""A simulation, from inventing its people to what it found."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from funnel.core.consent import RESCHEDULED
from funnel.core.lesson import Source
from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.mail.compile import Layouts
from funnel.simulate.cohort import Course, invent
from funnel.simulate.judge import Arrival, Breach, Promise, arrival, judge
from funnel.simulate.world import Departure, World, world
from funnel.store import cohort, holds
from funnel.store.db import reading


@dataclass(frozen=True)
class Plan:
    """Who is invented: how many, signing up from `start_ms` on within `over_ms`; and how long the clock runs."""

    people: int
    days: int
    start_ms: int
    over_ms: int
    seed: int
    funnel: str | None = None


@dataclass(frozen=True)
class Report:
    """`hours`: epoch milliseconds of an hour's beginning → lessons sent in it. `courses`: state → how many."""

    lessons: int
    hours: Mapping[int, int]
    courses: Mapping[str, int]
    breaches: Sequence[Breach]

    @property
    def peak(self) -> tuple[int, int]:
        """The fullest hour's beginning, and how many lessons were sent in it."""
        return max(self.hours.items(), key=lambda each: each[1], default=(0, 0))

    @property
    def broken(self) -> dict[Promise, list[Breach]]:
        """Promise → how it was broken, for those that were."""
        found: dict[Promise, list[Breach]] = {}
        for breach in self.breaches:
            found.setdefault(breach.promise, []).append(breach)
        return found


def simulate(
    root: Path, layouts: Layouts, notices: Mapping[str, Source], plan: Plan, show: Callable[[int], object]
) -> Report:
    """Runs a cohort through the content below `root`; `show` hears of the clock.

    Raises ContentError with the content's problems, and LookupError when it has no funnel of the plan's name.
    """
    chance = random.Random(plan.seed)  # noqa: S311 -- nothing secret
    with world(root, layouts, notices, plan.start_ms, chance) as lived:
        funnels = {name: funnel for name, (_, funnel) in lived.current.items() if plan.funnel in (None, name)}
        if not funnels:
            raise LookupError(", ".join(sorted(lived.current)))
        courses = invent(list(funnels.values()), plan.people, plan.start_ms, plan.over_ms, chance)
        lived.live(courses, plan.start_ms + plan.days * DAY_MS, show)
        hours = Counter(mail.at_ms - mail.at_ms % HOUR_MS for mail in lived.post.mails)
        with reading(lived.tools.engine) as connection:
            states = cohort.count_by_state(connection)
        breaches = [*_mailed(lived, courses), *_left(lived)]
        return Report(len(lived.post.mails), dict(sorted(hours.items())), states, breaches)


def _mailed(lived: World, courses: Sequence[Course]) -> Iterator[Breach]:
    """What is wrong with what came, by the letterboxes: whose it was is read off the mail, not off our books."""
    with reading(lived.tools.engine) as connection:
        lessons = cohort.lessons_of(connection)
    readers = {each.address: each for each in courses}
    boxes: dict[int, list[Arrival]] = {each.number: [] for each in courses}
    pressed: dict[tuple[int, str], list[str]] = {}
    for number, funnel, event in lived.reached:
        pressed.setdefault((number, funnel), []).append(event)
    for mail in lived.post.mails:
        name, key = lessons[mail.delivery_id]
        reader = readers[mail.address]
        events = pressed.get((reader.number, name), ())
        came = arrival(lived.current[name][1], key, reader.number, reader.zone, mail.at_ms, events)
        boxes[reader.number].append(came)
    left: dict[int, list[Departure]] = {}
    for departure in lived.departures:
        left.setdefault(departure.number, []).append(departure)
    for number, theirs in boxes.items():
        yield from judge(theirs, left.get(number, ()))


def _left(lived: World) -> Iterator[Breach]:
    """What is wrong with what the clock's end finds in the database."""
    gone = {each.number for each in lived.departures}
    with reading(lived.tools.engine) as connection:
        for row in cohort.misplaced(connection):
            how = f"is in {row.places} places at once" if row.places else "waits for nothing"
            yield Breach(Promise.STRANDED, f"an active course {how}", row.subscriber_id)
        for row in cohort.unsent(connection):
            # A due row of an old turn is planned, too, and its start refuses it: the new turn has another one.
            if row.subscriber_id not in gone and row.reason != RESCHEDULED:
                yield Breach(Promise.SENT, f"{row.key} was {row.state}: {row.reason}", row.subscriber_id, row.key)
        for reader in cohort.overdue(connection, lived.now_ms):
            yield Breach(Promise.PUNCTUAL, "a lesson has been due and was not planned", reader)
        for row in holds.listed(connection):
            yield Breach(Promise.HELD, f"{row.scope}: {row.reason}", at_ms=row.since_ms)
    for fault in lived.faults:
        yield Breach(Promise.BUILT, f"a batch could not be built ({fault})")
