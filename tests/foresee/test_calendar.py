"""`funnel calendar`, as typed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from funnel.cli import main
from tests.conftest import NAME, ROOT
from tests.test_operate import Terminal

FREEZE = ("calendar", "--pattern", "freeze")
BERLIN = (*FREEZE, "--zone", "Europe/Berlin", "--start", "2027-03-27 22:10", "--secondary", "fawn")


def typed(*words: str, content: Path = ROOT) -> tuple[int, str]:
    """(exit code, what is printed), on a machine that has no database."""
    found = CliRunner(env={"FUNNEL_CONTENT": str(content), "COLUMNS": "200"}).invoke(main, words)
    assert not found.exception or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_a_plan_is_printed_with_date_hour_offset_and_reason() -> None:
    code, printed = typed(*BERLIN)
    assert code == 0, printed
    rows = [line.split() for line in printed.splitlines() if "freeze-" in line]
    assert len(rows) == 7
    assert rows[0][:6] == ["1", "freeze-meet", "Sat", "2027-03-27", "22:10", "+01:00"]
    assert rows[1][:6] == ["2", "freeze-sign", "Mon", "2027-03-29", "08:30", "+02:00"]
    assert "Sun 08:30 would be less than 12 h after the one before" in " ".join(printed.split())
    assert all(len(row) > 6 for row in rows)


def test_the_same_for_machines() -> None:
    told = json.loads(typed(*BERLIN, "--json")[1])
    assert told["start"] == "2027-03-27T21:10:00Z"
    second = told["lessons"][1]
    assert (second["due"], second["local"], second["weekday"]) == ("2027-03-29T06:30:00Z", "2027-03-29 08:30", "Mon")
    assert told["left_out"] == []
    slower = json.loads(typed(*BERLIN, "--pace", "slower", "--json")[1])
    assert slower["lessons"][-1]["due"] > told["lessons"][-1]["due"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("calendar", "--pattern", "doubt"), "There is no pattern 'doubt'. Known: fight,"),
        ((*FREEZE, "--secondary", "doubt"), "There is no second pattern 'doubt'"),
        ((*FREEZE, "--zone", "Berlin"), "Write one like Europe/Berlin"),
        ((*FREEZE, "--funnel", "no-such"), f"There is no funnel 'no-such'. Known: {NAME}."),
        ((*FREEZE, "--start", "tomorrow"), "does not match the formats"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_what_to_write(words: tuple[str, ...], says: str) -> None:
    code, printed = typed(*words)
    assert code != 0
    assert says in printed


def test_a_stored_revision_is_read_by_the_beginning_of_its_id(terminal: Terminal) -> None:
    """The files have changed since; the revision has not."""
    revision = terminal.world.revision_id()
    start = "--start 2027-03-27T22:10 --json"
    told = terminal.type(f"calendar --pattern freeze {start} --revision {revision[:12]}", FUNNEL_CONTENT="/nowhere")
    assert told.exit_code == 0, told.output
    assert len(json.loads(told.stdout)["lessons"]) == 7
    refused = terminal.type("calendar --pattern freeze --revision ffff%")
    assert (refused.exit_code, "No stored revision" in refused.output) == (1, True)
