"""From a form to a confirmed reader."""

import dataclasses

import pytest

from funnel.core.consent import NOTICE_LIMITS, Action, Standing, wording_hash
from funnel.flow import leaving, signup
from funnel.flow.people import Request, open_person
from funnel.flow.signup import Link
from funnel.store import subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import consent, enrollment, notice, subscriber, wording
from funnel.store.tables import signup as signup_table
from tests.world import ALICE, BOB, World


def test_nothing_is_sent_before_confirmation_but_one_confirm_mail(world: World) -> None:
    world.sign_up(ALICE)
    world.days(3)
    assert [mail.path.name for mail in world.mails()] == ["notice-00000001.eml"]


def test_the_confirm_mail_reveals_nothing(world: World) -> None:
    world.sign_up(ALICE, "freeze", "fawn", "Alice")
    world.work()
    said = world.mails()[0].message.as_string().lower()
    for word in ("freeze", "fawn", "quiet room", "host", "quiz", "sex", "close", "pattern", "survival", "alice,"):
        assert word not in said


def test_confirming_enrolls_and_the_first_lesson_leaves_at_once_at_any_hour(world: World) -> None:
    world.clock.forward(hours=14.5)  # half past three at night in Berlin
    world.join(ALICE, "freeze", name="Alice")
    world.work()
    assert world.lessons(ALICE) == [world.funnel().patterns["freeze"].lessons[0].source.subject]
    assert "Alice" in world.mails(ALICE)[-1].text


def test_looking_at_a_confirm_link_changes_nothing(world: World) -> None:
    world.sign_up(ALICE)
    world.work()
    token = world.token(world.mails()[0], "onfirm")
    for _ in range(3):
        assert signup.look_at(world.tools, token, world.clock()).state == Link.OPEN
    assert world.rows(enrollment) == []


def test_a_confirm_link_works_once(world: World) -> None:
    world.join(ALICE)
    token = world.token(world.mails(ALICE)[0], "onfirm")
    world.work()
    assert signup.confirm(world.tools, token, world.clock()).state == Link.DONE
    world.work()
    assert len(world.rows(enrollment)) == 1
    assert len(world.lessons(ALICE)) == 1


def test_a_confirm_link_expires_after_72_hours_and_offers_a_new_mail(world: World) -> None:
    world.sign_up(ALICE)
    world.work()
    token = world.token(world.mails()[0], "onfirm")
    world.clock.forward(hours=72)
    late = signup.confirm(world.tools, token, world.clock())
    assert (late.state, world.rows(enrollment)) == (Link.EXPIRED, [])
    assert late.signup_id is not None
    signup.ask_again(world.tools, late.signup_id, world.clock())
    world.work()
    fresh = world.token(world.mails()[1], "onfirm")
    assert fresh != token
    assert signup.confirm(world.tools, fresh, world.clock()).state == Link.DONE


@pytest.mark.parametrize("token", ["", "x", "AAAAAAAAAAAAAAAAAAAAAA", "ä" * 22, "A" * 5000, "../../etc"])
def test_a_link_that_is_not_ours_is_unknown(world: World, token: str) -> None:
    assert signup.confirm(world.tools, token, world.clock()).state == Link.UNKNOWN


def test_only_the_hash_of_a_confirm_token_is_stored(world: World) -> None:
    world.sign_up(ALICE)
    world.work()
    token = world.token(world.mails()[0], "onfirm")
    stored = [value for row in world.rows(notice) for value in row]
    assert token not in stored
    assert len(world.rows(notice)[0].token_hash) == 32


def test_both_consents_are_kept_with_their_exact_wording_and_confirmed(world: World) -> None:
    world.join(ALICE)
    texts = world.funnel().wordings
    rows = world.rows(consent)
    assert {(row.purpose, row.action) for row in rows} == {
        (purpose, action) for purpose in texts for action in (Action.GIVEN, Action.CONFIRMED)
    }
    assert all(row.wording_hash == wording_hash(texts[row.purpose]) for row in rows)
    assert {row.text for row in world.rows(wording)} >= set(texts.values())


def test_address_name_and_result_are_unreadable_in_the_database(world: World) -> None:
    world.sign_up(ALICE, "freeze", "fawn", "Alicia")
    found = [bytes(value) for table in (subscriber, signup_table) for row in world.rows(table) for value in row
             if isinstance(value, (bytes, memoryview))]  # fmt: skip
    assert found
    for secret in (b"alice", b"example.org", b"Alicia", b"freeze", b"fawn"):
        assert not any(secret in value for value in found)


def test_a_request_is_forgotten_once_confirmed(world: World) -> None:
    world.join(ALICE)
    assert [(row.state, row.sealed) for row in world.rows(signup_table)] == [("confirmed", None)]


def test_the_address_is_found_again_whatever_its_case(world: World) -> None:
    world.sign_up("Alice@Example.org")
    world.sign_up(ALICE)
    assert len(world.rows(subscriber)) == 1


def test_a_known_readers_name_changes_only_when_confirmed(world: World) -> None:
    world.join(ALICE, name="Alice")
    world.work()
    world.sign_up(ALICE, "fight", name="Mallory")
    assert _name(world) == "Alice"
    world.work()
    signup.confirm(world.tools, world.token(world.mails(ALICE)[-1], "newest"), world.clock())
    assert _name(world) == "Mallory"


def _name(world: World) -> str:
    with reading(world.tools.engine) as connection:
        row = subscribers.sealed_by_id(connection, [1])[0]
    key = world.tools.keyring.unwrap(row.version, row.wrapped, row.address_hash)
    return open_person(key, row.address_hash, row.sealed).first_name


def test_a_reader_who_signs_up_again_is_told_so_and_may_switch(world: World) -> None:
    world.join(ALICE, "freeze")
    world.work()
    world.sign_up(ALICE, "fight")
    world.work()
    again = world.mails(ALICE)[-1]
    assert "already" in again.subject
    signup.confirm(world.tools, world.token(again, "newest"), world.clock())
    world.work()
    patterns = world.funnel().patterns
    assert world.lessons(ALICE) == [patterns[key].lessons[0].source.subject for key in ("freeze", "fight")]
    assert [(row.pattern, row.state) for row in world.rows(enrollment)] == [("freeze", "ended"), ("fight", "active")]


def test_confirm_mails_are_limited_in_silence(world: World) -> None:
    first = world.sign_up(ALICE)
    for _ in range(NOTICE_LIMITS[3_600_000] + 3):
        signup.ask_again(world.tools, first, world.clock())
        world.work()
    assert len(world.mails(ALICE)) == NOTICE_LIMITS[3_600_000]
    assert {row.reason for row in world.rows(notice) if row.state == "skipped"} == {"too many"}
    world.clock.forward(hours=1.1)
    signup.ask_again(world.tools, first, world.clock())
    world.work()
    assert len(world.mails(ALICE)) == NOTICE_LIMITS[3_600_000] + 1


def test_a_confirm_mail_that_could_only_come_days_late_does_not_come(world: World) -> None:
    world.sign_up(ALICE)
    world.clock.forward(hours=73)
    world.work()
    assert [row.reason for row in world.rows(notice)] == ["asked too long ago"]
    world.sign_up(ALICE)
    world.work()
    assert len(world.mails(ALICE)) == 1


def test_a_mail_that_was_asked_for_long_ago_counts_when_it_leaves(world: World) -> None:
    world.sign_up(ALICE)
    world.clock.forward(hours=9)  # nobody works meanwhile
    for _ in range(9):
        world.sign_up(ALICE)
        world.work()
    assert len(world.mails(ALICE)) == 4


def test_a_corrected_address_withdraws_the_mistyped_one(world: World) -> None:
    mistyped = world.sign_up("alcie@example.org")
    corrected = dataclasses.replace(_request(world), first_name="Alice")
    signup.sign_up(world.tools, world.revision_id(), ALICE, corrected, world.clock(), corrects=mistyped)
    world.work()
    assert [mail.to for mail in world.mails()] == [ALICE]
    assert {row.state for row in world.rows(signup_table)} == {"replaced", "pending"}


def _request(world: World) -> Request:
    return Request("", "freeze", None, "Europe/Berlin", "en")


def test_a_complaint_is_never_mailed_again(world: World) -> None:
    world.join(BOB)
    with writing(world.tools.engine) as connection:
        row = subscribers.by_id(connection, 1)
        assert row is not None
        subscribers.set_state(connection, row.id, Standing.SUPPRESSED, world.clock())
        subscribers.suppress(connection, row.address_hash, "complaint", world.clock())
    world.sign_up(BOB)
    world.days(2)
    assert len(world.mails(BOB)) == 1
    assert {row.reason for row in world.rows(notice) if row.state == "skipped"} == {"suppressed"}


def test_somebody_who_left_may_come_back_and_goes_on_where_they_were(world: World) -> None:
    world.join(ALICE)
    world.work()
    leave = world.mails(ALICE)[-1]
    delivery_id = _subject(world, leave.link("Stop"))
    leaving.unsubscribe(world.tools, delivery_id, world.clock())
    world.join(ALICE)
    world.days(2)
    lessons = world.funnel().patterns["freeze"].lessons
    assert world.lessons(ALICE) == [lesson.source.subject for lesson in lessons[:2]]


def _subject(world: World, link: str) -> int:
    from funnel.core import links

    found = links.subject_of(world.tools.keyring.link_keys, links.Use.UNSUBSCRIBE, link.rpartition("/")[2])
    assert found is not None
    return found
