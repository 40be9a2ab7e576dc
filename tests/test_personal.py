"""The operator's commands about one person, as typed: they say nothing that they were not asked for."""

import json
import stat
from pathlib import Path

import pytest

from funnel.flow import leaving
from funnel.flow.takeout import FORMAT
from funnel.store.tables import delivery, enrollment, erasure, subscriber, tombstone
from tests.test_operate import Terminal, terminal
from tests.world import ALICE, BOB

__all__ = ["terminal"]  # a fixture


def test_an_export_is_everything_as_json_and_as_a_page(terminal: Terminal, tmp_path: Path) -> None:
    terminal.world.join(ALICE, "freeze", name="Alicia")
    found = json.loads(terminal.type(f"export {ALICE}").output)
    assert (found["format"], found["person"]["address"]) == (FORMAT, ALICE)
    page = terminal.type(f"export {ALICE.upper()} --html").output
    assert page.strip().endswith("</html>")
    assert "Alicia" in page
    out = tmp_path / "alice.json"
    assert terminal.type(f"export {ALICE} --out {out}").output == ""
    assert json.loads(out.read_text())["person"] == found["person"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "already" in terminal.type(f"export {ALICE} --out {out}").output


@pytest.mark.parametrize("command", ["export", "erase --yes"])
@pytest.mark.parametrize(("address", "says"), [(BOB, "Nothing is kept"), ("nonsense", "not an address")])
def test_what_cannot_be_done_is_refused_without_repeating_it(
    terminal: Terminal, command: str, address: str, says: str
) -> None:
    found = terminal.type(f"{command} {address}")
    assert found.exit_code == 1
    assert says in found.output
    assert address not in found.output


def test_an_erasure_is_asked_for_before_it_is_done(terminal: Terminal) -> None:
    terminal.world.join(ALICE)
    assert terminal.type("erase", answer=f"{ALICE}\nn\n").exit_code == 1
    assert len(terminal.world.rows(subscriber)) == 1
    found = terminal.type("erase", answer=f"{ALICE}\ny\n")
    assert found.exit_code == 0
    assert "Erased here" in found.output
    assert terminal.world.rows(subscriber) == []
    assert len(terminal.world.rows(erasure)) == len(terminal.world.rows(tombstone)) == 1


def test_an_erasure_by_command_prints_nothing_private(terminal: Terminal) -> None:
    terminal.world.join(ALICE, name="Alicia")
    found = terminal.type(f"erase {ALICE} --yes")
    assert found.exit_code == 0
    for private in (ALICE, "alice", "Alicia", "freeze"):
        assert private not in found.output


def test_retention_counts_by_rule_and_deletes_only_without_a_dry_run(terminal: Terminal) -> None:
    world = terminal.world
    world.clock.now_ms -= 100 * 86_400_000
    world.join(ALICE)
    world.work()
    leaving.unsubscribe(world.tools, world.rows(delivery)[0].id, world.clock())
    told = terminal.type("retention --dry-run").output
    assert {line.split()[0]: line.split()[1:4] for line in told.splitlines()}["pattern"] == ["90", "days", "1"]
    assert "Nothing was deleted." in told
    assert world.rows(enrollment)[0].pattern == "freeze"
    done = terminal.type("retention").output
    assert done == told.replace("Nothing was deleted.\n", "")
    assert world.rows(enrollment)[0].pattern == ""
    kept = terminal.type("retention --dry-run", FUNNEL_RETENTION="events=14d").output
    assert {line.split()[0]: line.split()[1] for line in kept.splitlines()}["events"] == "14"
    assert "must read like" in terminal.type("retention", FUNNEL_RETENTION="x").output
