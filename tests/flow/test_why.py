"""The story of a course and of a delivery: every send, skip and delay with its rule, and nothing of the person."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from funnel.core.delivery import Fate, Report, State
from funnel.core.moving import Policy
from funnel.flow import course, holding, leaving, plan, sweep, why
from funnel.flow.fate import Line
from funnel.flow.why import Story
from funnel.keyring import Keyring
from funnel.store.tables import batch, delivery, due
from tests.conftest import NAME, Clock, make_tools
from tests.desk import Desk
from tests.world import ALICE, BOB, World


def story(world: World, *, lessons: bool = False, enrollment_id: int = 1) -> Story:
    found = why.of_enrollment(world.tools, enrollment_id, world.clock(), lessons=lessons)
    assert found is not None
    return found


def of(found: Story, what: str) -> list[Line]:
    return [line for line in found.lines if line.what == what]


def says(found: Story, what: str) -> str:
    [line] = of(found, what)
    return line.says


def printed(found: Story) -> str:
    return repr(found)


def test_every_lesson_of_a_whole_course_is_explained(world: World) -> None:
    world.join(ALICE, "freeze", "fawn", name="Alice")
    world.days(20)
    found = story(world)
    explained = of(found, "scheduled")
    assert len(explained) == 7
    assert all(line.at_ms is not None for line in explained)
    assert "delivery 1 was accepted" in explained[1].says
    assert "1 day after the lesson before it; at 08:30 on the reader's clock" in explained[1].says
    assert [len(of(found, what)) for what in ("planned", "started", "accepted")] == [7, 7, 7]
    assert says(found, "entered").startswith("the course begins")
    assert {line.says.split(":")[1].split(",")[0] for line in of(found, "consent")} == {" given", " confirmed"}
    assert found.about["state"] == "finished"
    moments = [line.at_ms for line in found.lines if line.at_ms is not None]
    assert moments == sorted(moments)


def test_nothing_of_the_person_is_told_and_no_pattern_unless_asked(world: World) -> None:
    world.join(ALICE, "freeze", "fawn", name="Alicia")
    world.days(3)
    private = ("alice", "alicia", "freeze", "fawn")
    assert [word for word in private if word in printed(story(world)).lower()] == []
    shown = story(world, lessons=True)
    assert "freeze-sign" in printed(shown)
    assert shown.about["pattern"] == "freeze and fawn"
    assert [word for word in private[:2] if word in printed(shown).lower()] == []


def test_what_is_due_next_is_told_with_its_reasons(world: World) -> None:
    world.join(ALICE)
    world.work()
    found = story(world)
    [waiting] = world.rows(due)
    assert [(line.at_ms, line.says) for line in of(found, "due")] == [(waiting.due_ms, "lesson 2 is due")]
    assert of(found, "scheduled")[1].at_ms is not None


def test_a_worker_that_was_away_shows_as_a_delay_that_nobody_guesses_at(world: World) -> None:
    world.join(ALICE)
    world.clock.forward(hours=5)
    world.work()
    found = story(world)
    assert "5 h after it was due" in says(found, "planned")
    assert why.HOLDS in found.gaps
    assert of(found, "scheduled")[1].at_ms == world.clock()  # counted from acceptance: the course has shifted


def test_a_hold_is_told_while_it_lasts(world: World) -> None:
    world.join(ALICE)
    assert holding.pause(world.tools.engine, f"funnel:{NAME}", "lunch", world.clock()) is None
    world.clock.forward(hours=1)
    found = story(world)
    assert "lunch; until a person resumes it" in says(found, "held")
    assert says(found, "due").endswith("and not planned yet")


def test_a_doubt_is_told_with_what_is_known_and_then_with_who_settled_it(world: World) -> None:
    world.join(ALICE)
    [started] = world.start_all()
    assert world.settle(started, Report(Fate(State.UNKNOWN, "no answer")))
    assert "nobody knows its fate: no answer" in says(story(world), "unknown")
    assert sweep.assume_sent(world.tools, started.batch.uid, world.clock.forward(hours=1))
    found = story(world)
    assert "an operator counted it as sent" in says(found, "accepted")
    assert of(found, "scheduled")[1].at_ms == world.clock()


def test_a_refusal_for_now_is_told_as_planned_again(world: World) -> None:
    world.join(ALICE)
    [started] = world.start_all()
    world.settle(started, Report(Fate(State.PLANNED, "busy", retry_ms=60_000)))
    assert "1 times refused for now" in says(story(world), "planned again")
    world.clock.forward(hours=2)
    world.work()
    assert says(story(world), "started").startswith("attempt 2, by outbox")


def test_a_refusal_for_good_pauses_the_course_and_says_why(world: World) -> None:
    world.join(ALICE)
    [started] = world.start_all()
    world.settle(started, Report(Fate(State.FAILED, "refused (550)")))
    found = story(world)
    assert {line.says for line in of(found, "failed")} == {"refused (550)"}
    assert found.about["state"] == "paused (refused (550))"


def switched(world: World) -> None:
    assert course.choose(world.tools, world.rows(delivery)[0].id, "fight", world.clock())


def test_a_switch_leaves_a_void_due_row_and_ends_the_course(world: World) -> None:
    world.join(ALICE)
    world.work()
    switched(world)
    found = story(world)
    assert "it will not be sent" in says(found, "void")
    assert says(found, "changed") == "the course is ended, in turn 2: another course"
    assert why.TURNS in found.gaps
    assert of(story(world, enrollment_id=2), "void") == []


@pytest.mark.parametrize(
    ("act", "what", "rule"),
    [
        (lambda world: leaving.unsubscribe(world.tools, 1, world.clock()), "skipped", "the reader had unsubscribed"),
        (lambda world: switched(world), "skipped", "the course had ended when its batch was started"),
    ],
)
def test_a_lesson_that_may_not_be_sent_any_more_tells_the_rule(
    world: World, act: Callable[[World], object], what: str, rule: str
) -> None:
    """Planned, and then stopped before it was started."""
    world.join(ALICE)
    world.work()
    [waiting] = world.rows(due)
    world.clock.now_ms = waiting.due_ms
    plan.plan(world.tools, world.clock())
    act(world)
    world.work()
    found = why.of_delivery(world.tools, 2, world.clock())
    assert found is not None
    assert rule in says(found, what)
    assert of(found, what)[0].at_ms == world.clock()


def test_who_has_withdrawn_leaves_a_story_without_lessons(world: World) -> None:
    world.join(ALICE)
    world.days(2)
    assert leaving.withdraw(world.tools, 1, world.clock())
    found = story(world)
    assert {line.says for line in of(found, "withdrawn")} <= {"the reader withdrew: what it was has been deleted"}
    assert of(found, "scheduled") == []
    assert "freeze" not in printed(story(world, lessons=True))


def test_the_story_of_a_delivery_is_its_own_alone(world: World) -> None:
    world.join_all(ALICE, BOB)
    world.days(2)
    found = why.of_delivery(world.tools, 3, world.clock())
    assert found is not None
    assert {line.delivery for line in found.lines} == {None, 3}
    assert (found.about["delivery"], len(of(found, "scheduled"))) == (3, 1)


def test_a_publication_tells_where_it_moved_the_course_and_what_was_current_when(
    engine: Engine, keyring: Keyring, clock: Clock, tmp_path: Path
) -> None:
    desk = Desk(make_tools(engine, keyring), clock, tmp_path)
    first = desk.publish("a", "b", "c")
    desk.join(ALICE)
    desk.work()
    clock.forward(hours=1)
    second = desk.publish("a", "c", "b", policy=Policy.ALONG)
    desk.days(5)
    found = story(desk)
    assert says(found, "published") == f"revision {second[:12]} is current, by policy along"
    assert says(found, "moved").startswith("by that publication, from lesson 3, due at 2026-11-")
    assert ", to lesson 2, due at 2026-11-" in says(found, "moved")
    assert [first[:12] in line.says for line in of(found, "scheduled")] == [True, False, False]
    assert why.OTHER_REVISION not in found.gaps


def test_what_is_not_there_has_no_story(world: World) -> None:
    assert why.of_enrollment(world.tools, 1, world.clock()) is None
    assert why.of_delivery(world.tools, 1, world.clock()) is None
    assert world.rows(batch) == []
