"""What a reviewer broke once, and must not break again: races, crashes at odd moments, strangers, lost keys."""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from funnel.core.consent import Action, Standing
from funnel.core.delivery import ACCEPTED, Fate, Report, State, Unknowns
from funnel.flow import course, leaving, plan, signup, start, sweep
from funnel.flow.people import Request
from funnel.flow.start import Started
from funnel.keyring import Keyring
from funnel.store import subscribers
from funnel.store.db import writing
from funnel.store.tables import batch, consent, delivery, due, enrollment, notice, subscriber, subscriber_key
from tests.flow.test_course import subjects
from tests.world import ALICE, BOB, World


def test_leaving_while_a_batch_starts_waits_for_it_and_nothing_is_sent_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if world.tools.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time: there is no such race")
    world.join(ALICE)
    plan.plan(world.tools, world.clock())
    here = world.rows(delivery)[0].id
    leaver: list[Future[bool]] = []
    read = start._readers
    with ThreadPoolExecutor(1) as pool:

        def racing(*arguments: Any) -> Any:
            found = read(*arguments)
            leaver.append(pool.submit(leaving.unsubscribe, world.tools, here, world.clock()))
            return found

        monkeypatch.setattr(start, "_readers", racing)
        started = start.start(world.tools, [2], "worker", world.clock())[0]
        assert leaver[0].result(10)
    monkeypatch.undo()
    assert isinstance(started, Started)
    handed = [recipient.message_id for recipient in started.mailing.recipients]
    world.settle(started, Report(ACCEPTED))
    leaving.undo_unsubscribe(world.tools, here, world.clock())
    for each in world.start_all():
        handed += [recipient.message_id for recipient in each.mailing.recipients]
    assert len(handed) == len(set(handed)) == 1


def test_a_batch_that_was_started_once_is_never_unplanned(world: World) -> None:
    world.join(ALICE)
    world.provider.hand_over(world.start_all()[0].mailing)  # … and the worker is gone
    world.clock.forward(seconds=16)
    sweep.sweep(world.tools, world.clock())
    world.clock.forward(seconds=601)
    sweep.sweep(world.tools, world.clock())
    world.work()
    assert len(world.lessons(ALICE)) == 1


def test_an_acceptance_counts_however_late_it_comes(world: World) -> None:
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.EVIDENCE)
    world.join(ALICE)
    started = world.start_all()[0]
    world.clock.forward(seconds=16)
    sweep.sweep(world.tools, world.clock())
    assert [row.state for row in world.rows(batch)][-1] == State.UNKNOWN
    assert world.settle(started, Report(ACCEPTED))
    assert [row.state for row in world.rows(batch)][-1] == State.ACCEPTED
    assert len(world.rows(due)) == 1


def test_a_reader_who_cannot_be_read_is_paused_and_not_forgotten(world: World) -> None:
    world.join(ALICE)
    right = world.tools
    world.tools = dataclasses.replace(right, keyring=Keyring({1: bytes([9]) * 32}))
    world.work()
    world.tools = right
    assert [(row.state, row.reason) for row in world.rows(delivery)] == [("skipped", "unreadable")]
    assert [row.state for row in world.rows(enrollment)] == ["paused"]


def test_a_failed_lesson_was_not_received_and_comes_after_a_new_sign_up(world: World) -> None:
    world.join(ALICE)
    started = world.start_all()[0]
    world.settle(started, Report(ACCEPTED, {0: Fate(State.FAILED, "refused")}))
    world.clock.forward(hours=2)
    world.join(ALICE)
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")


def test_confirming_does_not_lift_a_complaint(world: World) -> None:
    world.sign_up(ALICE)
    world.work()
    token = world.token(world.mails(ALICE)[-1], "onfirm")
    with writing(world.tools.engine) as connection:
        person = subscribers.by_id(connection, 1)
        assert person is not None
        subscribers.suppress(connection, person.address_hash, "complaint", world.clock())
        subscribers.set_state(connection, person.id, Standing.SUPPRESSED, world.clock())
    assert signup.confirm(world.tools, token, world.clock()).state == signup.Link.DONE
    world.days(3)
    assert world.lessons(ALICE) == []


@pytest.mark.parametrize("planned", [True, False])
def test_a_corrected_address_gets_no_mail_even_if_one_was_planned(world: World, planned: bool) -> None:
    mistyped = world.sign_up(ALICE)
    if planned:
        plan.plan(world.tools, world.clock())
    asked = Request("", "freeze", None, "Europe/Berlin", "en")
    signup.sign_up(world.tools, world.revision_id(), BOB, asked, world.clock(), corrects=mistyped)
    world.work()
    assert [mail.to for mail in world.mails()] == [BOB]


def test_after_withdrawing_not_even_a_requested_confirm_mail_leaves(world: World) -> None:
    world.join(ALICE)
    world.work()
    here = world.rows(delivery)[0].id
    world.sign_up(ALICE, "fight")
    leaving.withdraw(world.tools, here, world.clock())
    there = len(world.mails())
    world.days(2)
    assert len(world.mails()) == there
    assert world.rows(notice)[-1].reason == "sign-up not open"


def test_a_strangers_sign_up_never_enters_a_readers_consents(world: World) -> None:
    world.join(ALICE)
    world.work()
    own = world.rows(consent)[0].signup_id
    here = world.rows(delivery)[0].id
    world.sign_up(ALICE, "fight")  # somebody else types her address
    leaving.unsubscribe(world.tools, here, world.clock())
    leaving.undo_unsubscribe(world.tools, here, world.clock())
    assert {row.signup_id for row in world.rows(consent) if row.action != Action.GIVEN} == {own}


def test_the_links_of_old_mails_stop_the_notes_after_withdrawing_and_coming_back(world: World) -> None:
    world.join(ALICE)
    world.work()
    old = world.rows(delivery)[0].id
    leaving.withdraw(world.tools, old, world.clock())
    assert not leaving.undo_unsubscribe(world.tools, old, world.clock())
    world.clock.forward(days=1)
    world.join(ALICE)
    world.work()
    there = len(world.lessons(ALICE))
    assert leaving.unsubscribe(world.tools, old, world.clock())
    world.days(10)
    assert len(world.lessons(ALICE)) == there


def test_somebody_whose_key_was_erased_begins_anew(world: World) -> None:
    world.join(ALICE, name="Alice")
    with writing(world.tools.engine) as connection:
        connection.execute(subscriber_key.delete())
        subscribers.set_state(connection, 1, Standing.ERASED, world.clock())
    world.join(ALICE)
    assert [row.state for row in world.rows(subscriber)] == [Standing.ACTIVE]


def test_a_link_confirmed_after_an_erasure_does_nothing(world: World) -> None:
    world.sign_up(ALICE)
    world.work()
    token = world.token(world.mails(ALICE)[-1], "onfirm")
    with writing(world.tools.engine) as connection:
        connection.execute(subscriber_key.delete())
    assert signup.confirm(world.tools, token, world.clock()).state == signup.Link.DONE
    assert world.rows(enrollment) == []


def test_changing_courses_while_a_refusal_is_settled_leaves_the_new_course_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if world.tools.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time: there is no such race")
    world.join(ALICE)
    started = world.start_all()[0]
    standing = course.standing

    def racing(*arguments: Any) -> Any:
        found = standing(*arguments)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(course.choose, world.tools, started.rows[0].id, "fight", world.clock()).result(10)
        return found

    monkeypatch.setattr("funnel.flow.settle.standing", racing)
    report = Report(ACCEPTED, {0: Fate(State.FAILED, "refused (550)")})
    assert world.settle(started, report)
    assert [(row.pattern, row.state) for row in world.rows(enrollment)] == [("freeze", "ended"), ("fight", "active")]
