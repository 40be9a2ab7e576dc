"""The judge finds every broken promise, and no other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time

import pytest

from funnel.core.calendar import instant
from funnel.core.schedule import zone_of
from funnel.core.sequence import Funnel
from funnel.simulate.judge import Arrival, Promise, arrival, judge
from funnel.simulate.world import Departure

ZONE = "Asia/Kathmandu"
Change = Callable[[Funnel], Funnel]


@pytest.fixture
def funnel(funnel: Funnel) -> Funnel:
    """The first funnel without hours and limits of its own; each test says which it has."""
    bare = replace(funnel, schedule=replace(funnel.schedule, daily_cap=None, quiet=None))
    return timed(None, quiet=None)(bare)


def at(local: str) -> int:
    zone = zone_of(ZONE)
    assert zone is not None
    return instant(datetime.fromisoformat(f"2026-11-{local}"), zone)


def came(funnel: Funnel, *mails: tuple[str, str]) -> list[Arrival]:
    """(lesson, local time) of what one reader got."""
    return [arrival(funnel, f"freeze-{lesson}", 7, ZONE, at(local)) for lesson, local in mails]


def promises(funnel: Funnel, *mails: tuple[str, str], left: tuple[Departure, ...] = ()) -> list[Promise]:
    return [breach.promise for breach in judge(came(funnel, *mails), left)]


def timed(key: str | None, **changes: object) -> Change:
    """The funnel with the timing of one lesson changed, or of all."""

    def change(funnel: Funnel) -> Funnel:
        pattern = funnel.patterns["freeze"]
        lessons = tuple(
            replace(each, timing=replace(each.timing, **changes)) if key in (None, each.key) else each  # type: ignore[arg-type]
            for each in pattern.lessons
        )
        return replace(funnel, patterns={**funnel.patterns, "freeze": replace(pattern, lessons=lessons)})

    return change


def capped(most: int) -> Change:
    return lambda funnel: replace(funnel, schedule=replace(funnel.schedule, daily_cap=most))


def test_a_course_as_it_should_be_breaks_nothing(funnel: Funnel) -> None:
    """The first lesson answers a reader who confirms in the night."""
    assert promises(funnel, ("meet", "22 23:10"), ("sign", "24 08:30"), ("before", "26 08:30")) == []


@pytest.mark.parametrize(
    ("mails", "broken"),
    [
        ((("meet", "22 12:00"), ("sign", "24 22:00")), [Promise.NIGHT]),
        ((("meet", "22 12:00"), ("sign", "24 05:59")), [Promise.NIGHT]),
        ((("meet", "22 12:00"), ("sign", "24 06:00")), []),
        ((("sign", "24 08:30"), ("before", "24 21:30")), [Promise.DAY]),
        ((("meet", "24 08:00"), ("sign", "24 21:30")), []),
        ((("sign", "24 08:30"), ("sign", "25 08:30")), [Promise.ONCE]),
        ((("before", "24 08:30"), ("sign", "25 08:30")), [Promise.ORDER]),
        ((("sign", "24 08:30"), ("meet", "25 03:00")), [Promise.ORDER]),
    ],
)
def test_hours_days_and_order(funnel: Funnel, mails: tuple[tuple[str, str], ...], broken: list[Promise]) -> None:
    assert promises(funnel, *mails) == broken


@pytest.mark.parametrize(
    ("change", "local", "broken"),
    [
        (timed("freeze-sign", days=frozenset({1})), "24 08:30", []),  # a Tuesday
        (timed("freeze-sign", days=frozenset({1})), "25 08:30", [Promise.WEEKDAY]),
        (timed("freeze-sign", quiet=(time(20), time(9))), "24 08:30", [Promise.QUIET]),
        (timed("freeze-sign", quiet=(time(12), time(14))), "24 13:00", [Promise.QUIET]),
        (timed("freeze-sign", not_before=time(9)), "24 08:30", [Promise.QUIET]),
        (capped(2), "24 08:30", []),
    ],
)
def test_what_a_lesson_says_of_itself_is_held_against_it(
    funnel: Funnel, change: Change, local: str, broken: list[Promise]
) -> None:
    assert promises(change(funnel), ("sign", local)) == broken


def test_a_day_may_bring_as_many_as_the_funnel_says(funnel: Funnel) -> None:
    mails = (("sign", "24 08:30"), ("before", "24 12:00"), ("during", "24 18:00"))
    assert promises(capped(2)(funnel), *mails) == [Promise.DAY]
    assert promises(capped(3)(funnel), *mails) == []


@pytest.mark.parametrize(
    ("departure", "broken"),
    [
        (Departure(7, at("24 11:30")), [Promise.LEFT]),
        (Departure(7, at("25 11:30")), []),
        (Departure(7, at("24 11:30"), "another-funnel", "fight"), []),
    ],
)
def test_what_was_left_is_left(funnel: Funnel, departure: Departure, broken: list[Promise]) -> None:
    assert promises(funnel, ("sign", "24 08:30"), ("before", "25 08:30"), left=(departure,)) == broken


def test_who_chose_another_course_gets_that_one(funnel: Funnel) -> None:
    chosen = (Departure(7, at("24 11:30"), funnel.name, "freeze"),)
    assert promises(funnel, ("sign", "25 08:30"), left=chosen) == []
    other = (Departure(7, at("24 11:30"), funnel.name, "fight"),)
    assert promises(funnel, ("sign", "25 08:30"), left=other) == [Promise.LEFT]


def test_who_comes_back_to_a_course_has_not_left_it(funnel: Funnel) -> None:
    back = (Departure(7, at("23 08:00"), funnel.name, "fight"), Departure(7, at("24 08:00"), funnel.name, "freeze"))
    assert promises(funnel, ("sign", "25 08:30"), left=back) == []
    assert promises(funnel, ("sign", "23 08:30"), left=back) == [Promise.LEFT]


def test_a_breach_names_the_invented_reader_the_lesson_and_their_own_time(funnel: Funnel) -> None:
    [breach] = judge(came(funnel, ("sign", "24 03:00")), ())
    assert (breach.reader, breach.lesson, breach.at_ms) == (7, "freeze-sign", at("24 03:00"))
    assert breach.says == "freeze-sign came at Tue 2026-11-24 03:00 (Asia/Kathmandu), in the night"
