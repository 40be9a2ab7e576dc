"""What a change would do to people, told beforehand: exact, and what really happens."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from funnel import content
from funnel.core.changes import late
from funnel.core.moving import Course, Late, Policy
from funnel.core.outlook import Change, Entry, Outlook, Peers, Person
from funnel.core.progress import Reader
from funnel.core.schedule import DAY_MS, HOUR_MS, Timing
from funnel.core.sequence import Condition, Funnel, Lesson, Until
from funnel.flow.impact import Effect, Impact, impact
from funnel.keyring import Keyring
from tests.conftest import ROOT, Clock, make_tools
from tests.desk import Desk
from tests.world import ALICE, BOB, CHARLIE

BEFORE = ("a", "b", 'c: 2 days; at = "17:00"', "d: 6 hours", 'e: 3 days; at = "08:30"; days = ["mon", "thu"]')
AFTER = (
    ("a", "b", "d: 6 hours", 'e: 3 days; at = "08:30"'),
    ("a", 'x: 2 days; at = "09:15"', *BEFORE[1:]),
    ("a", "b", 'e: 1 day; at = "07:00"', "c: 5 hours", "d"),
    ("a", "b", 'c: 1 hour; quiet = "21:00-09:00"', "d", "e"),
)


@pytest.fixture
def desk(engine: Engine, keyring: Keyring, clock: Clock, tmp_path: Path) -> Desk:
    found = Desk(make_tools(engine, keyring), clock, tmp_path)
    found.publish(*BEFORE)
    return found


KITCHEN: Funnel = content.parse("kitchen", content.read_folder(ROOT / "tests/example", "kitchen"))
SILENT = KITCHEN.patterns["planner"].lessons[0].source
ZONES = ("Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata", "nowhere")
# Sundays at which the clocks of one of these zones are changed, an ordinary day, and one before a leap day.
DAYS = ("2026-03-29", "2026-10-25", "2026-04-05", "2026-09-06", "2026-06-11", "2028-02-28")


def now_and_then(*values: object) -> st.SearchStrategy[Any]:
    """None more often than anything else."""
    return st.sampled_from((None, None, None, *values))


timings = st.builds(
    Timing,
    wait_ms=st.sampled_from([0, 6 * HOUR_MS, DAY_MS, DAY_MS, DAY_MS, 2 * DAY_MS]),
    at=st.sampled_from([None, time(2, 30), time(8, 30), time(8, 30), time(8, 30), time(23, 59)]),
    days=st.sampled_from([frozenset(range(7))] * 3 + [frozenset({0, 3})]),
    not_before=now_and_then(time(9)),
    quiet=now_and_then((time(21, 30), time(7, 30)), (time(2), time(3))),
)
EVENT, SECONDARY = Condition("event", frozenset({"met"})), Condition("secondary", frozenset({"improviser"}))
rules = st.fixed_dictionaries(
    {
        "timing": timings,
        "only_if": st.sampled_from([(), (), (), (EVENT,), (SECONDARY,)]),
        "until": st.sampled_from([None, Until("met", DAY_MS), Until("met", 2 * DAY_MS)]),
        "after_all": st.booleans(),
        "same_as": now_and_then("a"),
    }
)
sequences = st.dictionaries(st.sampled_from("abcdef"), rules, min_size=2).flatmap(
    lambda found: st.permutations([Lesson(key, source=SILENT, **each) for key, each in found.items()])
)


@st.composite
def funnels(draw: st.DrawFn) -> tuple[Funnel, Funnel]:
    """A funnel, and one that came of it: lessons lost, added, put elsewhere and given other rules."""
    cap, timezone = draw(st.sampled_from([None, 1, 2])), draw(st.sampled_from(ZONES[:2]))
    old, new = draw(sequences), draw(sequences)
    kept = draw(st.sets(st.sampled_from("abcdef")))
    merged = [next((each for each in old if each.key == lesson.key and each.key in kept), lesson) for lesson in new]
    return _with(KITCHEN, old, cap, KITCHEN.timezone), _with(KITCHEN, merged, cap, timezone)


def _with(funnel: Funnel, lessons: Sequence[Lesson], cap: int | None, timezone: str) -> Funnel:
    planner = replace(funnel.patterns["planner"], lessons=tuple(lessons), goals=())
    schedule = replace(funnel.schedule, daily_cap=cap)
    return replace(funnel, patterns={"planner": planner}, schedule=schedule, timezone=timezone)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Change, Peers, list[Person]]:
    """People who are alike and wait for a lesson, most of them for the moment that it comes at, and a change."""
    before, after = draw(funnels())
    policy, day = draw(st.sampled_from(Policy)), draw(st.sampled_from(DAYS))
    began_ms = int(datetime.fromisoformat(f"{day}T00:00Z").timestamp()) * 1000
    now_ms = began_ms + draw(st.integers(-4, 2)) * 12 * HOUR_MS
    old = Course(before, draw(st.sampled_from([{}, {"b": Late.CAUGHT_UP, "c": Late.MOVED}])))
    new = Course(after, {**old.late, **late(before, after, policy)})
    change = Change(old, new, policy, now_ms, now_ms + HOUR_MS, frozenset())
    keys = [each.key for each in before.patterns["planner"].lessons]
    lesson, had = draw(st.sampled_from([*keys, "f"])), draw(st.sets(st.sampled_from("abcdef"), max_size=3))
    met_ms = began_ms + draw(st.integers(-2, 1)) * DAY_MS + draw(st.sampled_from([9, 13, 19])) * HOUR_MS
    events = draw(st.sampled_from([(), (("met", 0),), (("met", met_ms),), (("met", met_ms),)]))
    zone, pace = draw(st.sampled_from(ZONES)), draw(st.sampled_from(["as-written", "slower", "daily"]))
    traits = "planner", draw(st.sampled_from([None, "improviser"])), pace, zone, "en"
    begun, finished = draw(st.booleans()), draw(st.sampled_from([False, False, False, True]))
    peers = Peers(traits, events, frozenset(had) - {lesson}, lesson, begun, finished)
    minutes = st.integers(-36 * 60, 36 * 60).map(lambda minute: began_ms + minute * 60_000)
    edges = st.tuples(st.integers(-2, -1), st.integers(-8, 8)).map(lambda at: met_ms + at[0] * DAY_MS + at[1] * HOUR_MS)
    starts, people = draw(st.sampled_from([minutes, edges])), []
    for from_ms, due_ms in draw(st.lists(st.tuples(starts, st.integers(-1, 6)), min_size=3, max_size=12)):
        step = old.onward(Reader(*traits, dict(events), (from_ms,)), peers.had, from_ms, lesson)
        people.append((step.due_ms if step and due_ms > 2 else now_ms + due_ms * 6 * HOUR_MS, from_ms))
    return change, peers, people


def _crowd(after: Timing, until: Until | None, policy: Policy, lesson: str, starts: Sequence[str]) -> Any:
    """People in Berlin who wait for a lesson at noon, and `b` that is about to be scheduled otherwise."""
    met, now, *began = (
        int(datetime.fromisoformat(f"2026-06-{each}+02:00").timestamp()) * 1000
        for each in ("11T09:00", "10T12:00", *starts)
    )
    before = Lesson("b", Timing(6 * HOUR_MS, time(20)), SILENT)
    lessons = [before], [replace(before, timing=after, until=until)]
    old, new = (Course(_with(KITCHEN, each, 1, KITCHEN.timezone), {}) for each in lessons)
    peers = Peers(("planner", None, "as-written", "Europe/Berlin", "en"), (("met", met),), frozenset(), lesson)
    return Change(old, new, policy, now, now + HOUR_MS), peers, [(now, from_ms) for from_ms in began]


MORNING = Timing(DAY_MS, time(8, 30))
# The event came in time for the second only: that lesson comes a day later than the first's and the third's.
CUT_SHORT = _crowd(MORNING, Until("met", 2 * DAY_MS), Policy.ALONG, "b", ("09T08:00", "09T10:00", "10T10:00"))
# Nobody knows the lesson that is waited for. For whoever was mailed today, another comes tomorrow.
LOST = _crowd(replace(MORNING, wait_ms=3 * DAY_MS), None, Policy.GENTLE, "f", ("09T21:00", "10T07:00"))


@settings(max_examples=200, deadline=None)
@example(CUT_SHORT)
@example(LOST)
@given(crowds())
def test_all_who_are_alike_are_told_at_once_what_they_would_be_one_by_one(
    crowd: tuple[Change, Peers, list[Person]],
) -> None:
    change, peers, people = crowd
    together = Counter[tuple[Entry, ...]]()
    for entries, count in Outlook(change, peers).groups(people):
        together[entries] += count
    assert together == Counter(Outlook(change, peers).entries(*person) for person in people)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("change", range(len(AFTER)))
def test_what_is_foretold_is_what_happens(desk: Desk, policy: Policy, change: int) -> None:
    for address in (ALICE, BOB, CHARLIE):
        desk.join(address)
        desk.days(2)
    had = {address: set(desk.lessons(address)) for address in (ALICE, BOB, CHARLIE)}
    desk.write(*AFTER[change])
    changed = desk.read()
    foretold = impact(desk.tools, "kitchen", changed, policy, desk.clock())
    desk.publish(policy=policy)
    desk.days(40)
    got = {address: set(desk.lessons(address)) - had[address] for address in had}
    would = {address: set("abcde") - had[address] for address in had}
    for effect, one, other in ((Effect.GAIN, got, would), (Effect.SKIP, would, got)):
        happened = Counter(key for address in had for key in one[address] - other[address])
        told = {key: effects[effect].count for key, effects in foretold.lessons.items() if effect in effects}
        assert told == happened
    assert foretold.waiting == len([each for each in would.values() if each])


def test_nobody_is_there_where_nothing_is_published(
    engine: Engine, keyring: Keyring, clock: Clock, tmp_path: Path
) -> None:
    desk = Desk(make_tools(engine, keyring), clock, tmp_path)
    assert impact(desk.tools, "kitchen", desk.read(), Policy.GENTLE, clock()) == Impact()


def test_a_reader_who_was_not_reached_or_has_events_is_counted_as_they_are(desk: Desk) -> None:
    desk.join(ALICE)
    desk.days(1)
    desk.write(*AFTER[0])
    found = impact(desk.tools, "kitchen", desk.read(), Policy.GENTLE, desk.clock())
    assert {key: dict.fromkeys(effects) for key, effects in found.lessons.items()}["c"] == {Effect.SKIP: None}
    assert found.lessons["c"][Effect.SKIP].before is not None
    first, last = found.lessons["c"][Effect.SKIP].before or (0, 0)
    assert first == last > desk.clock() - DAY_MS
