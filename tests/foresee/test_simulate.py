"""`funnel simulate`, as typed: it finds nothing in what we ship, and everything in what is written badly."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from funnel.cli import main
from tests.conftest import NAME, ROOT
from tests.example.kitchen import EXAMPLE, PLANNER

STOVE = 'wait = "1 day"\nat = "08:30"\ndays = ["mon", "tue", "wed", "thu", "fri"]'
Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path) -> Any:
    """Types a line at a service without any database, which has the content of a folder."""

    def type_(line: str, content: Path = ROOT) -> Result:
        env: dict[str, str | None] = {"FUNNEL_CONTENT": str(content), "FUNNEL_HOME": str(tmp_path / "home")}
        found = CliRunner(env={**env, "COLUMNS": "200"}).invoke(main, line.split())
        assert not found.exception or isinstance(found.exception, SystemExit), found.exception
        return found

    yield type_
    structlog.reset_defaults()


def kitchen(folder: Path, stove: str) -> Path:
    """The example funnel, its second lesson scheduled otherwise."""
    copy = folder / "content"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = copy / PLANNER
    written = path.read_text()
    assert STOVE in written, "the example has changed: this test breaks nothing"
    path.write_text(written.replace(STOVE, stove))
    return copy


def test_the_shipped_funnel_keeps_every_promise_to_a_cohort_across_changes_of_clocks(typed: Typed) -> None:
    found = typed("simulate --people 300 --days 10 --over 4 --start 2027-03-24 --json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["breaches"], told["ok"]) == (0, [], True)
    assert set(told["courses"]) == {"active", "finished"}  # who has a lesson a day is through
    assert told["lessons"] == sum(told["hours"].values()) > 3 * 300
    assert told["peak"]["lessons"] == max(told["hours"].values())


def test_what_is_found_is_printed_for_people_too(typed: Typed) -> None:
    found = typed("simulate --people 20 --days 2 --over 2")
    assert (found.exit_code, "Every promise was kept" in found.stdout) == (0, True)
    assert "20 people, 2 days from" in found.stdout
    assert found.stdout.count(":00 ") >= 24


@pytest.mark.parametrize(
    ("stove", "broken"),
    [
        ('wait = "1 day"\nat = "03:00"', "nobody is mailed at night"),
        ('wait = "1 day"\nat = "09:00"\n\n[[lessons]]\nkey = "planner-again"\nemail = "planner/03-again.md"\n'
         'wait = "0 days"\nat = "18:00"', "nobody gets two lessons on one day"),
    ],
)  # fmt: skip
def test_a_bad_schedule_is_found(typed: Typed, tmp_path: Path, stove: str, broken: str) -> None:
    content = kitchen(tmp_path, stove)
    if "planner-again" in stove:
        mails = content / "emails/kitchen/planner"
        shutil.copy(mails / "02-stove.md", mails / "03-again.md")
    found = typed("simulate --people 40 --days 4 --over 4 --json", content)
    told = json.loads(found.stdout)
    assert (found.exit_code, told["ok"]) == (1, False)
    assert {breach["promise"] for breach in told["breaches"]} == {broken}
    printed = typed("simulate --people 40 --days 4 --over 4", content)
    assert (printed.exit_code, f"times: {broken}" in printed.stdout) == (1, True)


def test_content_that_cannot_be_read_is_no_broken_promise_but_a_problem(typed: Typed, tmp_path: Path) -> None:
    found = typed("simulate --people 1 --days 1", kitchen(tmp_path, 'wait = "soon"'))
    assert (found.exit_code, PLANNER in found.stderr) == (1, True)


def test_a_funnel_that_is_not_there_is_told(typed: Typed) -> None:
    found = typed("simulate --people 1 --days 1 --funnel no-such")
    assert (found.exit_code, NAME in found.stderr) == (1, True)


def test_nothing_of_a_simulation_stays(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert typed("simulate --people 5 --days 1").exit_code == 0
    assert list(tmp_path.iterdir()) == []
