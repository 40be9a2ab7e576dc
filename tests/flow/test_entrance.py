"""Which confirm mails are not sent, in silence: the reason stands with the notice, and nobody outside can tell."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

import pytest

from funnel import settings
from funnel.core.limits import USUAL_LIMITS
from funnel.core.pace import Rate
from funnel.core.schedule import HOUR_MS
from funnel.doors import Doors
from funnel.exchanges import Exchanges as DnsExchanges
from funnel.flow import correcting, signup
from funnel.flow.entrance import NO_MAIL, TOO_MANY, AnyDomain
from funnel.flow.people import Request
from funnel.keyring import Keyring
from funnel.runtime import assemble
from funnel.store.tables import consent, notice, subscriber
from funnel.store.tables import signup as signup_table
from tests.conftest import make_tools
from tests.flow.test_rights import NEW, mailed
from tests.world import ALICE, BOB, World

MOST = 6


class Told:
    """Knows of one domain that takes no mail."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def look_up(self, domains: Collection[str]) -> None:
        self.asked |= set(domains)

    def refuses(self, domain: str) -> bool:
        return domain in self.asked and domain == "nowhere.example"

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def guarded(world: World) -> World:
    limits = dataclasses.replace(USUAL_LIMITS, domain=Rate(MOST, HOUR_MS))
    doors = Doors(None, world.tools.keyring.tag_key, limits)
    world.tools = dataclasses.replace(world.tools, may_mail=doors.may_mail, exchanges=Told())
    return world


def reasons(world: World) -> list[str | None]:
    world.work()
    return [row.reason for row in world.rows(notice)]


def test_a_small_domain_gets_few_confirm_mails_an_hour_and_the_rest_is_skipped_for_a_reason(guarded: World) -> None:
    for each in range(MOST + 3):
        guarded.sign_up(f"reader{each}@small.example")
    guarded.sign_up("reader@other.example")
    found = reasons(guarded)
    assert found.count(TOO_MANY) == 3
    assert found[-1] is None
    assert len(guarded.mails()) == MOST + 1


def test_who_may_not_be_mailed_anyway_takes_nothing_from_their_domain(guarded: World) -> None:
    for _ in range(MOST * 2):
        guarded.sign_up("same@small.example")
    assert TOO_MANY not in reasons(guarded)
    guarded.sign_up("other@small.example")
    assert reasons(guarded)[-1] is None


def test_a_domain_that_takes_no_mail_gets_none(guarded: World) -> None:
    guarded.sign_up("alice@nowhere.example")
    guarded.sign_up(BOB)
    assert reasons(guarded) == [NO_MAIL, None]
    assert [mail.to for mail in guarded.mails()] == [BOB]


def test_a_new_address_at_a_domain_that_takes_no_mail_gets_none_whatever_the_readers_own(guarded: World) -> None:
    guarded.join(ALICE)
    guarded.work()
    token = mailed(guarded)
    for address in ("alice@nowhere.example", NEW):
        correcting.ask_for_address(guarded.tools, token, address, guarded.clock())
        guarded.work()
    assert [row.reason for row in guarded.rows(notice) if row.address_hash] == [NO_MAIL, None]
    assert guarded.mails(NEW)


def test_the_form_writes_one_row_and_the_worker_the_rest(world: World) -> None:
    asked = Request("Alice", "freeze", None, "Europe/Berlin", "en")
    signup.sign_up(world.tools, world.revision_id(), ALICE, asked, world.clock())
    assert [(row.state, row.subscriber_id) for row in world.rows(signup_table)] == [("asked", 0)]
    assert world.rows(subscriber) + world.rows(consent) + world.rows(notice) == []
    held = bytes(world.rows(signup_table)[0].sealed)
    assert not [word for word in (b"alice", b"freeze", b"Berlin") if word in held]
    world.work()
    assert [row.state for row in world.rows(signup_table)] == ["pending"]
    assert [row.at_ms for row in world.rows(consent)] == [world.clock()] * 2


def test_what_nobody_can_read_any_more_is_closed_and_holds_nobody_up(world: World) -> None:
    lost = make_tools(world.tools.engine, Keyring({1: b"x" * 32}))
    asked = Request("", "freeze", None, "", "en")
    signup.sign_up(lost, world.revision_id(), ALICE, asked, world.clock())
    world.sign_up(BOB)
    world.work()
    rows = world.rows(signup_table)
    assert [(row.state, row.sealed is None) for row in rows] == [("replaced", True), ("pending", False)]
    assert [mail.to for mail in world.mails()] == [BOB]


def test_a_service_whose_mail_leaves_the_machine_asks_the_dns_and_limits_domains(tmp_path: Path) -> None:
    for mail, asks in (("outbox", AnyDomain), ("smtp://user:secret@mail.example.org", DnsExchanges)):
        runtime = assemble(settings.load({"FUNNEL_HOME": str(tmp_path / mail[:4]), "FUNNEL_MAIL": mail}))
        assert type(runtime.tools.exchanges) is asks
        assert runtime.tools.may_mail == runtime.doors.may_mail
        runtime.close()
