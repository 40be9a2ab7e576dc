"""What comes next: conditions, events, equivalence, edits; and whatever happens, nothing twice and nobody stranded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel import content
from funnel.core.lesson import Source
from funnel.core.progress import Reader, Step, after_finish, goal_reached, next_step, put_off, step_after
from funnel.core.reasons import Code, Reason
from funnel.core.schedule import DAY_MS, GRACE_MS, HOUR_MS, PACES, Timing
from funnel.core.sequence import Condition, Funnel, Goal, Lesson, Pattern, Schedule, Until
from tests.conftest import NOON_MS
from tests.example.kitchen import KITCHEN

BERLIN = "Europe/Berlin"
NIGHT = (time(21, 30), time(7, 30))
EXAMPLE = content.parse("kitchen", KITCHEN)
MAIL = Source("s", "p", ())
READER = Reader("planner", None, "as-written", BERLIN)


def lesson(key: str, wait_days: int = 1, **known: Any) -> Lesson:
    return replace(Lesson(key, Timing(wait_days * DAY_MS), MAIL), **known)


def only(trait: str, *values: str) -> tuple[Condition, ...]:
    return (Condition(trait, frozenset(values)),)


def funnel(
    *lessons: Lesson, others: Sequence[Lesson] = (), schedule: Schedule | None = None, goals: Sequence[Goal] = ()
) -> Funnel:
    planner = replace(EXAMPLE.patterns["planner"], lessons=tuple(lessons), goals=tuple(goals))
    improviser = replace(EXAMPLE.patterns["improviser"], lessons=tuple(others) or (lesson("other"),))
    patterns: dict[str, Pattern] = {"planner": planner, "improviser": improviser}
    return replace(EXAMPLE, patterns=patterns, schedule=schedule or Schedule())


def comes(made: Funnel, reader: Reader, had: set[str]) -> str | None:
    step = next_step(made, reader, had, NOON_MS)
    return step.lesson.key if step else None


@pytest.mark.parametrize(
    ("conditions", "reader", "comes_b"),
    [
        ({"only_if": only("secondary", "improviser")}, READER, False),
        ({"only_if": only("secondary", "improviser")}, replace(READER, secondary="improviser"), True),
        ({"unless": only("secondary", "improviser")}, replace(READER, secondary="improviser"), False),
        ({"unless": only("secondary", "improviser")}, READER, True),
        ({"only_if": only("locale", "de")}, replace(READER, locale="de-AT"), True),
        ({"only_if": only("locale", "de")}, replace(READER, locale="DE"), True),
        ({"only_if": only("locale", "de-at")}, replace(READER, locale="de"), False),
        ({"only_if": only("locale", "de")}, READER, False),
        ({"only_if": only("pace", "slower", "daily")}, replace(READER, pace="daily"), True),
        ({"only_if": only("event", "cooked")}, replace(READER, events={"cooked": 1}), True),
        ({"only_if": only("event", "cooked")}, replace(READER, events={"baked": 1}), False),
        ({"unless": only("event", "cooked")}, replace(READER, events={"cooked": 1, "baked": 1}), False),
        ({"only_if": (*only("pace", "daily"), *only("locale", "de"))}, replace(READER, pace="daily"), False),
        ({"unless": (*only("pace", "daily"), *only("locale", "de"))}, replace(READER, pace="daily"), False),
    ],
)
def test_a_lesson_is_for_whom_its_conditions_name(conditions: dict[str, Any], reader: Reader, comes_b: bool) -> None:
    made = funnel(lesson("a"), lesson("b", **conditions), lesson("c"))
    assert comes(made, reader, {"a"}) == ("b" if comes_b else "c")


def test_a_step_tells_what_was_passed_over_and_what_made_its_moment() -> None:
    made = funnel(
        lesson("a"),
        lesson("b", only_if=only("secondary", "improviser")),
        replace(lesson("c"), timing=Timing(6 * HOUR_MS, quiet=(time(18), time(8)))),
        schedule=Schedule(daily_cap=1),
    )
    step = next_step(made, replace(READER, zone="Mars/Olympus", mailed=(NOON_MS,)), {"a"}, NOON_MS)
    assert step is not None
    assert [(reason.lesson, reason.code) for reason in step.reasons] == [
        ("a", Code.HAD),
        ("b", Code.ONLY_IF),
        ("", Code.ZONE),
        ("", Code.WAIT),
        ("", Code.QUIET),
        ("", Code.CAP),
    ]
    assert [str(reason) for reason in step.reasons] == [
        "a is passed over: the reader has had it",
        "b is passed over: only if secondary is improviser",
        "no known time zone: Europe/Berlin counts",
        "6 hours after the lesson before it",
        "moved out of the quiet hours 18:00-08:00",
        "moved: at most 1 a day",
    ]


@pytest.mark.parametrize("code", Code)
def test_every_reason_is_a_sentence(code: Code) -> None:
    assert str(Reason(code, "value")).strip()


def test_what_was_passed_over_is_not_come_back_to() -> None:
    made = funnel(lesson("a"), lesson("b", only_if=only("event", "cooked")), lesson("c"), lesson("d"))
    later = replace(READER, events={"cooked": NOON_MS})
    assert comes(made, READER, {"a"}) == "c"
    assert comes(made, later, {"a"}) == "b"
    assert comes(made, later, {"a", "c"}) == "d"
    assert comes(made, later, {"a", "c", "d"}) is None


def test_whoever_has_had_a_lesson_does_not_get_its_equal_in_another_sequence() -> None:
    made = funnel(
        lesson("a", same_as="x"), lesson("b"), lesson("c", same_as="x"), others=[lesson("x"), lesson("y", same_as="b")]
    )
    retaken = replace(READER, pattern="improviser")
    assert comes(made, READER, {"x"}) == "b"
    assert comes(made, READER, {"x", "y"}) is None
    assert comes(made, retaken, {"a"}) == "y"
    assert comes(made, retaken, {"c", "b"}) is None
    step = next_step(made, retaken, {"a"}, NOON_MS)
    assert step is not None
    assert step.reasons[0] == Reason(Code.SAME_AS, "a", "x")


def test_finished_stays_finished_but_for_what_is_marked_after_all() -> None:
    had = {"a", "b"}
    assert after_finish(funnel(lesson("a"), lesson("b"), lesson("c")), READER, had, NOON_MS) is None
    made = funnel(
        lesson("a"), lesson("b"), lesson("c"), lesson("d", after_all=True, unless=only("pace", "slower")), lesson("e")
    )
    step = after_finish(made, READER, had, NOON_MS)
    assert step is not None
    assert step.lesson.key == "d"
    assert after_finish(made, replace(READER, pace="slower"), had, NOON_MS) is None
    assert after_finish(made, READER, {*had, "d"}, NOON_MS) is None
    assert after_finish(made, replace(READER, pattern="gone"), had, NOON_MS) is None


def test_a_goal_is_reached_by_its_event() -> None:
    goals = (Goal("bored"), Goal("swap", "improviser"))
    pattern = funnel(lesson("a"), goals=goals).patterns["planner"]
    assert goal_reached(pattern, {"swap": 1}) == goals[1]
    assert goal_reached(pattern, {"swap", "bored"}) == goals[0]
    assert goal_reached(pattern, ["cooked"]) is None


# What marketers do to a running course, to somebody who has had b of a, b, c.
BEFORE = (lesson("a"), lesson("b"), lesson("c"))


@pytest.mark.parametrize(
    ("edited", "had", "then"),
    [
        # Deleting restarts nobody and sends nothing again.
        (("b", "c"), {"a"}, ["b", "c"]),
        (("a", "c"), {"a", "b"}, ["c"]),
        (("a", "b"), {"a", "b"}, []),
        ((("c",)), {"a", "b"}, ["c"]),
        # Reordering repeats nothing.
        (("c", "b", "a"), {"a", "b"}, ["c"]),
        (("b", "c", "a"), {"a"}, ["b", "c"]),
        (("c", "a", "b"), {"a", "b", "c"}, []),
        # Inserting before, at and after somebody's position: each once, in the order in which they stand.
        (("n", "a", "b", "c"), {"a", "b"}, ["n", "c"]),
        (("a", "b", "n", "c"), {"a", "b"}, ["n", "c"]),
        (("a", "b", "c", "n"), {"a", "b"}, ["c", "n"]),
    ],
)
def test_an_edit_repeats_nothing_and_strands_nobody(edited: tuple[str, ...], had: set[str], then: list[str]) -> None:
    made = funnel(*(lesson(key) for key in edited))
    got: list[str] = []
    while key := comes(made, READER, {*had, *got}):
        got.append(key)
    assert got == then


@pytest.mark.parametrize(("days", "due_days"), [(1, 1), (9, 9), (2, 2)])
def test_a_longer_or_shorter_wait_counts_from_the_lesson_before(days: int, due_days: int) -> None:
    step = next_step(funnel(lesson("a"), lesson("b", days)), READER, {"a"}, NOON_MS)
    assert step is not None
    assert step.due_ms == NOON_MS + due_days * DAY_MS


LATE = Timing(DAY_MS, time(8, 30), quiet=NIGHT)


@pytest.mark.parametrize(
    ("due_at", "now", "comes_at"),
    [
        ("2026-11-02 08:30", "2026-11-02 08:40", "2026-11-02 08:30"),  # a busy morning
        ("2026-11-02 08:30", "2026-11-02 11:00", "2026-11-02 08:30"),
        ("2026-11-02 08:30", "2026-11-02 12:00", "2026-11-03 08:30"),
        ("2026-11-02 08:30", "2026-11-23 03:00", "2026-11-23 08:30"),
        ("2026-11-02 08:30", "2026-11-23 09:00", "2026-11-24 08:30"),
        ("2026-11-02 19:30", "2026-11-02 21:40", "2026-11-03 08:30"),
    ],
)
def test_what_is_late_comes_at_its_own_hour(due_at: str, now: str, comes_at: str) -> None:
    at, now_ms, then = (
        int(datetime.fromisoformat(each).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()) * 1000
        for each in (due_at, now, comes_at)
    )
    assert put_off(EXAMPLE, READER, replace(lesson("a"), timing=LATE), at, now_ms) == then
    assert put_off(EXAMPLE, READER, lesson("a", 0), at, now_ms) == at


YEARS = (1_740_000_000_000, 1_900_000_000_000)  # 2025 to 2030
# Random sequences, random edits, random clocks and zones.
KEYS = [f"l{number}" for number in range(16)]
ZONES = [
    BERLIN,
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Mars/Olympus",
]
CONDITIONS = [(), (), (), (), only("secondary", "improviser"), only("pace", "slower"), only("event", "e0")]


class Chance:
    """Everything that may happen, drawn evenly: hypothesis alone prefers what is small."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)

    def timing(self) -> Timing:
        pick = self.draw.choice
        days = self.draw.sample(range(7), pick([1, 3, 7, 7]))
        wait_ms = pick([HOUR_MS, 6 * HOUR_MS, DAY_MS, 2 * DAY_MS])
        at, not_before = pick([None, None, time(8, 30), time(17)]), pick([None, time(9)])
        return Timing(wait_ms, at, frozenset(days), not_before, pick([None, NIGHT, NIGHT, (time(12), time(14))]))

    def lesson(self, key: str) -> Lesson:
        pick = self.draw.choice
        until = pick([None, None, Until("e0", 3 * DAY_MS), Until("e1", 5 * DAY_MS)])
        same_as = pick([None, None, None, "x0"])
        return Lesson(key, self.timing(), MAIL, pick(CONDITIONS), pick(CONDITIONS), until, pick([True, False]), same_as)

    def funnel(self) -> Funnel:
        keys = self.draw.sample(KEYS, self.draw.randint(1, len(KEYS)))
        schedule = Schedule(daily_cap=self.draw.choice([None, 1, 2]))
        return funnel(*map(self.lesson, keys), others=[lesson("x0"), lesson("x1")], schedule=schedule)

    def change(self, made: Funnel, reader: Reader, now_ms: int) -> tuple[Funnel, Reader]:
        """An edit of the sequence, or something new about the reader."""
        pick = self.draw.choice
        changes: list[dict[str, Any]] = [
            {"zone": pick(ZONES)},
            {"pace": pick(PACES)},
            {"secondary": pick([None, "improviser"])},
            {"events": {**reader.events, pick(["e0", "e1"]): now_ms}},
        ]
        return (self.funnel(), reader) if pick([True, False]) else (made, replace(reader, **pick(changes)))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens_nothing_comes_twice_nobody_is_stranded_and_nights_are_quiet(seed: int) -> None:
    chance = Chance(seed)
    made, reader, now_ms = chance.funnel(), replace(READER, zone=chance.draw.choice(ZONES)), chance.draw.randint(*YEARS)
    got, sent = ["start"], [now_ms]
    for _ in range(25):
        if chance.draw.random() < 0.3:
            made, reader = chance.change(made, reader, sent[-1])
        mailed = replace(reader, mailed=tuple(sent))
        step = next_step(made, mailed, got, sent[-1])
        if step is None:
            continue
        agrees_with_the_short_way(made, reader, got, sent, step)
        assert not is_had(made, step.lesson, got)
        assert step.due_ms >= sent[-1]
        assert all(each.conditional or is_had(made, each, got) for each in before(made, step.lesson))
        late_ms = chance.draw.randint(0, chance.draw.choice([0, 3, 30]) * HOUR_MS)
        goes_ms = put_off(made, mailed, step.lesson, step.due_ms, step.due_ms + late_ms)
        if goes_ms == step.due_ms and late_ms > GRACE_MS:
            goes_ms += late_ms
        for moment in (step.due_ms, goes_ms):
            keeps_its_hours(made, reader, step.lesson, moment)
            keeps_the_cap(made, reader, sent, moment)
        got.append(step.lesson.key)
        sent.append(goes_ms)
    has_had_all(made, reader, got, sent[-1])


def has_had_all(made: Funnel, reader: Reader, got: list[str], now_ms: int) -> None:
    """Nobody is stranded: what is for everybody has come, and nothing is left."""
    while step := next_step(made, reader, got, now_ms):
        assert step.lesson.key not in got
        got.append(step.lesson.key)
    for each in made.patterns["planner"].lessons:
        assert each.conditional or is_had(made, each, got)


def is_had(made: Funnel, each: Lesson, got: Sequence[str]) -> bool:
    return each.key in got or bool(made.alike.get(each.key, frozenset()) & set(got))


def before(made: Funnel, until: Lesson) -> Sequence[Lesson]:
    lessons = made.patterns["planner"].lessons
    return lessons[: lessons.index(until)]


def agrees_with_the_short_way(made: Funnel, reader: Reader, got: list[str], sent: list[int], step: Step) -> None:
    """Whoever has had all that comes before, and nothing behind, is served without being looked at."""
    known = Reader(reader.pattern, reader.secondary, reader.pace, reader.zone, mailed=(sent[-1],))
    simple, keys = step_after(made, known, got[-1], sent[-1]), keys_of(made)
    if simple is None or simple.lesson.key in got:
        return
    place = keys.index(got[-1])
    if set(keys[:place]) <= set(got) and not set(keys[place + 1 :]) & set(got):
        assert simple.lesson == step.lesson
        calm = made.schedule.daily_cap in (None, 1)
        assert simple.due_ms == step.due_ms or not calm


def keys_of(made: Funnel) -> list[str]:
    return [each.key for each in made.patterns["planner"].lessons]


def clock_of(made: Funnel, reader: Reader, instant_ms: int) -> datetime:
    zone = made.timezone if reader.zone == "Mars/Olympus" else reader.zone
    return datetime.fromtimestamp(instant_ms / 1000, ZoneInfo(zone))


def keeps_its_hours(made: Funnel, reader: Reader, sent: Lesson, due_ms: int) -> None:
    shown, timing = clock_of(made, reader, due_ms), sent.timing
    if timing.quiet and timing.quiet[0] > timing.quiet[1]:
        assert timing.quiet[1] <= shown.time() < timing.quiet[0]
    elif timing.quiet:
        assert not timing.quiet[0] <= shown.time() < timing.quiet[1]
    assert timing.not_before is None or shown.time() >= timing.not_before
    assert shown.weekday() in timing.days or shown.fold or reader.zone == "Pacific/Apia"


def keeps_the_cap(made: Funnel, reader: Reader, sent: list[int], due_ms: int) -> None:
    days = Counter(clock_of(made, reader, each).date() for each in sent)
    assert days[clock_of(made, reader, due_ms).date()] < (made.schedule.daily_cap or 99)
