"""`funnel why`, as typed."""

import json

import pytest

from tests.test_operate import Terminal
from tests.world import ALICE


def test_a_story_is_printed_without_the_person(terminal: Terminal) -> None:
    world = terminal.world
    world.join(ALICE, "freeze", "fawn", name="Alicia")
    world.work()
    printed = terminal.type("why enrollment 1")
    assert printed.exit_code == 0, printed.output
    words = [line.split() for line in printed.output.splitlines()]
    assert [line[4] for line in words if len(line) > 4 and line[3] == "1"] == [
        "scheduled",
        "planned",
        "started",
        "accepted",
    ]
    assert [word for word in ("alice", "Alicia", "freeze", "fawn") if word in printed.output] == []
    assert "freeze-meet" in terminal.type("why enrollment 1 --show-lessons").output


def test_the_same_for_machines(terminal: Terminal) -> None:
    terminal.world.join(ALICE)
    terminal.world.work()
    told = json.loads(terminal.type("why delivery 1 --json").output)
    assert (told["about"]["delivery"], told["about"]["enrollment"]) == (1, 1)
    [accepted] = [line for line in told["lines"] if line["what"] == "accepted"]
    assert accepted["at"].endswith("Z")
    assert told["gaps"]


@pytest.mark.parametrize("line", ["why delivery 404", "why enrollment 404"])
def test_a_number_that_is_nobodys_is_refused(terminal: Terminal, line: str) -> None:
    refused = terminal.type(line)
    assert (refused.exit_code, refused.output) == (1, f"Error: There is no {line.split()[1]} 404.\n")


def test_what_is_no_number_is_refused(terminal: Terminal) -> None:
    assert terminal.type("why delivery alice").exit_code == 2
