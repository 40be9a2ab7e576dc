"""Invented people differ in everything that a course differs by, and are the same for the same seed."""

from dataclasses import replace
from random import Random

from funnel.core.schedule import DAY_MS, PACES
from funnel.core.sequence import Funnel
from funnel.simulate.cohort import ZONES, invent


def test_the_same_seed_gives_the_same_people(funnel: Funnel) -> None:
    assert invent([funnel], 50, 0, DAY_MS, Random(1)) == invent([funnel], 50, 0, DAY_MS, Random(1))
    assert invent([funnel], 50, 0, DAY_MS, Random(1)) != invent([funnel], 50, 0, DAY_MS, Random(2))


def test_everything_is_among_them(funnel: Funnel) -> None:
    people = invent([funnel], 3_000, 0, 2 * DAY_MS, Random(1))
    assert {each.zone for each in people} == set(ZONES)
    assert {each.pace for each in people} == set(PACES)
    assert {each.pattern for each in people} == set(funnel.patterns)
    assert {each.secondary for each in people} == {*funnel.patterns, None}
    assert not [each for each in people if each.secondary == each.pattern]
    assert {each.joined_ms // 3_600_000 for each in people} == set(range(48))
    assert {None if each.act is None else each.act.pattern is None for each in people} == {None, True, False}
    moments = [each.joined_ms for each in people]
    assert moments == sorted(moments)


def test_where_there_are_several_funnels_some_people_are_in_two(funnel: Funnel) -> None:
    other = replace(funnel, name="other")
    courses = invent([funnel, other], 500, 0, DAY_MS, Random(1))
    readers = {each.number for each in courses}
    assert len(readers) == 500
    assert 550 < len(courses) < 650
    assert len({(each.number, each.funnel) for each in courses}) == len(courses)
    assert len({(each.number, each.zone) for each in courses}) == 500
