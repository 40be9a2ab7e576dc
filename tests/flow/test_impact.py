"""What a change would do to people, told beforehand: exact, and what really happens."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from funnel.core.changes import late
from funnel.core.moving import Course, Policy
from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.flow.impact import Effect, Impact, _Change, _Kind, _look, impact
from funnel.keyring import Keyring
from funnel.store import census
from tests.conftest import NOON_MS, Clock, make_tools
from tests.desk import Desk
from tests.world import ALICE, BOB, CHARLIE

ZONES = ("Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "nowhere")
BEFORE = ("a", "b", 'c: 2 days; at = "17:00"', "d: 6 hours", 'e: 3 days; at = "08:30"; days = ["mon", "thu"]')
AFTER = (
    ("a", "b", "d: 6 hours", 'e: 3 days; at = "08:30"'),
    ("a", 'x: 2 days; at = "09:15"', *BEFORE[1:]),
    ("a", "b", 'e: 1 day; at = "07:00"', "c: 5 hours", "d"),
    ("a", "b", 'c: 1 hour; quiet = "21:00-09:00"', "d", "e"),
)
people = st.lists(
    st.tuples(st.integers(-30, 12 * 24), st.integers(0, 59), st.integers(1, 90)), min_size=1, max_size=40
).map(
    lambda found: sorted(
        (NOON_MS + hours * HOUR_MS + minutes * 60_000, NOON_MS + (hours - waited) * HOUR_MS)
        for hours, minutes, waited in found
    )
)


@pytest.fixture
def desk(engine: Engine, keyring: Keyring, clock: Clock, tmp_path: Path) -> Desk:
    found = Desk(make_tools(engine, keyring), clock, tmp_path)
    found.publish(*BEFORE)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    crowd=people,
    lesson=st.sampled_from("abcde"),
    zone=st.sampled_from(ZONES),
    pace=st.sampled_from(["as-written", "slower"]),
    policy=st.sampled_from(Policy),
    change=st.integers(0, len(AFTER) - 1),
)
def test_all_at_once_gives_what_one_by_one_gives(
    tmp_path_factory: pytest.TempPathFactory,
    keyring: Keyring,
    crowd: list[tuple[int, int]],
    lesson: str,
    zone: str,
    pace: str,
    policy: Policy,
    change: int,
) -> None:
    old, new = _courses(tmp_path_factory, keyring, policy, change)
    made = _Change(old, new, policy, NOON_MS + HOUR_MS, frozenset())
    kind = _Kind(("planner", None, pace, zone, ""), (), frozenset("abcde".partition(lesson)[0]), lesson, False)
    together, alone = Impact(), Impact()
    _look(made, kind, crowd, together)
    for person in crowd:
        _look(made, kind, [person], alone)
    assert together == alone


_KNOWN: dict[tuple[str, int], tuple[Course, Course]] = {}


def _courses(folders: pytest.TempPathFactory, keyring: Keyring, policy: Policy, change: int) -> tuple[Course, Course]:
    if (policy, change) not in _KNOWN:
        from sqlalchemy import create_engine

        desk = Desk(make_tools(create_engine("sqlite://"), keyring), Clock(), folders.mktemp("desk"))
        desk.write(*BEFORE)
        before = desk.read()
        desk.write(*AFTER[change])
        after = desk.read()
        _KNOWN[policy, change] = Course(before, {}), Course(after, late(before, after, policy))
    return _KNOWN[policy, change]


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


@pytest.mark.parametrize("lessons", [[1, 2, 5], [3, 70, 200, 4_000], []])
def test_masks_hold_any_lessons(lessons: list[int]) -> None:
    starts = census._starts(lessons)
    masks = [sum(1 << (each - start) for each in lessons if start <= each < start + 62) for start in starts]
    assert census.had(masks, lessons) == tuple(lessons)
