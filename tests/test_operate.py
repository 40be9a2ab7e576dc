"""The operator's commands, as typed: on real databases, with nothing private in what they print."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from funnel.cli import main
from funnel.core.consent import Suppressed
from funnel.core.delivery import Fate, Report, State
from funnel.flow.tools import Tools
from funnel.runtime import LAST_TICK, Runtime
from funnel.store import subscribers
from funnel.store.db import writing
from funnel.store.tables import batch, hold, poll, subscriber, suppression
from tests.conftest import NAME, ROOT, Clock
from tests.fakes.suppressions import FakeSuppressions, Fault
from tests.test_bucket import valkey_server
from tests.world import ALICE, BOB, CHARLIE, World

KEYS = "1:" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Terminal:
    """Somebody who types commands at the service whose world this is."""

    world: World
    env: dict[str, str | None]

    def type(self, line: str, answer: str = "", **env: str) -> Result:
        found = CliRunner(env={**self.env, **env}).invoke(main, line.split(), input=answer)
        assert not found.exception or isinstance(found.exception, SystemExit), found.exception
        return found


@pytest.fixture
def terminal(tools: Tools, published: Engine, tmp_path: Path) -> Terminal:
    url = published.url.render_as_string(hide_password=False)
    env: dict[str, str | None] = {"FUNNEL_HOME": str(tmp_path), "FUNNEL_CONTENT": str(ROOT), "FUNNEL_KEYS": KEYS}
    env |= {"DATABASE_URL": url, "FUNNEL_MAIL": "outbox", "REDIS_URL": "", "COLUMNS": "200"}
    return Terminal(World(tools, Clock(Runtime.now_ms()), tmp_path / "outbox"), env)


def in_doubt(world: World, *addresses: str) -> str:
    """These people's first lessons, handed over, and nobody knows how far they came. The batch's name."""
    world.join_all(*addresses)
    [started] = world.start_all()
    assert world.settle(started, Report(Fate(State.UNKNOWN, "no answer")))
    return str(started.batch.uid)


def states(world: World) -> list[str]:
    return [row.state for row in world.rows(batch) if row.kind == "lesson"]


def test_the_doctor_finds_a_whole_service_well(terminal: Terminal) -> None:
    terminal.world.join(ALICE)
    terminal.world.work()
    with valkey_server() as url, redis.Redis.from_url(url) as client:
        client.set(LAST_TICK, Runtime.now_ms())
        found = terminal.type("doctor", REDIS_URL=url)
    assert found.exit_code == 0, found.output
    assert {line.split()[0] for line in found.output.splitlines()} == {"ok"}


def test_the_doctor_says_what_is_bad_and_what_to_do(terminal: Terminal) -> None:
    found = terminal.type("doctor")
    assert found.exit_code == 1
    assert "set REDIS_URL" in found.output
    told = json.loads(terminal.type("doctor --json").output)
    assert told["ok"] is False
    assert [each["what"] for each in told["findings"] if each["level"] == "bad"] == ["redis"]
    assert set(told["findings"][0]) == {"level", "what", "says", "do"}


def test_the_doctor_finds_the_valkey_of_a_service_that_runs_here(terminal: Terminal, tmp_path: Path) -> None:
    with valkey_server() as url:
        (tmp_path / "valkey").mkdir()
        (tmp_path / "valkey" / "valkey.sock").symlink_to(url.removeprefix("unix://"))
        findings = json.loads(terminal.type("doctor --json").output)["findings"]
    assert {each["what"]: each["level"] for each in findings}["redis"] == "ok"


@pytest.mark.parametrize("keys", ["1:" + base64.b64encode(bytes(32)).decode(), "1:c2hvcnQ=", "nonsense"])
def test_the_doctor_sees_that_the_keyring_is_the_wrong_one(terminal: Terminal, keys: str) -> None:
    terminal.world.join(ALICE)
    findings = json.loads(terminal.type("doctor --json", FUNNEL_KEYS=keys).output)["findings"]
    assert [each["level"] for each in findings if each["what"] == "keyring"] == ["bad"]
    assert keys.partition(":")[2] not in json.dumps(findings) or keys == "nonsense"


def test_the_doctor_tells_what_is_unknown_and_held(terminal: Terminal) -> None:
    uid = in_doubt(terminal.world, ALICE, BOB)
    terminal.type("pause")
    told = terminal.type("doctor").output
    assert f"{uid}: 2 recipients" in told
    assert "all sending: paused by hand" in told
    assert [word for word in (ALICE, BOB, "freeze") if word in told] == []


def test_unknown_batches_are_listed_and_counted_as_sent(terminal: Terminal) -> None:
    world = terminal.world
    assert terminal.type("unknown").output == "None.\n"
    uid = in_doubt(world, ALICE, BOB)
    listed = terminal.type("unknown").output
    assert uid in listed
    assert "2 recipients" in listed
    assert terminal.type(f"unknown sent {uid}").exit_code == 0
    assert states(world) == [State.ACCEPTED]
    world.days(3)
    assert world.lessons(ALICE)[0] == world.funnel().patterns["freeze"].lessons[1].source.subject


def test_an_unknown_batch_is_handed_over_again_only_once_confirmed(terminal: Terminal) -> None:
    world = terminal.world
    uid = in_doubt(world, ALICE)
    asked = terminal.type(f"unknown resend {uid}", answer="n\n")
    assert (asked.exit_code, states(world)) == (1, [State.UNKNOWN])
    assert "may get it once more" in asked.output
    assert terminal.type(f"unknown resend {uid}", answer="y\n").exit_code == 0
    assert states(world) == [State.PLANNED]
    world.clock.forward(seconds=60)
    world.work()
    assert len(world.lessons(ALICE)) == 1


@pytest.mark.parametrize("line", ["unknown sent {}", "unknown resend --yes {}"])
def test_what_is_not_unknown_is_left_alone(terminal: Terminal, line: str) -> None:
    uid = in_doubt(terminal.world, ALICE)
    assert terminal.type(f"unknown sent {uid}").exit_code == 0
    for name in (uid, "0" * 32):
        refused = terminal.type(line.format(name))
        assert (refused.exit_code, "No unknown batch has this name" in refused.output) == (1, True)
    assert states(terminal.world) == [State.ACCEPTED]


@pytest.mark.parametrize("name", ["", NAME])
def test_a_pause_stops_the_next_tick_and_a_resume_the_pause(terminal: Terminal, name: str) -> None:
    world = terminal.world
    world.join(ALICE)
    paused = terminal.type(f"pause {name} --reason lunch")
    assert paused.exit_code == 0, paused.output
    assert [row.reason for row in world.rows(hold)] == ["lunch"]
    world.work()
    assert world.lessons(ALICE) == []
    assert terminal.type(f"resume {name}").output == "Resumed.\n"
    world.work()
    assert len(world.lessons(ALICE)) == 1


def test_what_cannot_be_paused_or_resumed_is_told(terminal: Terminal) -> None:
    refused = terminal.type("pause no-such-funnel")
    assert (refused.exit_code, NAME in refused.output) == (1, True)
    assert terminal.type("pause provider:pigeons").exit_code == 1
    assert terminal.type("resume").exit_code == 1
    assert terminal.world.rows(hold) == []


def test_who_resumes_hears_what_is_held_still(terminal: Terminal) -> None:
    for line in ("pause", "pause provider:smtp"):
        assert terminal.type(line).exit_code == 0
    assert terminal.type("resume").output == "Resumed. Still held: provider:smtp.\n"
    assert terminal.type("resume provider:smtp").output == "Resumed.\n"


def test_suppressions_are_pulled_with_a_bar(terminal: Terminal) -> None:
    world = terminal.world
    world.join_all(ALICE, BOB)
    with FakeSuppressions() as fake:
        now_s = Runtime.now_ms() // 1000 - 1
        fake.lists["spam_reports"] = [(ALICE, now_s)]
        fake.lists["bounces"] = [(f"stranger{number}@example.org", now_s) for number in range(700)]
        sendgrid = {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "SG.test", "SENDGRID_API_URL": fake.url}
        found = terminal.type("suppressions pull", **sendgrid, FORCE_COLOR="1")  # as on a screen
    assert found.exit_code == 0, found.output
    assert "700/700" in found.output
    assert "bounces: 700 read" in found.output
    assert {row.state for row in world.rows(subscriber)} == {"suppressed", "active"}
    assert len(world.rows(suppression)) == 701
    assert "example.org" not in found.output


def test_a_pull_that_fails_says_how_to_go_on(terminal: Terminal) -> None:
    with FakeSuppressions() as fake:
        sendgrid = {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "SG.test", "SENDGRID_API_URL": fake.url}
        fake.script(Fault(503))
        later = terminal.type("suppressions pull", **sendgrid)
        assert (later.exit_code, "run this again to go on" in later.output) == (1, True), later.output
        refused = terminal.type("suppressions pull", **{**sendgrid, "SENDGRID_API_KEY": "SG.other"})
        assert (refused.exit_code, "needs a person" in refused.output) == (1, True), refused.output
        assert "canary" not in later.output + refused.output
    assert [row.finished_ms for row in terminal.world.rows(poll) if row.finished_ms] == []


def test_where_there_are_no_lists_nothing_is_pulled(terminal: Terminal) -> None:
    refused = terminal.type("suppressions pull")
    assert (refused.exit_code, "Only SendGrid" in refused.output) == (1, True)


def complain(world: World, address: str) -> None:
    with writing(world.tools.engine) as connection:
        for hash_ in world.tools.keyring.address_hashes(address):
            subscribers.suppress(connection, hash_, Suppressed.COMPLAINT, world.clock())


@pytest.mark.parametrize(("line", "answer"), [(f"suppressions lift {ALICE.upper()}", ""), ("suppressions lift", ALICE)])
def test_a_complaint_is_lifted_by_a_person_and_nothing_is_mailed(terminal: Terminal, line: str, answer: str) -> None:
    world = terminal.world
    complain(world, ALICE)
    world.sign_up(ALICE)
    world.work()
    assert world.mails() == []
    lifted = terminal.type(line, answer=f"{answer}\n")
    assert (lifted.exit_code, "Lifted: complaint, since" in lifted.output) == (0, True), lifted.output
    assert "alice" not in lifted.output.replace(f"Address: {answer}", "").lower()
    assert world.rows(suppression) == []
    world.work()
    assert world.mails() == []
    world.sign_up(ALICE)
    world.work()
    assert len(world.mails(ALICE)) == 1


def test_lifting_touches_nobody_else(terminal: Terminal) -> None:
    complain(terminal.world, BOB)
    refused = terminal.type(f"suppressions lift {CHARLIE}")
    assert (refused.exit_code, "charlie" in refused.output) == (1, False)
    assert len(terminal.world.rows(suppression)) == 1


@pytest.mark.parametrize("typed", ["alice", "alice@", "a@b@c", "<alice@example.org>"])
def test_what_is_no_address_is_refused_and_not_repeated(terminal: Terminal, typed: str) -> None:
    refused = terminal.type(f"suppressions lift {typed}")
    assert (refused.exit_code, refused.output) == (1, "Error: That is not an address.\n")


def test_a_database_without_tables_is_told_in_a_sentence(terminal: Terminal, tmp_path: Path) -> None:
    refused = terminal.type("unknown", DATABASE_URL=f"sqlite:///{tmp_path / 'empty.db'}")
    assert (refused.exit_code, "`funnel doctor` tells more" in refused.output) == (1, True)
