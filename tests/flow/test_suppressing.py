"""Who is not mailed any more because of what the provider told, and how that ends."""

import pytest

from funnel.core.consent import Action, Standing
from funnel.flow import leaving, signup
from funnel.store.tables import batch, consent, delivery, notice, subscriber, suppression
from tests.fakes.webhook import event as told
from tests.flow.test_course import subjects
from tests.flow.test_events import hear, lesson_batch, mailed
from tests.world import ALICE, World

__all__ = ["mailed"]  # a fixture


@pytest.fixture
def asked(world: World) -> World:
    """Alice has signed up; her confirm mail is on its way."""
    world.sign_up(ALICE)
    world.work()
    return world


def confirm(world: World) -> str:
    """Presses the button in the newest confirm mail; where its reader stands then."""
    signup.confirm(world.tools, world.token(world.mails(ALICE)[-1], "onfirm"), world.clock())
    return str(world.rows(subscriber)[0].state)


def test_a_confirm_mail_that_bounces_suppresses_too(asked: World) -> None:
    hear(asked, told(asked.rows(batch)[0].uid, 0, "bounce", asked.clock()))
    assert [row.state for row in asked.rows(notice)] == ["bounced"]
    assert confirm(asked) == Standing.SUPPRESSED
    asked.sign_up(ALICE)
    asked.work()
    assert len(asked.mails(ALICE)) == 1


def test_a_bounce_rests_thirty_days_and_then_confirming_lifts_it(asked: World) -> None:
    hear(asked, told(asked.rows(batch)[0].uid, 0, "bounce", asked.clock()))
    asked.clock.forward(days=30)
    asked.sign_up(ALICE)
    asked.work()
    assert len(asked.mails(ALICE)) == 2
    assert asked.rows(subscriber)[0].state == Standing.SUPPRESSED
    assert confirm(asked) == Standing.ACTIVE
    assert asked.rows(suppression) == []
    asked.work()
    assert len(asked.lessons(ALICE)) == 1


def test_another_bounce_begins_the_thirty_days_anew(asked: World) -> None:
    hear(asked, told(asked.rows(batch)[0].uid, 0, "bounce", asked.clock()))
    asked.clock.forward(days=30)
    asked.sign_up(ALICE)
    asked.work()
    hear(asked, told(asked.rows(batch)[1].uid, 0, "bounce", asked.clock()))
    asked.clock.forward(days=29)
    asked.sign_up(ALICE)
    asked.work()
    assert len(asked.mails(ALICE)) == 2


@pytest.mark.parametrize("days", [0, 30, 1000])
def test_a_complaint_is_lifted_by_nobody_but_an_operator(asked: World, days: int) -> None:
    hear(asked, told(asked.rows(batch)[0].uid, 0, "spamreport", asked.clock()))
    assert confirm(asked) == Standing.SUPPRESSED
    asked.clock.forward(days=days)
    asked.sign_up(ALICE)
    asked.work()
    assert len(asked.mails(ALICE)) == 1


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("unsubscribe", "bounce", "bounced"),
        ("unsubscribe", "spamreport", "complaint"),
        ("bounce", "spamreport", "complaint"),
        ("bounce", "unsubscribe", "bounced"),
        ("spamreport", "unsubscribe", "complaint"),
        ("spamreport", "bounce", "complaint"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_stronger_reason_replaces_a_weaker_one(
    mailed: World, first: str, second: str, left: str, at_once: bool
) -> None:
    uid = lesson_batch(mailed).uid
    one, two = told(uid, 0, first, mailed.clock()), told(uid, 0, second, mailed.clock())
    if at_once:
        hear(mailed, one, two)
    else:
        hear(mailed, one)
        hear(mailed, two)
    assert [row.reason for row in mailed.rows(suppression)] == [left]
    assert mailed.rows(subscriber)[0].state == Standing.SUPPRESSED


def test_leaving_by_the_provider_counts_as_withdrawing_and_can_be_taken_back(mailed: World) -> None:
    here = mailed.rows(delivery)[0].id
    hear(mailed, told(lesson_batch(mailed).uid, 0, "unsubscribe", mailed.clock()))
    last = mailed.rows(consent)[-1]
    assert (last.subscriber_id, last.purpose, last.action) == (1, "course", Action.WITHDRAWN)
    assert leaving.undo_unsubscribe(mailed.tools, here, mailed.clock())
    assert mailed.rows(suppression) == []
    mailed.days(20)
    assert mailed.lessons(ALICE) == subjects(mailed, "freeze")


def test_a_late_word_of_leaving_does_not_undo_a_newer_confirmation(mailed: World) -> None:
    uid, then = lesson_batch(mailed).uid, mailed.clock()
    leaving.unsubscribe(mailed.tools, mailed.rows(delivery)[0].id, mailed.clock())
    mailed.clock.forward(hours=3)
    mailed.join(ALICE)
    hear(mailed, told(uid, 0, "unsubscribe", then), told(uid, 0, "bounce", then))
    assert mailed.rows(subscriber)[0].state == Standing.ACTIVE
    assert mailed.rows(suppression) == []
    hear(mailed, told(uid, 0, "spamreport", then))
    assert mailed.rows(subscriber)[0].state == Standing.SUPPRESSED
