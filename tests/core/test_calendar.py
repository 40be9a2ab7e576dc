"""The dated plan of one reader: the hours, and what the clocks do to them."""

from dataclasses import replace
from datetime import datetime, time

import pytest

from funnel.core.calendar import Calendar, calendar, instant, offset, wall, zone_for
from funnel.core.progress import Reader
from funnel.core.schedule import DAY_MS, HOUR_MS, Timing
from funnel.core.sequence import Condition, Funnel

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"


def planned(funnel: Funnel, start: str, zone: str = BERLIN, pace: str = "as-written") -> Calendar:
    reader = Reader("freeze", None, pace, zone)
    return calendar(funnel, reader, instant(datetime.fromisoformat(start), zone_for(funnel, zone)))


def clocks(found: Calendar) -> list[str]:
    return [f"{each.local:%a %m-%d %H:%M} {offset(each.local)}" for each in found.entries]


def second_at(funnel: Funnel, timing: Timing) -> Funnel:
    """The funnel, its second lesson scheduled otherwise."""
    pattern = funnel.patterns["freeze"]
    first, second, *others = pattern.lessons
    lessons = (first, replace(second, timing=timing), *others)
    return replace(funnel, patterns={**funnel.patterns, "freeze": replace(pattern, lessons=lessons)})


def test_a_course_that_crosses_the_change_of_clocks_keeps_its_hour(funnel: Funnel) -> None:
    found = planned(funnel, "2027-03-27 22:10")
    assert clocks(found) == [
        "Sat 03-27 22:10 +01:00",
        "Mon 03-29 08:30 +02:00",
        "Wed 03-31 08:30 +02:00",
        "Fri 04-02 08:30 +02:00",
        "Mon 04-05 08:30 +02:00",
        "Thu 04-08 08:30 +02:00",
        "Sun 04-11 08:30 +02:00",
    ]
    assert found.entries[1].notes == (
        "Sun 08:30 would be less than 12 h after the one before",
        "the clocks went forward since the one before: +01:00 became +02:00",
    )
    assert [each.notes for each in found.entries if each.number != 2] == [()] * 6
    assert all(each.reasons for each in found.entries)


def test_a_slower_pace_doubles_the_waits_and_says_so(funnel: Funnel) -> None:
    found = planned(funnel, "2027-03-27 12:10", LORD_HOWE, "slower")
    assert clocks(found)[1:4] == ["Mon 03-29 08:30 +11:00", "Fri 04-02 08:30 +11:00", "Tue 04-06 08:30 +10:30"]
    assert all("slower" in " ".join(map(str, each.reasons)) for each in found.entries[1:])
    assert "went back" in found.entries[3].notes[0]


@pytest.mark.parametrize(
    ("start", "local", "note"),
    [
        ("2027-03-27 12:00", "Sun 03-28 03:30 +02:00", "the clocks skip 02:30 on this day"),
        ("2027-10-30 12:00", "Sun 10-31 02:30 +02:00", "02:30 comes twice on this day: this is the first time"),
        ("2027-06-30 12:00", "Thu 07-01 02:30 +02:00", ""),
    ],
)
def test_an_hour_that_is_skipped_or_comes_twice_is_explained(funnel: Funnel, start: str, local: str, note: str) -> None:
    found = planned(second_at(funnel, Timing(DAY_MS, time(2, 30))), start)
    assert clocks(found)[1] == local
    assert note in " ".join(found.entries[1].notes)
    assert bool(found.entries[1].notes) == bool(note)


def test_a_start_in_the_hour_that_is_skipped_is_the_instant_it_would_have_been(funnel: Funnel) -> None:
    assert clocks(planned(funnel, "2027-03-28 02:30"))[0] == "Sun 03-28 03:30 +02:00"


def test_an_unknown_zone_is_the_funnels(funnel: Funnel) -> None:
    found = planned(funnel, "2027-03-27 22:10", "Nowhere/At_All")
    assert [each.due_ms for each in found.entries] == [
        each.due_ms for each in planned(funnel, "2027-03-27 22:10", funnel.timezone).entries
    ]
    assert f"{found.entries[1].local:%H:%M}" == "08:30"


def test_lessons_that_are_not_for_this_reader_are_named_with_the_reason(funnel: Funnel) -> None:
    pattern = funnel.patterns["freeze"]
    only = (Condition("secondary", frozenset({"fawn"})),)
    lessons = tuple(replace(each, only_if=only) if each.key == "freeze-map" else each for each in pattern.lessons)
    changed = replace(funnel, patterns={**funnel.patterns, "freeze": replace(pattern, lessons=lessons)})
    [(left, why)] = planned(changed, "2027-03-27 22:10").left_out
    assert left.key == "freeze-map"
    whole = calendar(changed, Reader("freeze", "fawn", "as-written", BERLIN), 0)
    assert (len(whole.entries), whole.left_out) == (7, ())
    assert why in ("", "freeze-map is passed over: only if secondary is fawn")


def test_a_cap_spreads_over_days_what_is_due_on_one(funnel: Funnel) -> None:
    crowded = second_at(replace(funnel, schedule=replace(funnel.schedule, daily_cap=1)), Timing(HOUR_MS))
    found = planned(crowded, "2027-03-27 12:00")
    assert clocks(found)[1].startswith("Sun 03-28")
    assert wall(found.entries[1].due_ms, zone_for(funnel, BERLIN)) == found.entries[1].local
