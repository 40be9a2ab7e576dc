"""What differs between two sequences."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.changes import Kind, changes, late, moved_keys, touches_people
from funnel.core.lesson import Block, Source
from funnel.core.moving import Late, Policy
from funnel.core.schedule import DAY_MS, Timing
from funnel.core.sequence import Condition, Funnel, Lesson


def with_lessons(funnel: Funnel, lessons: list[Lesson]) -> Funnel:
    """The shipped funnel with another first sequence."""
    key, first = next(iter(funnel.patterns.items()))
    return replace(funnel, patterns={**funnel.patterns, key: replace(first, lessons=tuple(lessons))})


def first_lessons(funnel: Funnel) -> list[Lesson]:
    return list(next(iter(funnel.patterns.values())).lessons)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ("abcde", "abcde", ""),
        ("abcde", "aebcd", "e"),
        ("abcde", "bcdea", "a"),
        ("abcde", "acde", ""),
        ("abcde", "axbcde", ""),
        ("ab", "", ""),
        ("", "ab", ""),
    ],
)
def test_the_fewest_lessons_count_as_moved(before: str, after: str, moved: str) -> None:
    assert moved_keys(before, after) == frozenset(moved)


@given(before=st.permutations("abcdefg"), after=st.permutations("abcdefg"))
def test_without_the_moved_ones_the_order_is_as_before(before: list[str], after: list[str]) -> None:
    moved = moved_keys(before, after)
    assert [key for key in before if key not in moved] == [key for key in after if key not in moved]


def test_each_kind_of_change_is_told(funnel: Funnel) -> None:
    a, b, c, d, *rest = first_lessons(funnel)
    fresh = replace(a, key="fresh")
    longer = replace(b, timing=replace(b.timing, wait_ms=9 * DAY_MS))
    other = replace(c, source=Source("Other", c.source.preview, (Block("text", "", "New.", 1),)))
    found = changes(funnel, with_lessons(funnel, [fresh, d, a, longer, other, *rest[:-1]]))
    assert [(each.lesson, each.kind) for each in found] == [
        ("fresh", Kind.ADDED),
        (d.key, Kind.MOVED),
        (b.key, Kind.CHANGED),
        (c.key, Kind.CHANGED),
        (rest[-1].key, Kind.REMOVED),
    ]
    assert found[1].says == ("now after fresh",)
    assert found[2].says == ("wait: 1 day → 9 days",)
    assert found[3].says == (f"subject: {c.source.subject} → Other",)
    assert "+New." in found[3].text


def test_nothing_has_changed_between_a_funnel_and_itself(funnel: Funnel) -> None:
    assert changes(funnel, funnel) == []
    assert not any(touches_people(funnel, funnel, policy) for policy in Policy)


def test_lessons_that_come_to_their_place_are_late_by_the_policy(funnel: Funnel) -> None:
    a, b, *rest = first_lessons(funnel)
    only = (Condition("secondary", frozenset({"fawn"})),)
    before = with_lessons(funnel, [a, replace(b, only_if=only), *rest])
    after = with_lessons(funnel, [replace(a, key="fresh"), rest[0], a, b, *rest[1:]])
    known = {"fresh": Late.PASSED, b.key: Late.PASSED, rest[0].key: Late.MOVED}
    assert late(before, after, Policy.GENTLE) == known
    caught = {key: Late.CAUGHT_UP if how == Late.PASSED else how for key, how in known.items()}
    assert late(before, after, Policy.CATCH_UP) == caught


def test_only_what_decides_the_next_lesson_touches_people(funnel: Funnel) -> None:
    a, *rest = first_lessons(funnel)
    text = with_lessons(funnel, [replace(a, source=replace(a.source, subject="New")), *rest])
    wait = with_lessons(funnel, [replace(a, timing=Timing(5)), *rest])
    gone = with_lessons(funnel, rest)
    assert [touches_people(funnel, each, Policy.GENTLE) for each in (text, wait, gone)] == [False, False, True]
    assert [touches_people(funnel, each, Policy.ALONG) for each in (text, wait, gone)] == [False, True, True]
