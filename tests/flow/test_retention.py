"""Retention: what is too old goes, what is needed stays, and a dry run tells the same numbers."""

from collections.abc import Mapping

import pytest
from sqlalchemy import text

from funnel.core.consent import Action, Standing
from funnel.core.event import Event, Why
from funnel.core.retention import RULES, parse_retention, periods_ms
from funnel.flow import erasing, events, leaving, retention, rights, signup
from funnel.mail.erasing import EraseFault
from funnel.store import events as event_store
from funnel.store import retention as store
from funnel.store.db import reading, writing
from funnel.store.tables import (
    consent,
    delivery,
    due,
    enrollment,
    erasure,
    event,
    ledger,
    metadata,
    notice,
    request,
    subscriber,
    subscriber_key,
    suppression,
    tombstone,
)
from funnel.store.tables import signup as sign_ups
from tests.world import ALICE, BOB, CHARLIE, World

PERIODS = periods_ms({})


class Refusing:
    def forget(self, address: str, messages: object) -> None:
        raise EraseFault("answer 403", temporary=False)


def cleared(world: World, periods: Mapping[str, int] = PERIODS) -> dict[str, int]:
    """What a run deletes, by rule; a dry run just before it tells that much, or more where two rules meet."""
    told = retention.counts(world.tools, periods, world.clock())
    done = retention.clear(world.tools, periods, world.clock())
    assert {name for name in told if told[name]} >= {name for name in done if done[name]}
    assert all(told[name] >= done[name] for name in RULES)
    assert retention.clear(world.tools, periods, world.clock()) == dict.fromkeys(RULES, 0)
    return {name: count for name, count in done.items() if count}


def test_every_rule_has_its_duty() -> None:
    assert list(retention.DUTIES) == list(RULES)


def test_nothing_is_deleted_on_a_young_service(world: World) -> None:
    world.join(ALICE)
    world.sign_up(BOB)
    world.days(3)
    before = {table.name: world.rows(table) for table in metadata.sorted_tables}
    assert cleared(world) == {}
    assert {table.name: world.rows(table) for table in metadata.sorted_tables} == before


def test_whoever_never_confirms_is_gone_after_a_week_without_a_suppression(world: World) -> None:
    world.sign_up(ALICE)
    world.work()
    world.clock.forward(days=6, hours=23)
    assert cleared(world) == {}
    world.clock.forward(hours=2)
    assert cleared(world) == {"pending": 1}
    assert [world.rows(table) for table in (subscriber, subscriber_key, sign_ups, consent, notice)] == [[]] * 5
    assert world.rows(suppression) == []
    assert [row.kind for row in world.rows(tombstone)] == [erasing.By.UNCONFIRMED]
    world.join(ALICE)
    assert world.rows(subscriber)[0].state == Standing.ACTIVE


def test_who_asked_again_meanwhile_has_another_week(world: World) -> None:
    world.sign_up(ALICE)
    world.clock.forward(days=6)
    world.sign_up(ALICE, "flight")
    world.work()
    world.clock.forward(days=2)
    assert cleared(world) == {"pending": 1}
    link = world.token(world.mails(ALICE)[-1], "onfirm")
    assert signup.look_at(world.tools, link, world.clock()).state == signup.Link.OPEN
    assert signup.confirm(world.tools, link, world.clock()).state == signup.Link.DONE


def test_a_reader_who_did_not_confirm_another_choice_keeps_what_was_confirmed(world: World) -> None:
    world.join(ALICE)
    world.sign_up(ALICE, "flight")
    world.work()
    world.clock.forward(days=8)
    assert cleared(world)["pending"] == 1
    assert {row.action for row in world.rows(consent)} == {Action.GIVEN, Action.CONFIRMED}
    assert len(world.rows(consent)) == 4
    assert [row.state for row in world.rows(sign_ups)] == ["confirmed"]


def test_the_result_goes_ninety_days_after_a_course_has_ended(world: World) -> None:
    world.join(ALICE, "freeze", "fawn")
    world.join(BOB, "freeze")
    world.days(3)
    [stop, *_] = [row.id for row in world.rows(delivery)]
    leaving.unsubscribe(world.tools, stop, world.clock())
    world.days(89)
    assert "pattern" not in cleared(world)
    world.clock.forward(days=2)
    assert cleared(world)["pattern"] == 1
    mine, theirs = world.rows(enrollment)
    assert (mine.pattern, mine.secondary, theirs.pattern) == ("", None, "freeze")
    assert {row.subscriber_id for row in world.rows(ledger)} == {theirs.subscriber_id}
    assert {row.lesson_id for row in world.rows(delivery) if row.enrollment_id == mine.id} == {None}
    assert leaving.unsubscribe(world.tools, stop, world.clock()), "old links still stop the notes"


def test_a_course_that_runs_keeps_what_was_received_in_an_earlier_one(world: World) -> None:
    world.join(ALICE, "freeze")
    world.days(2)
    world.sign_up(ALICE, "flight")
    world.work()
    signup.confirm(world.tools, world.token(world.mails(ALICE)[-1], "newest choice"), world.clock())
    world.days(4)
    with writing(world.tools.engine) as connection:
        connection.execute(text("UPDATE enrollment SET state = 'paused' WHERE pattern = 'flight'"))
    had = len(world.rows(ledger))
    world.clock.forward(days=100)
    assert cleared(world)["pattern"] == 1
    assert [row.pattern for row in world.rows(enrollment)] == ["", "flight"]
    assert len(world.rows(ledger)) == had


def test_a_finished_course_of_long_ago_is_never_opened_again(world: World) -> None:
    world.join(ALICE)
    world.days(130)
    assert cleared(world)["pattern"] == 1
    assert [row.state for row in world.rows(enrollment)] == ["ended"]
    assert world.rows(due) == []


def test_events_go_after_thirty_days_and_young_ones_stay(world: World) -> None:
    world.join(ALICE)
    world.work()
    for days in (0, 20):
        world.clock.forward(days=days)
        with writing(world.tools.engine) as connection:
            told = Event("", 1, 0, "delivered", Why.NONE, world.clock())
            event_store.add(connection, [(world.rows(delivery)[0].batch_id, told)], world.clock())
        events.apply(world.tools, world.clock())
    world.clock.forward(days=11)
    assert cleared(world)["events"] == 1
    assert len(world.rows(event)) == 1


def test_expired_links_requests_and_service_mails_go(world: World) -> None:
    world.join(ALICE)
    rights.ask_by_address(world.tools, ALICE, world.clock())
    world.work()
    world.clock.forward(days=6)
    assert cleared(world) == {}
    world.clock.forward(days=2)
    assert cleared(world)["tokens"] == 1
    assert [bool(row.token_hash) for row in world.rows(notice)] == [True, False]
    world.clock.forward(days=23)
    rights.ask_by_address(world.tools, BOB, world.clock() - PERIODS["mails"] - 1)
    assert cleared(world)["mails"] == 3
    assert world.rows(notice) == world.rows(request) == []


def test_an_address_that_the_provider_will_not_forget_is_let_go_after_thirty_days(world: World) -> None:
    world.join(ALICE)
    erasing.erase(world.tools, ALICE, world.clock())
    for _ in range(3):
        erasing.go_on(world.tools, Refusing(), world.clock.forward(days=10))
        assert cleared(world) == {}
        assert len(world.rows(erasure)) == 1
    world.clock.forward(days=1)
    assert cleared(world) == {"erasures": 1}
    assert world.rows(erasure) == []
    assert [row.kind for row in world.rows(tombstone)] == [erasing.By.OPERATOR, erasing.By.UNTOLD]


def test_more_than_fits_into_one_part_is_deleted_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "PEOPLE_AT_ONCE", 1)
    for address in (ALICE, BOB, CHARLIE):
        world.sign_up(address)
    world.work()
    world.clock.forward(days=40)
    assert cleared(world) == {"pending": 3}
    assert world.rows(subscriber) == []


def test_a_shorter_period_is_a_setting(world: World) -> None:
    world.join(ALICE)
    leaving.unsubscribe(world.tools, _first(world), world.clock())
    world.clock.forward(days=15)
    assert cleared(world, periods_ms(parse_retention("pattern=14d")))["pattern"] == 1


def _first(world: World) -> int:
    world.work()
    return int(world.rows(delivery)[0].id)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (store.old_sign_ups(1), "ix_signup_unconfirmed"),
        (store.old_strangers(1), "ix_subscriber_pending"),
        (store.old_courses(1), "ix_enrollment_over"),
        (store.old_tokens(1), "ix_notice_expires_ms"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
@pytest.mark.parametrize("published", ["sqlite"], indirect=True)
def test_what_is_old_is_found_by_its_own_index(world: World, query: object, index: str) -> None:
    with reading(world.tools.engine) as connection:
        told = str(query.compile(connection, compile_kwargs={"literal_binds": True}))  # type: ignore[attr-defined]
        steps = [str(row) for row in connection.execute(text("EXPLAIN QUERY PLAN " + told))]
    assert any(index in step for step in steps), steps
