"""`funnel forecast`, as typed."""

import json

from funnel.store.tables import due
from tests.conftest import NAME
from tests.test_operate import Terminal
from tests.world import ALICE, BOB


def test_the_coming_hours_are_printed_and_nobody_is_named(terminal: Terminal) -> None:
    world = terminal.world
    world.join_all(ALICE, BOB)
    world.work()
    terminal.type(f"pause {NAME} --reason lunch")
    found = terminal.type("forecast")
    assert found.exit_code == 0, found.output
    assert "0 overdue; 0 under way" in found.output
    assert f"Held: funnel:{NAME} (lunch)" in found.output
    [row] = [line for line in found.output.splitlines() if "█" in line]
    assert row.split()[3] == "2"
    assert [word for word in (ALICE, BOB, "freeze") if word in found.output] == []


def test_the_same_for_machines_with_what_follows_projected(terminal: Terminal) -> None:
    terminal.world.join(ALICE)
    told = json.loads(terminal.type("forecast --days 20 --json").output)["funnels"][NAME]
    assert (told["overdue"], told["due"], sum(told["projected"].values())) == (1, {}, 6)
    assert "Projected: " in terminal.type("forecast --days 20").output


def test_an_empty_service_has_nothing_to_come(terminal: Terminal) -> None:
    assert "Nothing is due in this time." in terminal.type("forecast").output
    assert terminal.world.rows(due) == []
