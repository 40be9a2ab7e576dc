"""Rights by a freshly mailed link: who gets one, how long it opens, and what it does."""

import json
from collections.abc import Callable

import pytest

from funnel.core.consent import NOTICE_LIMITS, Action, Enrolled, Purpose, Standing, Suppressed
from funnel.core.notice import HOUR_MS
from funnel.flow import correcting, erasing, leaving, pausing, rights, signup, takeout
from funnel.flow.correcting import Swap, Wishes
from funnel.flow.rights import Door
from funnel.store import subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record, consent, delivery, due, enrollment, metadata, notice, request, subscriber
from tests.conftest import BASE_URL
from tests.world import ALICE, BOB, CHARLIE, World

NEW = "alice.new@example.org"
NOBODYS = "A" * 21 + "g"


def mailed(world: World, address: str = ALICE) -> str:
    """Alice asks by her address; the token of the mail that comes."""
    rights.ask_by_address(world.tools, address, world.clock())
    world.work()
    return world.token(world.mails(address)[-1], "my page")


def reader(world: World, address: str = ALICE) -> Record:
    with reading(world.tools.engine) as connection:
        found = subscribers.by_hash(connection, world.tools.keyring.address_hashes(address))
    assert found is not None
    return found


def data(world: World, token: str) -> takeout.Data:
    found = takeout.of_holder(world.tools, token, world.clock())
    assert found is not None
    return found


def service_mails(world: World, address: str) -> list[str]:
    return [mail.subject for mail in world.mails(address) if "asked for" in mail.subject]


@pytest.fixture
def joined(world: World) -> World:
    world.join(ALICE, "freeze", "fawn", "Alicia")
    world.work()
    return world


def test_a_link_is_mailed_to_the_readers_own_address_and_only_its_hash_is_stored(joined: World) -> None:
    token = mailed(joined)
    [row] = [row for row in joined.rows(notice) if row.kind == "rights"]
    assert row.expires_ms == joined.clock() + HOUR_MS
    assert rights.look_at(joined.tools, token, joined.clock()).state == Door.OPEN
    with reading(joined.tools.engine) as connection:
        for table in metadata.sorted_tables:
            assert not [each for each in connection.execute(table.select()) if token in map(str, each)]


def test_the_reader_of_a_lesson_may_ask_and_whoever_has_the_lesson_gets_nothing(joined: World) -> None:
    [sent] = joined.rows(delivery)
    assert rights.ask_by_delivery(joined.tools, sent.id, joined.clock())
    assert rights.ask_by_delivery(joined.tools, sent.id + 1, joined.clock()) is None
    joined.work()
    assert len(service_mails(joined, ALICE)) == 1
    page = joined.token(joined.mails(ALICE)[-2], "Stop")
    assert rights.look_at(joined.tools, page, joined.clock()).state == Door.UNKNOWN


def test_nobody_without_data_is_mailed_and_nothing_is_kept_of_who_asked(world: World) -> None:
    rights.ask_by_address(world.tools, BOB, world.clock())
    assert len(world.rows(request)) == 1
    world.work()
    assert world.mails() == []
    assert world.rows(request) == []
    assert world.rows(subscriber) == []


def test_whoever_never_confirmed_may_see_and_erase_too(world: World) -> None:
    world.sign_up(ALICE, name="Alicia")
    token = mailed(world)
    assert data(world, token)["sign_ups"][0]["asked_for"]["first_name"] == "Alicia"
    assert rights.erase(world.tools, token, world.clock())
    assert world.rows(subscriber) == []


def test_links_are_mailed_only_so_often_however_often_they_are_asked_for(joined: World) -> None:
    for _ in range(20):
        rights.ask_by_address(joined.tools, ALICE, joined.clock())
        joined.work()
    assert len(service_mails(joined, ALICE)) == NOTICE_LIMITS[HOUR_MS]
    joined.sign_up(ALICE, "flight")
    joined.work()
    assert "already" in joined.mails(ALICE)[-1].subject, "asking for links uses up no confirm mails"


@pytest.mark.parametrize("reason", [Suppressed.COMPLAINT, Suppressed.BOUNCED, Suppressed.NOT_ME])
def test_who_must_not_be_mailed_gets_no_link(joined: World, reason: Suppressed) -> None:
    with writing(joined.tools.engine) as connection:
        leaving.suppress(connection, reader(joined), reason, joined.clock(), joined.clock())
    rights.ask_by_address(joined.tools, ALICE, joined.clock())
    joined.work()
    assert service_mails(joined, ALICE) == []


def test_who_has_stopped_the_notes_still_gets_a_link(joined: World) -> None:
    leaving.unsubscribe(joined.tools, joined.rows(delivery)[0].id, joined.clock())
    assert data(joined, mailed(joined))["person"]["standing"] == Standing.UNSUBSCRIBED


Act = Callable[[World, str], object]
ACTS: dict[str, Act] = {
    "see": lambda world, token: takeout.of_holder(world.tools, token, world.clock()),
    "correct": lambda world, token: correcting.correct(world.tools, token, Wishes("X", None, None, {}), world.clock()),
    "address": lambda world, token: correcting.ask_for_address(world.tools, token, NEW, world.clock()),
    "pause": lambda world, token: rights.pause(world.tools, token, world.rows(enrollment)[0].id, world.clock()),
    "resume": lambda world, token: rights.resume(world.tools, token, world.rows(enrollment)[0].id, world.clock()),
    "stop": lambda world, token: rights.withdraw(world.tools, token, Purpose.COURSE, world.clock()),
    "withdraw": lambda world, token: rights.withdraw(world.tools, token, Purpose.SENSITIVE, world.clock()),
    "erase": lambda world, token: rights.erase(world.tools, token, world.clock()),
    "close": lambda world, token: rights.close(world.tools, token, world.clock()),
}


def dump(world: World) -> dict[str, list[Record]]:
    return {table.name: world.rows(table) for table in metadata.sorted_tables}


def test_no_wrong_token_does_anything(joined: World) -> None:
    """Expired, closed, forged, cut, of another purpose, of a lesson: each opens nothing, and changes nothing."""
    closed = mailed(joined)
    rights.close(joined.tools, closed, joined.clock())
    [first, *_] = joined.mails(ALICE)
    confirm, read = joined.token(first, "onfirm"), joined.token(joined.mails(ALICE)[1], "Read in")
    expired = mailed(joined)
    correcting.ask_for_address(joined.tools, expired, NEW, joined.clock())
    joined.work()
    other = joined.token(joined.mails(NEW)[-1], "this address")
    joined.clock.forward(hours=1)
    before = dump(joined)
    for token in (expired, closed, NOBODYS, expired[:-1], "", "é" * 22, confirm, read, other):
        for name, act in ACTS.items():
            assert not act(joined, token), (name, token)
    assert dump(joined) == before


def test_an_expired_link_offers_a_new_one_to_the_same_person(joined: World) -> None:
    token = mailed(joined)
    joined.clock.forward(hours=2)
    assert rights.look_at(joined.tools, token, joined.clock()).state == Door.EXPIRED
    assert rights.ask_anew(joined.tools, token, joined.clock())
    joined.work()
    fresh = joined.token(joined.mails(ALICE)[-1], "my page")
    assert fresh != token
    assert rights.look_at(joined.tools, fresh, joined.clock()).state == Door.OPEN
    assert not rights.ask_anew(joined.tools, NOBODYS, joined.clock())


def test_everything_that_is_kept_is_in_the_takeout_and_nothing_of_others(joined: World) -> None:
    joined.join(BOB, "fight", name="Robert")
    joined.days(2)
    found = data(joined, mailed(joined))
    assert found["format"] == takeout.FORMAT
    assert found["person"]["address"] == ALICE
    assert found["person"]["first_name"] == "Alicia"
    assert found["person"]["time_zone"] == "Europe/Berlin"
    wordings = joined.funnel().wordings
    assert {(each["purpose"], each["action"]) for each in found["consents"]} == {
        (purpose, action) for purpose in Purpose for action in (Action.GIVEN, Action.CONFIRMED)
    }
    assert {each["wording"] for each in found["consents"]} == set(wordings.values())
    [course] = found["courses"]
    assert (course["pattern"], course["second_pattern"]) == ("freeze", "fawn")
    assert course["next_note"]
    assert [each["subject"] for each in found["notes"]] == joined.lessons(ALICE)
    assert all(each["handed_over"] and each["state"] == "accepted" for each in found["notes"])
    assert [each["kind"] for each in found["service_mails"]] == ["confirm", "rights"]
    assert found["suppression"] is None
    written = json.dumps(found)
    assert "obert" not in written
    assert BOB not in written
    assert BASE_URL not in written


def test_a_pause_keeps_the_place_and_going_on_sends_each_lesson_once(joined: World) -> None:
    joined.days(1)
    token = mailed(joined)
    had = joined.lessons(ALICE)
    course = joined.rows(enrollment)[0].id
    assert rights.pause(joined.tools, token, course, joined.clock())
    assert not rights.pause(joined.tools, token, course, joined.clock())
    joined.days(20)
    assert joined.lessons(ALICE) == had
    token = mailed(joined)
    assert rights.resume(joined.tools, token, course, joined.clock())
    assert not rights.resume(joined.tools, token, course, joined.clock())
    [row] = joined.rows(enrollment)
    assert [each.turn for each in joined.rows(due)].count(row.turn) == 1
    joined.days(40)
    expected = [lesson.source.subject for lesson in joined.funnel().patterns["freeze"].lessons]
    assert len(joined.lessons(ALICE)) == len(set(joined.lessons(ALICE))) == len(expected)
    assert joined.rows(enrollment)[0].state == Enrolled.FINISHED


def test_a_pause_while_a_lesson_is_on_its_way_leaves_one_place(world: World) -> None:
    world.join(ALICE)
    [flight] = world.start_all()
    token = mailed_beside(world)
    course = world.rows(enrollment)[0].id
    rights.pause(world.tools, token, course, world.clock())
    world.settle(flight, world.provider.hand_over(flight.mailing))
    assert world.rows(due) == []
    assert world.rows(enrollment)[0].reason == pausing.PAUSED_BY_READER
    rights.resume(world.tools, token, course, world.clock())
    assert len(world.rows(due)) == 1
    world.days(40)
    assert len(world.lessons(ALICE)) == len(set(world.lessons(ALICE)))
    assert world.rows(enrollment)[0].state == Enrolled.FINISHED


def mailed_beside(world: World) -> str:
    """As `mailed`, without touching what is under way."""
    rights.ask_by_address(world.tools, ALICE, world.clock())
    for each in world.start_all():
        world.settle(each, world.provider.hand_over(each.mailing))
    return world.token(world.mails(ALICE)[-1], "my page")


def test_nobody_pauses_or_goes_on_with_a_course_of_somebody_else(joined: World) -> None:
    joined.join(BOB)
    theirs = next(row.id for row in joined.rows(enrollment) if row.subscriber_id == reader(joined, BOB).id)
    assert not rights.pause(joined.tools, mailed(joined), theirs, joined.clock())


def test_a_course_that_stopped_for_another_reason_is_not_gone_on_with(joined: World) -> None:
    with writing(joined.tools.engine) as connection:
        connection.execute(enrollment.update().values(state=Enrolled.PAUSED, reason="550"))
    assert not rights.resume(joined.tools, mailed(joined), joined.rows(enrollment)[0].id, joined.clock())


def test_each_consent_is_withdrawn_for_itself(joined: World) -> None:
    token = mailed(joined)
    assert rights.withdraw(joined.tools, token, Purpose.COURSE, joined.clock())
    assert [(row.purpose, row.action) for row in joined.rows(consent)][-1] == (Purpose.COURSE, Action.WITHDRAWN)
    assert data(joined, token)["courses"][0]["pattern"] == "freeze"
    assert rights.withdraw(joined.tools, token, Purpose.SENSITIVE, joined.clock())
    found = data(joined, token)
    assert found["courses"][0]["pattern"] is None
    assert [each["note"] for each in found["notes"]] == [None]
    joined.days(3)
    assert len(joined.lessons(ALICE)) == 1


def test_what_is_corrected_counts_for_the_next_lesson(joined: World) -> None:
    token = mailed(joined)
    course = joined.rows(enrollment)[0]
    before = joined.rows(due)[0].due_ms
    wishes = Wishes("Alix", "Pacific/Auckland", "de", {course.id: "daily", 999: "slower"})
    assert correcting.correct(joined.tools, token, wishes, joined.clock())
    found = data(joined, token)
    person, [changed] = found["person"], found["courses"]
    assert (person["first_name"], person["time_zone"], changed["pace"]) == ("Alix", "Pacific/Auckland", "daily")
    [row] = [row for row in joined.rows(due) if row.turn == joined.rows(enrollment)[0].turn]
    assert row.due_ms != before
    joined.days(2)
    assert "Alix" in joined.mails(ALICE)[-1].text


@pytest.mark.parametrize("wishes", [Wishes("Alicia", "Mars/Olympus", None, {}), Wishes("Alicia", None, None, {})])
def test_what_is_not_changed_stays(joined: World, wishes: Wishes) -> None:
    token, before = mailed(joined), joined.rows(due)
    assert correcting.correct(joined.tools, token, wishes, joined.clock())
    assert joined.rows(due) == before
    assert data(joined, token)["person"]["time_zone"] == "Europe/Berlin"


def test_a_new_address_counts_once_its_button_was_pressed_and_once_only(joined: World) -> None:
    token = mailed(joined)
    assert correcting.ask_for_address(joined.tools, token, NEW, joined.clock())
    joined.work()
    link = joined.token(joined.mails(NEW)[-1], "this address")
    assert correcting.look_at(joined.tools, link, joined.clock()).state == Swap.OPEN
    joined.days(1)
    assert joined.lessons(NEW) == []
    assert correcting.look_at(joined.tools, link, joined.clock()).state == Swap.EXPIRED
    token = mailed(joined)
    correcting.ask_for_address(joined.tools, token, NEW, joined.clock())
    joined.work()
    link = joined.token(joined.mails(NEW)[-1], "this address")
    had = len(joined.lessons(ALICE))
    assert correcting.swap(joined.tools, link, joined.clock()).state == Swap.DONE
    assert correcting.swap(joined.tools, link, joined.clock()).state == Swap.EXPIRED
    assert rights.look_at(joined.tools, token, joined.clock()).state == Door.EXPIRED
    joined.days(40)
    assert len(joined.lessons(ALICE)) == had
    everything = [*joined.lessons(ALICE), *joined.lessons(NEW)]
    assert len(everything) == len(set(everything)) == len(joined.funnel().patterns["freeze"].lessons)
    assert data(joined, mailed(joined, NEW))["person"]["address"] == NEW


def test_a_newer_wish_for_an_address_takes_the_place_of_the_older(joined: World) -> None:
    token = mailed(joined)
    for address in (NEW, CHARLIE):
        correcting.ask_for_address(joined.tools, token, address, joined.clock())
        joined.work()
    link = joined.token(joined.mails(NEW)[-1], "this address")
    assert correcting.swap(joined.tools, link, joined.clock()).state == Swap.EXPIRED
    link = joined.token(joined.mails(CHARLIE)[-1], "this address")
    assert correcting.swap(joined.tools, link, joined.clock()).state == Swap.DONE


def test_nobody_takes_over_the_address_of_somebody_known(joined: World) -> None:
    joined.join(BOB)
    correcting.ask_for_address(joined.tools, mailed(joined), BOB, joined.clock())
    joined.work()
    link = joined.token(joined.mails(BOB)[-1], "this address")
    before = dump(joined)
    assert correcting.swap(joined.tools, link, joined.clock()).state == Swap.TAKEN
    assert dump(joined) == before


def test_an_address_that_complained_is_neither_asked_nor_taken(joined: World) -> None:
    token = mailed(joined)
    with writing(joined.tools.engine) as connection:
        hash_ = joined.tools.keyring.address_hashes(NEW)[0]
        subscribers.suppress(connection, hash_, Suppressed.COMPLAINT, joined.clock())
    correcting.ask_for_address(joined.tools, token, NEW, joined.clock())
    joined.work()
    assert joined.mails(NEW) == []


def test_an_erased_address_that_is_confirmed_anew_is_not_suppressed_any_more(joined: World) -> None:
    joined.join(NEW)
    erasing.erase(joined.tools, NEW, joined.clock())
    correcting.ask_for_address(joined.tools, mailed(joined), NEW, joined.clock())
    joined.work()
    link = joined.token(joined.mails(NEW)[-1], "this address")
    assert correcting.swap(joined.tools, link, joined.clock()).state == Swap.DONE
    joined.days(1)
    assert joined.lessons(NEW)


def test_what_was_only_asked_for_before_a_new_address_is_let_go(joined: World) -> None:
    correcting.ask_for_address(joined.tools, mailed(joined), NEW, joined.clock())
    joined.sign_up(ALICE, "flight")
    joined.work()
    stale = next(mail for mail in reversed(joined.mails(ALICE)) if "already" in mail.subject)
    link = joined.token(joined.mails(NEW)[-1], "this address")
    correcting.swap(joined.tools, link, joined.clock())
    found = signup.confirm(joined.tools, joined.token(stale, "newest choice"), joined.clock())
    assert found.state == signup.Link.REPLACED


def test_the_links_of_a_day_are_gone_from_the_table_after_an_erasure(joined: World) -> None:
    token = mailed(joined)
    assert rights.erase(joined.tools, token, joined.clock())
    assert rights.look_at(joined.tools, token, joined.clock()).state == Door.UNKNOWN
    assert joined.rows(notice) == []
