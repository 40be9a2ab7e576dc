"""Test mails: what a reader would get, marked, through the real provider, and outside the ledger."""

import re
from pathlib import Path

import pytest

from funnel.core.delivery import Fate, Report, State
from funnel.flow import specimen
from funnel.flow.send_test import MARK, keys_of, send_test
from funnel.flow.tools import Tools
from funnel.mail.outbox import Outbox
from funnel.mail.provider import Mailing, Provider
from funnel.mail.sendgrid import SendGrid
from funnel.mail.smtp import Smtp
from funnel.store.tables import metadata
from tests.conftest import BASE_URL, NOON_MS, Clock
from tests.fakes.sendgrid import FakeSendGrid
from tests.fakes.smtp import SmtpSink
from tests.robot import mails
from tests.world import ALICE, World

NOWHERE = f"{BASE_URL}/t"
TRAITS = {"pace": "as-written", "secondary": "fawn"}


@pytest.fixture
def world(tools: Tools, tmp_path: Path) -> World:
    return World(tools, Clock(), tmp_path)


def send(world: World, provider: Provider, *keys: str) -> list[tuple[str, bool]]:
    sent = send_test(world.tools, provider, world.funnel(), world.revision_id(), ALICE, keys, TRAITS, NOON_MS)
    return [(one.key, one.taken) for one in sent]


def test_all_lessons_of_a_pattern_arrive_marked_and_nothing_is_recorded(world: World) -> None:
    keys = keys_of(world.funnel(), "freeze", None)
    before = rows(world)
    assert send(world, world.provider, *keys) == [(key, True) for key in keys]
    arrived = world.mails(ALICE)
    assert sorted(mail.subject for mail in arrived) == [
        f"{MARK}{lesson.source.subject}" for lesson in world.funnel().patterns["freeze"].lessons
    ]
    for mail in arrived:
        assert mail.message["X-Funnel-Test"] == "yes"
        assert mail.message["List-Unsubscribe"] == f"<{NOWHERE}>"
    assert rows(world) == before


def rows(world: World) -> dict[str, int]:
    return {table.name: len(world.rows(table)) for table in metadata.sorted_tables}


def test_what_arrives_is_what_a_reader_gets_but_for_the_mark_and_the_links(world: World) -> None:
    world.join(ALICE, "freeze", "fawn", name=specimen.FIRST_NAME)
    world.work()
    real = world.mails(ALICE)[-1]
    [lesson, *_] = world.funnel().patterns["freeze"].lessons
    other = World(world.tools, world.clock, world.folder / "test")
    send(other, Outbox(other.folder, 1), lesson.key)
    [test] = other.mails(ALICE)
    own = re.compile(rf"{re.escape(BASE_URL)}/[ruo]/[\w-]+")
    assert test.subject == MARK + real.subject
    assert test.text == own.sub(NOWHERE, real.text)
    assert test.html == own.sub(NOWHERE, real.html)


def test_no_link_of_a_test_is_anybodys(world: World) -> None:
    send(world, world.provider, *keys_of(world.funnel(), "freeze", None))
    for mail in world.mails(ALICE):
        ours = [target for target in re.findall(r'href="([^"]+)"', mail.html) if target.startswith(BASE_URL)]
        assert set(ours) <= {NOWHERE, *(f"{BASE_URL}/house/{page}" for page in ("support", "privacy", "data", "start"))}


def test_a_real_smtp_server_takes_it(world: World) -> None:
    with SmtpSink() as sink:
        provider = Smtp(f"smtp://127.0.0.1:{sink.port}", connections=1)
        assert send(world, provider, "freeze-meet", "freeze-sign") == [("freeze-meet", True), ("freeze-sign", True)]
        provider.close()
        assert len(sink.messages) == 2
        assert all(b"Subject: [Test] Note" in taken.raw for taken in sink.messages)


def test_sendgrid_takes_it(world: World) -> None:
    with FakeSendGrid("SG.test") as fake:
        provider = SendGrid("SG.test", fake.url, 200)
        assert send(world, provider, "freeze-meet") == [("freeze-meet", True)]
        provider.close()
        assert len(fake.requests) == 1


def test_the_first_refusal_ends_it(world: World) -> None:
    class Refusing(Outbox):
        def hand_over(self, mailing: Mailing) -> Report:
            return Report(Fate(State.FAILED, "no"))

    assert send(world, Refusing(world.folder, 1), "freeze-meet", "freeze-sign") == [("freeze-meet", False)]
    assert mails(world.folder) == []


@pytest.mark.parametrize(
    ("pattern", "key", "said"),
    [
        ("freezer", None, "There is no pattern of that name; there are fight, flight, freeze, fawn."),
        ("freeze", "fight-meet", "That pattern has no such lesson; it has freeze-meet, freeze-sign"),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(world: World, pattern: str, key: str | None, said: str) -> None:
    with pytest.raises(LookupError, match=re.escape(said)):
        keys_of(world.funnel(), pattern, key)
