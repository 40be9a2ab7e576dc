"""Being in a course: order, hours, leaving, coming back, changing."""

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from funnel.core import links
from funnel.core.consent import Action
from funnel.core.links import Use
from funnel.flow import course, leaving, plan, reading
from funnel.store.tables import consent, delivery, due, enrollment, suppression
from tests.robot import Mail
from tests.world import ALICE, BOB, World


def delivery_of(world: World, mail: Mail) -> int:
    found = links.subject_of(world.tools.keyring.link_keys, Use.UNSUBSCRIBE, world.token(mail, "Stop"))
    assert found is not None
    return found


def subjects(world: World, pattern: str) -> list[str]:
    return [lesson.source.subject for lesson in world.funnel().patterns[pattern].lessons]


@pytest.mark.parametrize("pattern", ["fight", "flight", "freeze", "fawn"])
def test_all_seven_lessons_arrive_in_order_each_once(world: World, pattern: str) -> None:
    world.join(ALICE, pattern)
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, pattern)
    assert [row.state for row in world.rows(enrollment)] == ["finished"]
    assert world.rows(due) == []


def test_later_lessons_come_in_the_morning_where_the_reader_is(world: World) -> None:
    world.join(ALICE)
    world.days(20)
    sent = [datetime.strptime(mail.message["Date"], "%a, %d %b %Y %H:%M:%S %z") for mail in world.mails(ALICE)][2:]
    local = [moment.astimezone(ZoneInfo("Europe/Berlin")) for moment in sent]
    assert {moment.hour for moment in local} == {8}
    days = [(later.date() - earlier.date()).days for earlier, later in itertools.pairwise(local)]
    assert days == [2, 2, 3, 3, 3]


def test_secondary_passages_reach_only_those_they_are_for(world: World) -> None:
    world.join(ALICE, "freeze", "fawn")
    world.join(BOB, "freeze", None)
    world.days(2)
    hers, his = (world.mails(to)[-1] for to in (ALICE, BOB))
    assert hers.subject == his.subject
    assert "Good Host" in hers.text
    assert "Good Host" not in his.text
    assert "Side Door" not in hers.text


def test_an_outage_shifts_a_course_and_never_bursts_it(world: World) -> None:
    world.join(ALICE)
    world.work()
    world.clock.forward(days=30)
    world.days(1)
    assert len(world.lessons(ALICE)) == 2
    world.days(11)
    assert len(world.lessons(ALICE)) == 6


def test_unsubscribing_holds_for_a_batch_that_is_planned_already(world: World) -> None:
    world.join(ALICE)
    world.work()
    first = world.mails(ALICE)[-1]
    world.clock.forward(days=2)
    plan.plan(world.tools, world.clock())
    assert len(world.rows(delivery)) == 2
    leaving.unsubscribe(world.tools, delivery_of(world, first), world.clock())
    world.days(20)
    assert len(world.lessons(ALICE)) == 1
    assert [(row.state, row.reason) for row in world.rows(delivery)][1] == ("skipped", "unsubscribed")


def test_unsubscribing_twice_is_the_same_as_once_and_never_expires(world: World) -> None:
    world.join(ALICE)
    world.days(20)
    first = world.mails(ALICE)[1]
    world.clock.forward(days=3650)
    for _ in range(2):
        assert leaving.unsubscribe(world.tools, delivery_of(world, first), world.clock())
    assert [row.reason for row in world.rows(suppression)] == ["unsubscribed"]
    assert [row.action for row in world.rows(consent)].count(Action.WITHDRAWN) == 1


def test_an_unsubscription_can_be_taken_back_for_a_day_and_the_course_goes_on(world: World) -> None:
    world.join(ALICE)
    world.days(2)
    here = delivery_of(world, world.mails(ALICE)[1])
    leaving.unsubscribe(world.tools, here, world.clock())
    world.clock.forward(hours=23)
    assert leaving.undo_unsubscribe(world.tools, here, world.clock())
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")
    assert world.rows(suppression) == []


def test_taking_it_back_brings_back_the_last_course_alone_however_quickly_one_left_twice(world: World) -> None:
    for _ in range(2):
        world.join(ALICE)
        world.work()
        here = delivery_of(world, world.mails(ALICE)[1])  # the first lesson
        leaving.unsubscribe(world.tools, here, world.clock())
    assert leaving.undo_unsubscribe(world.tools, here, world.clock())
    assert [row.state for row in world.rows(enrollment)] == ["ended", "active"]


def test_after_a_day_an_unsubscription_stands(world: World) -> None:
    world.join(ALICE)
    world.work()
    here = delivery_of(world, world.mails(ALICE)[-1])
    leaving.unsubscribe(world.tools, here, world.clock())
    world.clock.forward(hours=25)
    assert not leaving.undo_unsubscribe(world.tools, here, world.clock())
    world.days(10)
    assert len(world.lessons(ALICE)) == 1


def test_a_lesson_skipped_by_leaving_is_sent_after_coming_back(world: World) -> None:
    world.join(ALICE)
    world.work()
    here = delivery_of(world, world.mails(ALICE)[-1])
    world.clock.forward(days=2)
    plan.plan(world.tools, world.clock())
    leaving.unsubscribe(world.tools, here, world.clock())
    leaving.undo_unsubscribe(world.tools, here, world.clock())
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")


def test_withdrawing_deletes_the_result_and_the_ledger_that_would_tell_it(world: World) -> None:
    world.join(ALICE, "freeze", "fawn")
    world.days(4)
    here = delivery_of(world, world.mails(ALICE)[1])
    assert leaving.withdraw(world.tools, here, world.clock())
    assert {(row.lesson_id, row.batch_id) for row in world.rows(delivery)} == {(None, None)}
    assert world.rows(due) == []
    assert [(row.pattern, row.secondary, row.state) for row in world.rows(enrollment)] == [("", None, "ended")]
    assert [row.action for row in world.rows(consent)].count(Action.WITHDRAWN) == 2
    sent = len(world.mails(ALICE))
    world.days(20)
    assert len(world.mails(ALICE)) == sent


def test_choosing_another_course_ends_the_first_and_repeats_nothing(world: World) -> None:
    world.join(ALICE, "freeze")
    world.work()
    here = delivery_of(world, world.mails(ALICE)[-1])
    assert course.choose(world.tools, here, "fight", world.clock())
    world.days(3)
    assert course.choose(world.tools, here, "freeze", world.clock())
    world.days(20)
    fight, freeze = subjects(world, "fight"), subjects(world, "freeze")
    assert world.lessons(ALICE) == [freeze[0], *fight[:3], *freeze[1:]]
    assert [row.state for row in world.rows(enrollment)] == ["ended", "ended", "finished"]


def test_choosing_the_running_course_changes_nothing(world: World) -> None:
    world.join(ALICE, "freeze")
    world.work()
    course.choose(world.tools, delivery_of(world, world.mails(ALICE)[-1]), "freeze", world.clock())
    assert [row.turn for row in world.rows(enrollment)] == [1]


@pytest.mark.parametrize("pattern", ["", "none", "Freeze", "unknown"])
def test_a_course_that_does_not_exist_cannot_be_chosen(world: World, pattern: str) -> None:
    world.join(ALICE, "freeze")
    world.work()
    assert course.choose(world.tools, delivery_of(world, world.mails(ALICE)[-1]), pattern, world.clock()) is None


def test_somebody_who_left_cannot_change_courses_by_an_old_link(world: World) -> None:
    world.join(ALICE, "freeze")
    world.work()
    here = delivery_of(world, world.mails(ALICE)[-1])
    leaving.unsubscribe(world.tools, here, world.clock())
    assert course.choose(world.tools, here, "fight", world.clock()) is None


def test_a_read_link_shows_its_lesson_without_the_name(world: World) -> None:
    world.join(ALICE, "freeze", name="Alicia")
    world.work()
    mail = world.mails(ALICE)[-1]
    shown = links.subject_of(world.tools.keyring.link_keys, Use.READ, world.token(mail, "browser"))
    assert shown is not None
    page = reading.lesson_page(world.tools, shown)
    assert page is not None
    assert page.subject == mail.subject
    assert "Alicia" in mail.text
    assert not any("Alicia" in block.html for block in page.blocks)


def test_links_open_only_what_they_are_for(world: World) -> None:
    world.join(ALICE)
    world.work()
    token = world.token(world.mails(ALICE)[-1], "browser")
    keys = list(world.tools.keyring.link_keys)
    assert [links.subject_of(keys, use, token) is not None for use in (Use.READ, Use.UNSUBSCRIBE, Use.CHOOSE)] == [
        True,
        False,
        False,
    ]


def test_a_lesson_leaves_with_the_first_tick_after_confirmation(world: World) -> None:
    world.join(ALICE)
    assert [row.due_ms for row in world.rows(due)] == [world.clock()]
    assert datetime.fromtimestamp(world.clock() / 1000, UTC)
    started = world.start_all()
    assert [len(each.rows) for each in started] == [1]
    world.settle(started[0], world.provider.hand_over(started[0].mailing))
    assert len(world.lessons(ALICE)) == 1
