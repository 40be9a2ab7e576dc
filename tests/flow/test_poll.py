"""The daily reading of the suppression lists, over real HTTP into real databases."""

from collections.abc import Iterator

import pytest

from funnel.core.consent import Standing
from funnel.flow import leaving
from funnel.flow.poll import Polled, poll
from funnel.keyring import Keyring
from funnel.mail.suppressions import List, Suppressions
from funnel.store import polls as store
from funnel.store import subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record, delivery, subscriber, suppression
from funnel.store.tables import poll as table
from tests.conftest import NOON_MS
from tests.fakes.suppressions import FakeSuppressions, Fault
from tests.flow.test_course import subjects
from tests.world import ALICE, BOB, CHARLIE, World

NOON_S = NOON_MS // 1000
STRANGER = "stranger@example.org"


@pytest.fixture
def fake() -> Iterator[FakeSuppressions]:
    with FakeSuppressions() as running:
        yield running


def pull(world: World, fake: FakeSuppressions, key: str = "SG.test") -> Polled:
    return poll(world.tools, Suppressions(key, fake.url), world.clock())


def reason_of(world: World, address: str) -> str | None:
    with reading(world.tools.engine) as connection:
        found = subscribers.suppression_of(connection, world.tools.keyring.address_hashes(address))
        return found.reason if found else None


@pytest.mark.parametrize(
    ("name", "standing", "reason", "strangers"),
    [
        ("bounces", "suppressed", "bounced", "bounced"),
        ("invalid_emails", "suppressed", "bounced", "bounced"),
        ("spam_reports", "suppressed", "complaint", "complaint"),
        ("unsubscribes", "unsubscribed", "unsubscribed", None),
        ("blocks", "active", None, None),
    ],
)
def test_what_being_on_a_list_does(
    world: World, fake: FakeSuppressions, name: str, standing: str, reason: str | None, strangers: str | None
) -> None:
    world.join_all(ALICE, BOB)
    world.work()
    fake.lists[name] = [(ALICE.upper(), NOON_S), (STRANGER, NOON_S)]
    assert pull(world, fake) == Polled({**dict.fromkeys(List, 0), List(name): 2}, {})
    assert [row.state for row in world.rows(subscriber)] == [standing, "active"]
    assert (reason_of(world, ALICE), reason_of(world, STRANGER)) == (reason, strangers)
    world.days(20)
    assert len(world.lessons(ALICE)) == (1 if reason else len(subjects(world, "freeze")))
    assert world.lessons(BOB) == subjects(world, "freeze")


def test_a_stranger_on_a_list_gets_no_confirm_mail_later(world: World, fake: FakeSuppressions) -> None:
    fake.lists["spam_reports"] = [(STRANGER, NOON_S)]
    pull(world, fake)
    world.sign_up(STRANGER)
    world.work()
    assert world.mails(STRANGER) == []


def test_an_address_known_under_an_older_key_is_found(world: World, fake: FakeSuppressions) -> None:
    world.join(ALICE)
    old = bytes(range(32))
    object.__setattr__(world.tools, "keyring", Keyring({1: old, 2: bytes(32)}))
    fake.lists["bounces"] = [(ALICE, NOON_S)]
    pull(world, fake)
    assert [row.state for row in world.rows(subscriber)] == [Standing.SUPPRESSED]
    assert [row.address_hash for row in world.rows(suppression)] == [world.rows(subscriber)[0].address_hash]


def test_several_pages_are_read_and_progress_is_shown(world: World, fake: FakeSuppressions) -> None:
    fake.lists["bounces"] = [(f"reader{number}@example.org", NOON_S - number) for number in range(1203)]
    shown: list[tuple[str, int]] = []
    lists = Suppressions("SG.test", fake.url)
    polled = poll(world.tools, lists, world.clock(), lambda name, done: shown.append((name, done)))
    assert polled.read["bounces"] == 1203
    assert shown == [("bounces", 500), ("bounces", 1000), ("bounces", 1203)]
    assert len(world.rows(suppression)) == 1203


def progress_of(world: World, name: str) -> Record:
    with reading(world.tools.engine) as connection:
        row = store.by_list(connection, name)
    assert row is not None
    return row


def test_a_temporary_fault_stops_and_the_next_call_goes_on_from_there(world: World, fake: FakeSuppressions) -> None:
    fake.lists["bounces"] = [(f"reader{number}@example.org", NOON_S - number) for number in range(1203)]
    fake.script(None, None, Fault(503))  # after the complaints and one page of bounces
    first = pull(world, fake)
    assert (first.read, list(first.faults)) == ({"spam_reports": 0, "bounces": 500}, ["bounces"])
    assert first.faults["bounces"].temporary
    assert progress_of(world, "bounces").offset == 500
    world.clock.forward(days=1)
    fake.lists["bounces"].insert(0, ("late@example.org", NOON_S + 3600))  # not of this pass, and shifts nothing
    second = pull(world, fake)
    assert (second.read["bounces"], second.faults) == (703, {})
    assert len(world.rows(suppression)) == 1203
    world.clock.forward(days=1)
    third = pull(world, fake)
    assert third.read["bounces"] >= 1
    assert reason_of(world, "late@example.org") == "bounced"


def test_the_next_pass_begins_where_the_last_one_began_with_some_overlap(world: World, fake: FakeSuppressions) -> None:
    pull(world, fake)
    world.clock.forward(days=1)
    pull(world, fake)
    asked = [each for each in fake.asked if each.list == "bounces"]
    assert [(each.start_s, each.end_s) for each in asked] == [(0, NOON_S), (NOON_S - 3600, NOON_S + 24 * 3600)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_may_not_is_said_so_for_every_list(world: World, fake: FakeSuppressions, status: int) -> None:
    fake.script(*[Fault(status)] * len(List))
    polled = pull(world, fake)
    assert {name: (str(fault), fault.temporary) for name, fault in polled.faults.items()} == dict.fromkeys(
        List, (f"answer {status}", False)
    )
    assert pull(world, fake).faults == {}


def test_a_wrong_key_reads_nothing(world: World, fake: FakeSuppressions) -> None:
    polled = pull(world, fake, "SG.wrong")
    assert set(polled.faults) == set(List)
    assert sum(polled.read.values()) == 0


def test_reading_an_old_entry_again_neither_renews_it_nor_undoes_a_newer_confirmation(
    world: World, fake: FakeSuppressions
) -> None:
    world.join(ALICE)
    world.work()
    fake.lists["unsubscribes"] = [(ALICE, NOON_S - 60)]
    fake.lists["bounces"] = [(STRANGER, NOON_S - 60)]
    leaving.unsubscribe(world.tools, world.rows(delivery)[0].id, world.clock())
    world.clock.forward(hours=2)
    world.join(ALICE)
    with writing(world.tools.engine) as connection:
        connection.execute(table.delete())
    pull(world, fake)
    assert world.rows(subscriber)[0].state == Standing.ACTIVE
    assert [row.at_ms for row in world.rows(suppression)] == [(NOON_S - 60) * 1000]


def test_two_that_read_at_once_do_not_skip_a_page(world: World, fake: FakeSuppressions) -> None:
    fake.lists["bounces"] = [(f"reader{number}@example.org", NOON_S - number) for number in range(1203)]
    lists = Suppressions("SG.test", fake.url)
    seen: list[int] = []

    def interrupted(name: str, done: int) -> None:
        if not seen:  # somebody else reads all of it meanwhile
            seen.append(done)
            seen.append(poll(world.tools, lists, world.clock()).read["bounces"])

    polled = poll(world.tools, lists, world.clock(), interrupted)
    assert seen == [500, 703]
    assert polled.faults == {}
    assert len(world.rows(suppression)) == 1203


def test_nothing_of_an_answer_is_kept_but_hashes(world: World, fake: FakeSuppressions) -> None:
    fake.lists["bounces"] = [(STRANGER, NOON_S), (CHARLIE, NOON_S)]
    pull(world, fake)
    kept = repr([world.rows(each) for each in (suppression, table, subscriber)])
    assert "example.org" not in kept
    assert "is not here" not in kept
