"""The commands that keep keys and proofs, as typed."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from funnel import keyfile
from funnel.core.consent import wording_hash
from funnel.flow.people import open_wrapped
from funnel.keyring import Keyring
from funnel.runtime import Runtime
from funnel.store import subscribers
from funnel.store.db import open_engine, reading, writing
from funnel.store.tables import subscriber_key, wording
from tests.conftest import ROOT, Clock, make_tools, with_content
from tests.databases import Databases
from tests.test_operate import KEYS, Terminal, terminal
from tests.world import ALICE, BOB, World

__all__ = ["terminal"]
SECOND = "2:" + base64.b64encode(b"2" * 32).decode()


@pytest.fixture
def embedded(databases: Databases, tmp_path: Path) -> Iterator[Terminal]:
    """A service on one machine, as `make run` makes it: SQLite and a keyring in a file. Alice has signed up."""
    Path(databases.fresh("sqlite", with_content).removeprefix("sqlite:///")).rename(tmp_path / "funnel.db")
    env: dict[str, str | None] = {"FUNNEL_HOME": str(tmp_path), "FUNNEL_CONTENT": str(ROOT), "COLUMNS": "200"}
    env |= {"DATABASE_URL": "", "FUNNEL_KEYS": "", "FUNNEL_MAIL": "outbox", "REDIS_URL": ""}
    engine = open_engine(f"sqlite:///{tmp_path / 'funnel.db'}")
    tools = make_tools(engine, keyfile.read_or_make(tmp_path / "keyring"))
    found = Terminal(World(tools, Clock(Runtime.now_ms()), tmp_path / "outbox"), env)
    found.world.sign_up(ALICE)
    yield found
    engine.dispose()


def wrapped(terminal: Terminal) -> list[int]:
    return [row.version for row in terminal.world.rows(subscriber_key)]


def said(terminal: Terminal, **env: str) -> dict[int, str]:
    return {each["number"]: each["says"] for each in json.loads(terminal.type("keys status --json", **env).output)}


def addresses(terminal: Terminal, keyring: Keyring) -> list[str]:
    with reading(terminal.world.tools.engine) as connection:
        return [open_wrapped(keyring, row).address for row in subscribers.sealed_by_id(connection, [1, 2])]


def test_a_hosted_service_changes_its_keys_step_by_step(terminal: Terminal) -> None:
    terminal.world.sign_up(ALICE)
    assert said(terminal) == {1: "in use"}
    refused = terminal.type("keys rotate")
    assert (refused.exit_code, "funnel keys new" in refused.output) == (1, True)
    entry = terminal.type("keys new").output.strip()
    both = f"{KEYS},{entry}"
    assert entry.startswith("2:")
    assert said(terminal, FUNNEL_KEYS=both) == {
        1: "in use; `funnel keys rotate` changes to version 2",
        2: "not in use yet: `funnel keys rotate`, once every process has it",
    }
    assert terminal.type("keys rotate", answer="n\n", FUNNEL_KEYS=both).exit_code == 1
    assert wrapped(terminal) == [1]
    done = terminal.type("keys rotate", answer="y\n", FUNNEL_KEYS=both)
    assert "Version 2 is in use; 1 keys were wrapped anew." in done.output
    assert "Version 1 opens nobody any more: `funnel keys retire 1`." in done.output
    assert wrapped(terminal) == [2]
    assert said(terminal, FUNNEL_KEYS=both)[1].startswith("opens nobody any more")
    left = terminal.type("keys retire 1", FUNNEL_KEYS=both).output.strip().splitlines()[-1]
    after = f"{left},{entry}"
    assert said(terminal, FUNNEL_KEYS=after)[1].startswith("retired: still finds")
    assert addresses(terminal, Keyring.parse(after)) == [ALICE]
    assert KEYS[2:] not in after


def test_an_embedded_service_changes_its_keys_at_one_word_while_it_runs(embedded: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    done = embedded.type("keys rotate")
    assert done.exit_code == 0, done.output
    assert f"Version 2 is in {path}" in done.output
    assert "Version 2 is in use; 1 keys were wrapped anew." in done.output
    embedded.world.sign_up(BOB)
    embedded.world.work()
    assert [len(embedded.world.mails(each)) for each in (ALICE, BOB)] == [1, 1]
    assert wrapped(embedded) == [2, 2]
    assert "Version 1 is retired" in embedded.type("keys retire 1").output
    assert addresses(embedded, keyfile.read(path)) == [ALICE, BOB]
    assert (path.stat().st_mode & 0o777, keyfile.read(path).whole) == (0o600, {2})
    assert embedded.type("doctor").output.count("all that is needed is here") == 1


def test_an_embedded_rotation_that_was_broken_off_adds_no_further_version(embedded: Terminal, tmp_path: Path) -> None:
    keyfile.add_version(tmp_path / "keyring")
    done = embedded.type("keys rotate")
    assert "Version 2 is in use; 1 keys were wrapped anew." in done.output
    assert keyfile.read(tmp_path / "keyring").whole == {1, 2}


def test_a_keyring_that_others_may_read_is_refused_by_every_command(embedded: Terminal, tmp_path: Path) -> None:
    (tmp_path / "keyring").chmod(0o644)
    for line in ("keys status", "keys rotate", "doctor"):
        refused = embedded.type(line)
        assert (refused.exit_code, "chmod 600" in refused.output.replace("\n", " ")) == (1, True)
    assert wrapped(embedded) == [1]


@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_version_that_is_needed_is_not_retired(terminal: Terminal, number: int) -> None:
    terminal.world.sign_up(ALICE)
    refused = terminal.type(f"keys retire {number}", FUNNEL_KEYS=f"{KEYS},{SECOND}")
    assert (refused.exit_code, "Error: " in refused.output) == (1, True)


def test_a_version_that_is_missing_is_told_and_rotates_nothing(terminal: Terminal) -> None:
    terminal.world.sign_up(ALICE)
    assert said(terminal, FUNNEL_KEYS=SECOND)[1].startswith("missing: nobody can read them")
    done = terminal.type("keys rotate --yes", FUNNEL_KEYS=SECOND)
    assert (done.exit_code, "1 keys cannot be opened" in done.output) == (1, True)
    assert wrapped(terminal) == [1]
    stale = terminal.type("keys rotate --yes")
    assert (stale.exit_code, "A newer version is in use" in stale.output) == (1, True)


def test_what_somebody_agreed_to_is_proven_in_full(terminal: Terminal) -> None:
    terminal.world.join(ALICE)
    told = terminal.type(f"consent {ALICE}")
    assert told.exit_code == 0, told.output
    for text in terminal.world.funnel().wordings.values():
        assert text in told.output.replace("  | ", "")
        assert f"wording sha256 {wording_hash(text)}, matches the text" in told.output
    lines = told.output.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["sensitive: stands", "", "course: stands"]
    assert sum(line.startswith(("  given 20", "  confirmed 20")) for line in lines) == 4
    assert [word for word in (ALICE, "freeze") if word in told.output] == []


def test_the_proof_as_json_is_whole(terminal: Terminal) -> None:
    terminal.world.sign_up(ALICE)
    told = json.loads(terminal.type("consent --json", answer=f"{ALICE}\n").stdout)
    assert {(each["purpose"], each["wording"]) for each in told} == {*terminal.world.funnel().wordings.items()}
    assert {(each["proven"], each["stands"], each["locale"]) for each in told} == {(True, False, "en")}
    assert [[step["action"] for step in each["steps"]] for each in told] == [["given"], ["given"]]
    assert {each["revision"] for each in told} == {terminal.world.revision_id()}


@pytest.mark.parametrize(("typed", "says"), [(BOB, "Nobody has this address"), ("bob", "That is not an address")])
def test_nobodys_consent_is_told_without_repeating_what_was_typed(terminal: Terminal, typed: str, says: str) -> None:
    terminal.world.join(ALICE)
    refused = terminal.type(f"consent {typed}")
    assert (refused.exit_code, says in refused.output, BOB in refused.output) == (1, True, False)


def test_a_wording_that_is_not_the_one_agreed_to_is_called_out(terminal: Terminal) -> None:
    terminal.world.join(ALICE)
    with writing(terminal.world.tools.engine) as connection:
        connection.execute(wording.delete())
        connection.execute(wording.insert().values(hash="0" * 64, text="You may."))
    told = terminal.type(f"consent {ALICE}")
    assert (told.exit_code, told.output.count("DOES NOT MATCH THE TEXT")) == (1, 2)
    assert "is not the one that was agreed to" in told.output


def test_the_table_of_versions_holds_no_key_and_nobody(terminal: Terminal) -> None:
    terminal.world.sign_up(ALICE)
    told = terminal.type("keys status").output
    assert told.split("\n")[1].split()[0] == "1"
    assert [word for word in (ALICE, KEYS[2:]) if word in told] == []
