"""The sequence language at work: events, goals, caps, moves and pauses, through the real plan, start and settle."""

from collections.abc import Sequence
from datetime import datetime, time
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from funnel.flow import course, holding, leaving, moving, reaching
from funnel.flow.doctor import _zones
from funnel.flow.onward import follow_up
from funnel.flow.resuming import put_off_late, resume
from funnel.flow.sent import Sent
from funnel.flow.tools import Tools
from funnel.store import figures
from funnel.store.db import reading, writing
from funnel.store.tables import Record, due, enrollment, reached, slot
from tests.conftest import Clock
from tests.flow.kitchen import Kitchen
from tests.world import ALICE, BOB, CHARLIE

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
QUIET = '[schedule]\nquiet = "21:30-07:30"\n'
CAP = '[schedule]\nquiet = "21:30-07:30"\ndaily_cap = 1\n'
BUTTON = "::: event cooked\nI have cooked\n:::"
FIRST = 'a | wait = "0 days"'
DAILY = 'wait = "1 day"; at = "08:30"'


@pytest.fixture
def kitchen(tools: Tools, clock: Clock, tmp_path: Path) -> Kitchen:
    return Kitchen(tools, clock, tmp_path / "outbox")


def local(instant_ms: int, zone: str = BERLIN) -> datetime:
    return datetime.fromtimestamp(instant_ms / 1000, ZoneInfo(zone))


def clocks(kitchen: Kitchen, who: int = 1, zone: str = BERLIN) -> list[str]:
    return [f"{row.key} {local(row.started_ms, zone):%a %H:%M}" for row in kitchen.sent(who)]


def test_lessons_come_only_to_whom_they_are_for(kitchen: Kitchen) -> None:
    rows = (FIRST, f'b | {DAILY}; only-if = {{ secondary = "improviser" }}', f"c | {DAILY}")
    kitchen.write(*rows, f'd | {DAILY}; unless = {{ secondary = "improviser" }}')
    kitchen.enter(ALICE, secondary="improviser")
    kitchen.enter(BOB)
    kitchen.days(6)
    assert (kitchen.got(1), kitchen.got(2)) == (["a", "b", "c"], ["a", "c", "d"])
    assert kitchen.enrolled() == [("planner", "finished", None)] * 2


def test_what_the_language_of_a_reader_decides_is_asked_for(kitchen: Kitchen) -> None:
    rows = (FIRST, f'b | {DAILY}; only-if = {{ locale = "de" }}', f'c | {DAILY}; only-if = {{ locale = "en" }}')
    kitchen.write(*rows)
    kitchen.enter(ALICE)
    kitchen.days(4)
    assert kitchen.got() == ["a", "c"]


WAITING = (FIRST, 'b | wait = "0 days"; until = "cooked"; at-most = "5 days"', f"c | {DAILY}")


def test_a_lesson_waits_for_its_event_five_days_at_most(kitchen: Kitchen) -> None:
    kitchen.write(*WAITING, schedule=QUIET, a=BUTTON)
    kitchen.enter(ALICE)
    kitchen.days(4)
    assert kitchen.got() == ["a"]
    kitchen.days(3)
    assert clocks(kitchen) == ["a Sun 13:00", "b Fri 13:00", "c Sat 08:30"]


def test_an_event_answers_at_once_and_once(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write(*WAITING, schedule=QUIET, a=BUTTON)
    kitchen.enter(ALICE)
    kitchen.days(1)
    clock.forward(hours=10)  # 23:00, in the quiet hours
    first = kitchen.sent()[0].id
    assert reaching.reach(kitchen.tools, first, "cooked", clock())
    assert reaching.reach(kitchen.tools, first, "cooked", clock() + 1)
    assert [row.at_ms for row in kitchen.rows(reached)] == [clock()]
    kitchen.days(3)
    assert clocks(kitchen)[:2] == ["a Sun 13:00", "b Mon 23:00"]
    assert kitchen.got() == ["a", "b", "c"]


@pytest.mark.parametrize("event", ["swap", "baked", "", "Cooked"])
def test_only_what_a_lesson_offers_can_be_reached(kitchen: Kitchen, clock: Clock, event: str) -> None:
    kitchen.write(*WAITING, a=BUTTON, c="::: event swap\nSwap\n:::")
    kitchen.enter(ALICE)
    kitchen.work()
    assert reaching.reach(kitchen.tools, kitchen.sent()[0].id, event, clock()) is None
    assert not reaching.reach(kitchen.tools, 99, "cooked", clock())
    assert kitchen.rows(reached) == []


def test_nobody_who_left_reaches_anything_and_withdrawing_deletes_what_was_reached(
    kitchen: Kitchen, clock: Clock
) -> None:
    kitchen.write(*WAITING, a=BUTTON)
    for person in (ALICE, BOB):
        kitchen.enter(person)
    kitchen.work()
    hers, his = kitchen.sent(1)[0].id, kitchen.sent(2)[0].id
    reaching.reach(kitchen.tools, hers, "cooked", clock())
    leaving.withdraw(kitchen.tools, hers, clock())
    leaving.unsubscribe(kitchen.tools, his, clock())
    assert not reaching.reach(kitchen.tools, hers, "cooked", clock())
    assert not reaching.reach(kitchen.tools, his, "cooked", clock())
    assert kitchen.rows(reached) == []


@pytest.mark.parametrize(
    ("goal", "enrolled", "got"),
    [
        ("", [("planner", "ended", "goal reached")], ["a"]),
        (
            'to = "improviser"',
            [("planner", "ended", "another course"), ("improviser", "finished", None)],
            ["a", "i1", "i2"],
        ),
    ],
)
def test_a_goal_ends_the_sequence_or_changes_it(
    kitchen: Kitchen, clock: Clock, goal: str, enrolled: list[tuple[str, str, str | None]], got: list[str]
) -> None:
    kitchen.write(FIRST, f"b | {DAILY}", goals=f'\n[[goals]]\nevent = "cooked"\n{goal}\n', a=BUTTON)
    kitchen.enter(ALICE)
    kitchen.work()
    assert reaching.reach(kitchen.tools, kitchen.sent()[0].id, "cooked", clock())
    kitchen.days(5)
    assert (kitchen.enrolled(), kitchen.got()) == (enrolled, got)


def test_another_sequence_does_not_repeat_what_is_the_same(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write('a | wait = "0 days"; same-as = "i1"', f"b | {DAILY}")
    kitchen.enter(ALICE)
    kitchen.work()
    course.choose(kitchen.tools, kitchen.sent()[0].id, "improviser", clock())
    kitchen.days(4)
    assert kitchen.got() == ["a", "i2"]


@pytest.mark.parametrize(
    ("policy", "got"),
    [('on_reentry = "continue"', ["a", "b", "c", "d"]), ('on_reentry = "after-all"', ["a", "b", "d"])],
)
def test_whoever_finished_and_comes_again_gets_what_the_funnel_says(
    kitchen: Kitchen, policy: str, got: list[str]
) -> None:
    schedule = f"[schedule]\n{policy}\n"
    kitchen.write(FIRST, f"b | {DAILY}", schedule=schedule)
    kitchen.enter(ALICE)
    kitchen.days(3)
    kitchen.write(FIRST, f"b | {DAILY}", f"c | {DAILY}", f"d | {DAILY}; after-all = true", schedule=schedule)
    kitchen.days(5)
    assert kitchen.got() == ["a", "b"]
    kitchen.enter(ALICE)
    kitchen.days(5)
    assert kitchen.got() == got
    assert kitchen.enrolled() == [("planner", "finished", None)] * 2


def test_a_second_pattern_that_changes_moves_on_to_what_is_for_it(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write(FIRST, f'b | {DAILY}; only-if = {{ secondary = "improviser" }}', f"c | {DAILY}")
    kitchen.enter(ALICE)
    kitchen.work()
    with writing(kitchen.tools.engine) as connection:
        course.enroll(
            connection, kitchen.tools, kitchen.people()[0], kitchen.kitchen(), "planner", "improviser", clock()
        )
    kitchen.days(4)
    assert kitchen.got() == ["a", "b", "c"]


def test_a_cap_within_one_sequence_moves_what_is_too_much_to_the_next_day(kitchen: Kitchen) -> None:
    hours = 'wait = "3 hours"'
    kitchen.write(FIRST, f"b | {hours}", f"c | {hours}", f"d | {hours}", schedule=f"{QUIET}daily_cap = 2\n")
    kitchen.enter(ALICE)
    kitchen.days(3)
    assert clocks(kitchen) == ["a Sun 13:00", "b Sun 16:00", "c Mon 07:30", "d Mon 10:30"]


def test_two_courses_of_one_person_share_the_days(kitchen: Kitchen) -> None:
    rows = (FIRST, *(f"{key} | {DAILY}" for key in "bcd"))
    for name in ("kitchen", "pantry"):
        kitchen.write(*rows, schedule=CAP, name=name)
    for person in (ALICE, BOB):
        kitchen.enter(person)
    kitchen.enter(ALICE, funnel="pantry")
    kitchen.days(9)
    hers = kitchen.sent(1)
    assert sorted((row.funnel, row.key) for row in hers) == sorted(
        (name, key) for name in ("kitchen", "pantry") for key in "abcd"
    )
    assert [row.key for row in hers if row.funnel == "pantry"] == list("abcd")
    days = [local(row.started_ms).date() for row in hers][2:]  # both began on the same day, by the reader's own act
    assert len(set(days)) == len(days) == 6
    assert {local(row.started_ms).time().replace(second=0) for row in hers[2:]} == {time(8, 30)}
    assert clocks(kitchen, 2) == ["a Sun 13:00", "b Mon 08:30", "c Tue 08:30", "d Wed 08:30"]
    assert len(kitchen.rows(slot)) <= 1  # whoever has one course left needs no slot


def test_a_course_that_ends_leaves_its_days_to_the_others(kitchen: Kitchen, clock: Clock) -> None:
    for name in ("kitchen", "pantry"):
        kitchen.write(FIRST, f"b | {DAILY}", f"c | {DAILY}", schedule=CAP, name=name)
    kitchen.enter(ALICE)
    kitchen.enter(ALICE, funnel="pantry")
    kitchen.work()
    assert len(kitchen.rows(slot)) == 2
    with writing(kitchen.tools.engine) as connection:
        course.end(connection, 1, "another course", clock())
    assert [row.enrollment_id for row in kitchen.rows(slot)] == [2]


def test_courses_that_were_taken_up_again_share_the_days_again(kitchen: Kitchen, clock: Clock) -> None:
    for name in ("kitchen", "pantry"):
        kitchen.write(FIRST, f"b | {DAILY}", f"c | {DAILY}", schedule=CAP, name=name)
    kitchen.enter(ALICE)
    kitchen.enter(ALICE, funnel="pantry")
    kitchen.work()
    clock.forward(hours=1)
    leaving.unsubscribe(kitchen.tools, kitchen.sent()[0].id, clock())
    assert kitchen.rows(slot) == []
    assert leaving.undo_unsubscribe(kitchen.tools, kitchen.sent()[0].id, clock())
    kitchen.days(6)
    days = [local(row.started_ms).date() for row in kitchen.sent()][2:]
    assert len(days) == len(set(days)) == 4


def test_whoever_moves_reads_in_the_morning_of_the_new_place(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write(FIRST, f"b | {DAILY}", f"c | {DAILY}")
    kitchen.enter(ALICE)
    kitchen.work()
    assert moving.change_zone(kitchen.tools, 1, NEW_YORK, clock())
    assert not moving.change_zone(kitchen.tools, 1, "Mars/Olympus", clock())
    assert not moving.change_zone(kitchen.tools, 99, NEW_YORK, clock())
    kitchen.days(3)
    assert clocks(kitchen, zone=NEW_YORK) == ["a Sun 07:00", "b Mon 08:30", "c Tue 08:30"]
    assert kitchen.people()[0].zone == NEW_YORK


@pytest.mark.parametrize("zone", ["", "Mars/Olympus"])
def test_whoever_has_no_known_zone_lives_by_the_funnels_and_is_counted(kitchen: Kitchen, zone: str) -> None:
    kitchen.write(FIRST, f"b | {DAILY}")
    kitchen.enter(ALICE, zone=zone)
    kitchen.enter(BOB, zone=NEW_YORK)
    kitchen.days(2)
    assert clocks(kitchen) == ["a Sun 13:00", "b Mon 08:30"]
    with reading(kitchen.tools.engine) as connection:
        assert figures.zones(connection) == {zone: 1, NEW_YORK: 1}
        assert _zones(connection).says == "1 of 2 subscribers have no known time zone: their funnel's counts"


def test_moving_while_a_lesson_is_on_its_way_changes_the_one_behind_it(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write(FIRST, f"b | {DAILY}")
    kitchen.enter(ALICE)
    started = kitchen.start_all()[0]
    moving.change_zone(kitchen.tools, 1, NEW_YORK, clock())
    assert kitchen.rows(due) == []
    kitchen.settle(started, kitchen.provider.hand_over(started.mailing))
    kitchen.days(3)
    assert kitchen.got() == ["a", "b"]


def test_a_pace_is_changed_from_the_lesson_before(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write(FIRST, 'b | wait = "3 days"', 'c | wait = "3 days"')
    kitchen.enter(ALICE)
    kitchen.days(1)
    assert moving.change_pace(kitchen.tools, 1, "slower", clock())
    assert not moving.change_pace(kitchen.tools, 1, "fast", clock())
    assert not moving.change_pace(kitchen.tools, 9, "daily", clock())
    kitchen.days(5)
    assert clocks(kitchen) == ["a Sun 13:00", "b Sat 13:00"]
    assert moving.change_pace(kitchen.tools, 1, "daily", clock())
    kitchen.days(1)
    assert clocks(kitchen)[2] == "c Sun 13:00"


@pytest.mark.parametrize("scope", ["all", "funnel:kitchen"])
def test_a_paused_funnel_of_three_weeks_resumes_without_a_burst(kitchen: Kitchen, clock: Clock, scope: str) -> None:
    kitchen.write(FIRST, f"b | {DAILY}", f"c | {DAILY}", f"d | {DAILY}", schedule=QUIET)
    for person, zone in ((ALICE, BERLIN), (BOB, NEW_YORK), (CHARLIE, "Asia/Kathmandu")):
        kitchen.enter(person, zone=zone)
    kitchen.days(1)
    holding.pause(kitchen.tools.engine, scope, "a long holiday", clock())
    clock.forward(days=21, hours=14)  # 03:00 in Berlin
    kitchen.work()
    assert resume(kitchen.tools, scope, clock())
    assert not resume(kitchen.tools, scope, clock())
    kitchen.work()
    before = [kitchen.got(who) for who in (1, 2, 3)]
    assert all(len(got) <= 2 for got in before)
    kitchen.days(1)
    assert [len(kitchen.got(who)) - len(got) for who, got in zip((1, 2, 3), before, strict=True)] == [1, 1, 1]
    kitchen.days(5)
    for who, zone in ((1, BERLIN), (2, NEW_YORK), (3, "Asia/Kathmandu")):
        assert kitchen.got(who) == ["a", "b", "c", "d"]
        assert {f"{local(row.started_ms, zone):%H:%M}" for row in kitchen.sent(who)[1:]} == {"08:30"}
        days = [local(row.started_ms, zone).date() for row in kitchen.sent(who)]
        assert len(set(days)) == 4


def test_a_resume_that_breaks_off_is_taken_up_again(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write(FIRST, f"b | {DAILY}", schedule=QUIET)
    for person in (ALICE, BOB, CHARLIE):
        kitchen.enter(person)
    kitchen.work()
    clock.forward(days=9)
    assert put_off_late(kitchen.tools, "kitchen", clock(), at_once=1) == 3
    moments = [row.due_ms for row in kitchen.rows(due)]
    assert put_off_late(kitchen.tools, "kitchen", clock(), at_once=2) == 0
    assert [row.due_ms for row in kitchen.rows(due)] == moments
    assert {f"{local(each):%a %H:%M}" for each in moments} == {"Wed 08:30"}


@pytest.mark.parametrize(
    ("edited", "got"),
    [
        (("a", "c"), ["a", "b", "c"]),
        (("c", "b", "a"), ["a", "b", "c"]),
        (("n", "a", "b", "c"), ["a", "b", "c"]),
    ],
)
def test_an_edit_restarts_nobody_and_repeats_nothing(kitchen: Kitchen, edited: tuple[str, ...], got: list[str]) -> None:
    def rows(*keys: str) -> list[str]:
        return [f'{key} | wait = "{number} days"; at = "09:00"' for number, key in enumerate(keys)]

    kitchen.write(*rows("a", "b", "c"))
    kitchen.enter(ALICE)
    kitchen.days(2)
    kitchen.write(*rows(*edited))
    kitchen.days(20)
    assert sorted(kitchen.got()) == sorted(got)
    assert kitchen.got()[:2] == ["a", "b"]


RULES = (
    "",
    "",
    '; only-if = { secondary = "improviser" }',
    '; unless = { pace = "slower" }',
    '; days = ["mon", "wed", "sat"]',
    '; not-before = "11:00"',
    '; until = "cooked"; at-most = "4 days"',
)


def draw_rows(chance: Random) -> list[str]:
    keys = chance.sample("bcdefgh", chance.randint(2, 6))
    waits = [chance.choice(['wait = "1 day"', 'wait = "5 hours"', 'wait = "2 days"']) for _ in keys]
    return [FIRST, *(f"{key} | {wait}{chance.choice(RULES)}" for key, wait in zip(keys, waits, strict=True))]


@pytest.mark.parametrize("seed", range(3))
def test_random_edits_and_moves_send_nothing_twice_and_strand_nobody(kitchen: Kitchen, clock: Clock, seed: int) -> None:
    chance = Random(seed)
    rows = draw_rows(chance)
    schedule = chance.choice([QUIET, CAP])
    kitchen.write(*rows, schedule=schedule, a=BUTTON)
    zones = {}
    for who, person in enumerate((ALICE, BOB, CHARLIE), 1):
        zones[who] = chance.choice([BERLIN, NEW_YORK, "Asia/Kathmandu"])
        kitchen.enter(person, secondary=chance.choice([None, "improviser"]), zone=zones[who])
    kitchen.work()
    moved = set()
    for _ in range(5):
        kitchen.days(chance.randint(0, 3))
        clock.forward(hours=chance.randint(0, 23))
        who = chance.randint(1, 3)
        act = chance.choice(["edit", "zone", "pace", "event", "pause"])
        if act == "edit":
            rows = draw_rows(chance)
            kitchen.write(*rows, schedule=schedule, a=BUTTON)
        elif act == "zone":
            moving.change_zone(kitchen.tools, who, chance.choice([BERLIN, NEW_YORK]), clock())
            moved.add(who)
        elif act == "pace":
            moving.change_pace(kitchen.tools, who, chance.choice(["slower", "daily"]), clock())
        elif act == "event":
            reaching.reach(kitchen.tools, kitchen.sent(who)[0].id, "cooked", clock())
        else:
            holding.pause(kitchen.tools.engine, "funnel:kitchen", "a pause", clock())
            clock.forward(hours=chance.randint(1, 200))
            resume(kitchen.tools, "funnel:kitchen", clock())
    kitchen.days(45)
    for who in (1, 2, 3):
        got = kitchen.got(who)
        assert len(got) == len(set(got))
        everybody = [row for row in rows if "only-if" not in row and "unless" not in row]
        last_ms = kitchen.rows(enrollment)[who - 1].changed_ms
        assert kitchen.enrolled()[who - 1][1] == "finished"
        assert {row.split(" | ")[0] for row in everybody} <= set(got) or last_ms < clock()
        if who not in moved:
            for row in kitchen.sent(who)[1:]:
                assert time(7, 30) <= local(row.started_ms, zones[who]).time() < time(21, 45)
            days = [local(row.started_ms, zones[who]).date() for row in kitchen.sent(who)]
            assert schedule == QUIET or len(set(days)) == len(days)


def test_following_up_asks_the_database_no_more_for_many_than_for_few(kitchen: Kitchen, clock: Clock) -> None:
    kitchen.write(FIRST, f"b | {DAILY}", f'c | {DAILY}; unless = {{ pace = "daily" }}', f"d | {DAILY}", schedule=CAP)
    for person in (ALICE, BOB, CHARLIE):
        kitchen.enter(person)
    kitchen.work()
    clock.forward(days=1)
    (started,) = kitchen.start_all()
    assert len(started.rows) == 3

    def asked(rows: Sequence[Sent | Record]) -> int:
        statements: list[str] = []

        def note(_c: object, _k: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        with writing(kitchen.tools.engine) as connection:
            event.listen(connection, "before_cursor_execute", note)
            follow_up(connection, kitchen.tools, "kitchen", [row for row in rows if isinstance(row, Sent)], clock())
        return len(statements)

    assert asked(started.rows[:1]) == asked(started.rows[1:]) < 12
