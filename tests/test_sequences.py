"""The sequence language: what marketers write becomes core types, and what can never be is named with its place."""

from datetime import time

import pytest

from funnel import content
from funnel.content import Problem
from funnel.core.schedule import DAY_MS, Timing
from funnel.core.sequence import Condition, Funnel, Goal, Schedule, Until
from tests.example.kitchen import FUNNEL, IMPROVISER, KITCHEN, PLANNER, STOVE, broken, problems

NIGHT = (time(21, 30), time(7, 30))
SAME = 'same-as = "improviser-again"'
TABLE = "emails/kitchen/planner/04-table.md"


@pytest.fixture(scope="module")
def kitchen() -> Funnel:
    return content.parse("kitchen", KITCHEN)


def test_the_example_uses_the_whole_language(kitchen: Funnel) -> None:
    meet, stove, fridge, table, again = kitchen.patterns["planner"].lessons
    assert kitchen.schedule == Schedule(1, NIGHT, "continue")
    assert meet.timing.at_once
    assert stove.source.events == ("cooked",)
    assert fridge.timing == Timing(2 * DAY_MS, None, frozenset(range(7)), time(10), NIGHT)
    assert fridge.only_if == (Condition("secondary", frozenset({"improviser"})),)
    assert (table.until, table.timing.at) == (Until("cooked", 5 * DAY_MS), time(17, 30))
    assert (again.after_all, again.same_as) == (True, "improviser-again")
    assert kitchen.patterns["planner"].goals == (Goal("swap", "improviser"),)
    assert kitchen.patterns["improviser"].lessons[2].unless == (Condition("pace", frozenset({"daily"})),)
    assert kitchen.alike == {
        key: frozenset({"planner-again", "improviser-again"}) for key in ("planner-again", "improviser-again")
    }
    assert kitchen.reads == {"secondary", "event", "pace"}


def test_a_lessons_own_quiet_hours_take_the_place_of_the_funnels() -> None:
    def stove(line: str) -> Timing:
        found = content.parse("kitchen", broken(PLANNER, 'at = "08:30"', f'at = "08:30"\n{line}'))
        return found.patterns["planner"].lessons[1].timing

    assert stove("").quiet == NIGHT
    assert stove('quiet = "none"').quiet is None
    assert stove('quiet = "12:00-14:00"').quiet == (time(12), time(14))


def test_a_funnel_that_says_nothing_has_no_quiet_hours_and_no_cap(kitchen: Funnel) -> None:
    text = KITCHEN[FUNNEL].decode()
    start, end = text.index("[schedule]"), text.index("[review]")
    funnel = content.parse("kitchen", {**KITCHEN, FUNNEL: (text[:start] + text[end:]).encode()})
    assert funnel.schedule == Schedule()
    assert {lesson.timing.quiet for lesson in funnel.patterns["planner"].lessons} == {None}
    assert kitchen.patterns["planner"].lessons[1].timing.quiet == NIGHT


@pytest.mark.parametrize(
    ("path", "old", "new", "place", "words"),
    [
        (FUNNEL, '"21:30-07:30"', '"21:30"', "schedule.quiet", 'must be like "21:30-07:30", or "none"'),
        (FUNNEL, '"21:30-07:30"', '"07:30-07:30"', "schedule.quiet", "begins when it ends"),
        (FUNNEL, '"21:30-07:30"', "2130", "schedule.quiet", 'must be like "21:30-07:30", or "none"'),
        (FUNNEL, "daily_cap = 1", "daily_cap = 0", "schedule.daily_cap", "greater than or equal to 1"),
        (FUNNEL, "daily_cap = 1", 'on_reentry = "again"', "schedule.on_reentry", "'continue' or 'after-all'"),
        (FUNNEL, "daily_cap = 1", "cap = 1", "schedule.cap", "unknown key"),
        # Waits that are no waits, or for ever.
        (PLANNER, 'wait = "2 days"', 'wait = "0 days"', "lessons[3].wait", "would come together with the one"),
        (PLANNER, 'wait = "2 days"', 'wait = "36500 days"', "lessons[3].wait", "must be at most 366 days"),
        (PLANNER, 'wait = "0 days"', 'wait = "0 days"\ndays = ["mon"]', "lessons[1].days", "means nothing here"),
        (PLANNER, 'wait = "0 days"', 'wait = "0 days"\nquiet = "none"', "lessons[1].quiet", "means nothing here"),
        (PLANNER, 'wait = "0 days"', 'wait = "0 days"\nnot-before = "09:00"', "lessons[1].not-before", "means nothing"),
        # Hours that contradict each other.
        (PLANNER, 'at = "08:30"', 'at = "21:30"', "lessons[2].at", "lies in the quiet hours 21:30-07:30"),
        (PLANNER, 'at = "08:30"', 'at = "07:29"', "lessons[2].at", "lies in the quiet hours 21:30-07:30"),
        (PLANNER, 'at = "08:30"', 'at = "08:30"\nnot-before = "09:00"', "lessons[2].at", "earlier than not-before"),
        (PLANNER, 'not-before = "10:00"', 'not-before = "22:00"', "lessons[3].not-before", "leave no hour of the day"),
        (PLANNER, 'not-before = "10:00"', 'not_before = "10:00"', "lessons[3].not_before", "unknown key"),
        # Conditions that can never be true.
        (PLANNER, '{ secondary = "improviser" }', '{ secondary = "planner" }', "lessons[3].only-if.secondary",
         "'planner' can never be; use improviser"),
        (PLANNER, '{ secondary = "improviser" }', '{ secondary = "baker" }', "lessons[3].only-if.secondary",
         "'baker' can never be; use improviser"),
        (PLANNER, '{ secondary = "improviser" }', '{ pace = "fast" }', "lessons[3].only-if.pace",
         "'fast' can never be; use as-written, slower, daily"),
        (PLANNER, '{ secondary = "improviser" }', '{ mood = "glad" }', "lessons[3].only-if.mood", "unknown key"),
        (PLANNER, '{ secondary = "improviser" }', '{ locale = "Deutsch!" }', "lessons[3].only-if.locale[1]", "lower"),
        (PLANNER, '{ secondary = "improviser" }', "{ secondary = [] }", "lessons[3].only-if.secondary", "at least 1"),
        (PLANNER, '{ secondary = "improviser" }', "{}", "lessons[3].only-if", "names no trait"),
        (PLANNER, '{ secondary = "improviser" }', '{ event = "swap" }', "lessons[3].only-if.event", "waits for itself"),
        (PLANNER, '{ secondary = "improviser" }', '{ event = "baked" }', "lessons[3].only-if.event",
         "no lesson before this one offers the event 'baked'; offered are cooked"),
        (PLANNER, '{ secondary = "improviser" }',
         '{ secondary = "improviser" }\nunless = { secondary = "improviser" }', "lessons[3].unless", "leave nobody"),
        # Events.
        (PLANNER, 'until = "cooked"', 'until = "swap"', "lessons[4].until", "it waits for itself"),
        (PLANNER, 'until = "cooked"', 'until = "baked"', "lessons[4].until", "offers the event 'baked'"),
        (PLANNER, 'at-most = "5 days"\n', "", "lessons[4].until", "nobody waits for ever"),
        (PLANNER, 'until = "cooked"\n', "", "lessons[4].until", "nobody waits for ever"),
        (PLANNER, 'at-most = "5 days"', 'at-most = "1 day"', "lessons[4].at-most", "must be longer than wait"),
        (PLANNER, 'at-most = "5 days"', 'at-most = "9999 days"', "lessons[4].at-most", "at most 366 days"),
        (STOVE, "::: event cooked", "::: event Cooked", "line 18", "a lower-case name"),
        (STOVE, "I have cooked something", "I have\ncooked", "line 18", "one line of plain words"),
        (STOVE, "I have cooked something", "[I](https://example.org) did", "line 18", "one line of plain words"),
        (STOVE, "::: event cooked", "::: event", "line 18", "needs a name behind it"),
        (STOVE, "I have cooked something\n:::", "Yes\n:::\n::: event cooked\nNo\n:::", "", ""),
        # Equivalence, goals.
        (PLANNER, SAME, 'same-as = "improviser-more"', "lessons[5].same-as", "there is no lesson"),
        (PLANNER, SAME, 'same-as = "planner-meet"', "lessons[5].same-as", "the same sequence"),
        (PLANNER, SAME, 'same-as = "planner-again"', "lessons[5].same-as", "the same sequence"),
        (IMPROVISER, 'unless = { pace = "daily" }', 'same-as = "planner-again"', "lessons[3].same-as", "in a circle"),
        (PLANNER, 'event = "swap"', 'event = "baked"', "goals[1].event", "no lesson of this sequence offers"),
        (PLANNER, 'to = "improviser"', 'to = "planner"', "goals[1].to", "is no other pattern; use improviser"),
        (PLANNER, 'to = "improviser"', 'to = "baker"', "goals[1].to", "is no other pattern; use improviser"),
        (PLANNER, 'to = "improviser"', 'then = "improviser"', "goals[1].then", "unknown key"),
        (PLANNER, 'to = "improviser"', '[[goals]]\nevent = "swap"', "goals[2].event", "already the event of"),
    ],
)  # fmt: skip
def test_what_can_never_be_is_named_with_its_place(path: str, old: str, new: str, place: str, words: str) -> None:
    found = problems(broken(path, old, new))
    if not place:
        path, place, words = PLANNER, "lessons[2].email", "two buttons for the event 'cooked'"
    assert [problem for problem in found if (problem.file, problem.place) == (path, place) and words in problem.message]


def test_goals_that_lead_in_a_circle_are_named_on_both_sides() -> None:
    files = broken(IMPROVISER, "[[lessons]]", '[[goals]]\nevent = "swap"\nto = "planner"\n\n[[lessons]]')
    stove = "emails/kitchen/improviser/02-stove.md"
    files[stove] += b"\n::: event swap\nRather plan from here on\n:::\n"
    assert [(problem.file, problem.place) for problem in problems(files)] == [
        (IMPROVISER, "goals[1].to"),
        (PLANNER, "goals[1].to"),
    ]


def test_the_same_two_alternatives_may_both_come_first() -> None:
    text = KITCHEN[PLANNER].decode().replace('wait = "0 days"', 'wait = "0 days"\nunless = { pace = "slower" }', 1)
    text = text.replace(
        'wait = "1 day"\nat = "08:30"\ndays = ["mon", "tue", "wed", "thu", "fri"]', 'wait = "0 days"', 1
    )
    found = content.parse("kitchen", {**KITCHEN, PLANNER: text.encode()})
    assert [lesson.timing.wait_ms for lesson in found.patterns["planner"].lessons[:2]] == [0, 0]


def test_ten_thousand_lessons_are_one_problem_not_ten_thousand() -> None:
    rows = "".join(f'\n[[lessons]]\nkey = "l{n}"\nemail = "planner/{n}.md"\nwait = "1 day"\n' for n in range(10_000))
    assert [str(problem) for problem in problems({**KITCHEN, PLANNER: KITCHEN[PLANNER] + rows.encode()})] == [
        f"{PLANNER}: lessons: has 10005 entries; 400 is the most"
    ]


def test_a_removed_target_of_only_if_is_named_where_it_is_missed() -> None:
    text = KITCHEN[STOVE].decode()
    files = broken(PLANNER, '{ secondary = "improviser" }', '{ event = "cooked" }')
    assert content.parse("kitchen", files)
    files[STOVE] = text[: text.index("\n::: event")].encode()
    assert [(problem.file, problem.place) for problem in problems(files)] == [
        (PLANNER, "lessons[3].only-if.event"),
        (PLANNER, "lessons[4].until"),
    ]


def test_every_problem_of_the_sequences_is_found_at_once() -> None:
    files = dict(KITCHEN)
    for old, new in [
        ('at = "08:30"', 'at = "22:00"'),
        ('{ secondary = "improviser" }', '{ pace = "fast" }'),
        ('at-most = "5 days"', 'at-most = "1 day"'),
        ('same-as = "improviser-again"', 'same-as = "nowhere"'),
        ('to = "improviser"', 'to = "baker"'),
    ]:
        files[PLANNER] = files[PLANNER].decode().replace(old, new, 1).encode()
    assert [(problem.file, problem.place) for problem in problems(files)] == [
        (PLANNER, "goals[1].to"),
        (PLANNER, "lessons[2].at"),
        (PLANNER, "lessons[3].only-if.pace"),
        (PLANNER, "lessons[4].at-most"),
        (PLANNER, "lessons[5].same-as"),
    ]


def test_an_event_shows_as_a_link_to_its_lessons_page(kitchen: Funnel) -> None:
    block = kitchen.patterns["planner"].lessons[3].source.blocks[-1]
    assert (block.kind, block.argument, block.markdown) == (
        "event",
        "swap",
        "[Rather improvise from here on]({{ read_url }})",
    )
    assert Problem(
        TABLE,
        "line 7",
        "an event has a lower-case name of at most 80 letters, and one line of plain words for its button",
    ) in problems(broken(TABLE, "Rather improvise from here on", ""))
