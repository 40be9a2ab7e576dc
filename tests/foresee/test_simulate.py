"""`funnel simulate`, as typed: it finds nothing in what we ship, and everything in what is written badly."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from funnel.cli import main
from tests.conftest import NAME, ROOT
from tests.example.kitchen import EXAMPLE

FREEZE = f"sequences/{NAME}/freeze.toml"
Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path) -> Any:
    """Types a line at a service without any database, which has the content of a folder."""

    def type_(line: str, content: Path = ROOT) -> Result:
        env: dict[str, str | None] = {"FUNNEL_CONTENT": str(content), "FUNNEL_HOME": str(tmp_path / "home")}
        found = CliRunner(env={**env, "COLUMNS": "200"}).invoke(main, line.split())
        assert not found.exception or isinstance(found.exception, SystemExit), found.exception
        return found

    return type_


def rescheduled(folder: Path, key: str, timing: str) -> Path:
    """The shipped funnel, one lesson scheduled otherwise."""
    copy = folder / "content"
    for part in ("sequences", "emails"):
        shutil.copytree(ROOT / part, copy / part)
    head_file = copy / f"sequences/{NAME}/funnel.toml"
    head_file.write_text(re.sub(r"(?ms)^\[schedule\].*?(?=^\[)", "", head_file.read_text()))  # what would mend it
    path = copy / FREEZE
    head, found, rest = path.read_text().partition(f'key = "{key}"')
    assert found, "the funnel has changed: this test breaks nothing"
    email, *others = rest.split("\n[[lessons]]")
    email = next(line for line in email.splitlines() if line.startswith("email"))
    path.write_text("\n".join([head + found, email, timing, *(f"\n[[lessons]]{each}" for each in others)]))
    return copy


def test_the_shipped_funnel_keeps_every_promise_to_a_cohort_across_changes_of_clocks(typed: Typed) -> None:
    found = typed("simulate --people 300 --days 10 --over 4 --start 2027-03-24 --json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["breaches"], told["ok"]) == (0, [], True)
    assert set(told["courses"]) == {"active", "finished", "ended"}  # with a lesson a day one is through; some leave
    assert told["lessons"] == sum(told["hours"].values()) > 3 * 300
    assert told["peak"]["lessons"] == max(told["hours"].values())


def test_what_is_found_is_printed_for_people_too(typed: Typed) -> None:
    found = typed("simulate --people 20 --days 2 --over 2")
    assert (found.exit_code, "Every promise was kept" in found.stdout) == (0, True)
    assert "20 people, 2 days from" in found.stdout
    assert found.stdout.count(":00 ") >= 24


@pytest.mark.parametrize(
    ("key", "timing", "broken"),
    [
        ("freeze-sign", 'wait = "1 day"\nat = "03:00"', "nobody is mailed at night"),
        ("freeze-before", 'wait = "2 hours"', "nobody gets more lessons on a day than they should"),
    ],
)
def test_a_bad_schedule_is_found(typed: Typed, tmp_path: Path, key: str, timing: str, broken: str) -> None:
    content = rescheduled(tmp_path, key, timing)
    found = typed("simulate --people 40 --days 4 --over 4 --json", content)
    told = json.loads(found.stdout)
    assert (found.exit_code, told["ok"]) == (1, False)
    assert {breach["promise"] for breach in told["breaches"]} == {broken}
    printed = typed("simulate --people 40 --days 4 --over 4", content)
    assert (printed.exit_code, f"times: {broken}" in printed.stdout) == (1, True)


def test_events_goals_and_two_funnels_at_once_break_no_promise(typed: Typed, tmp_path: Path) -> None:
    for part in ("sequences", "emails"):
        shutil.copytree(ROOT / part, tmp_path / "both" / part)
        shutil.copytree(EXAMPLE / part, tmp_path / "both" / part, dirs_exist_ok=True)
    found = typed("simulate --people 80 --days 6 --over 2 --json", tmp_path / "both")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["breaches"]) == (0, [])
    assert sum(told["courses"].values()) > 80


def test_a_crowd_that_the_watch_takes_for_a_mistake_is_found(typed: Typed) -> None:
    found = typed("simulate --people 1700 --days 1 --over 1 --json")
    promises = {breach["promise"] for breach in json.loads(found.stdout)["breaches"]}
    assert (found.exit_code, promises) == (1, {"no funnel is held by its watch", "nothing that is due is left lying"})


def test_content_that_cannot_be_read_is_no_broken_promise_but_a_problem(typed: Typed, tmp_path: Path) -> None:
    found = typed("simulate --people 1 --days 1", rescheduled(tmp_path, "freeze-sign", 'wait = "soon"'))
    assert (found.exit_code, FREEZE in found.stderr) == (1, True)


def test_a_funnel_that_is_not_there_is_told(typed: Typed) -> None:
    found = typed("simulate --people 1 --days 1 --funnel no-such")
    assert (found.exit_code, NAME in found.stderr) == (1, True)


def test_nothing_of_a_simulation_stays(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert typed("simulate --people 5 --days 1").exit_code == 0
    assert list(tmp_path.iterdir()) == []
