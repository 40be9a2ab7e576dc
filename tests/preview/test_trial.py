"""`funnel send-test`, as typed."""

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from funnel import content
from funnel.cli import main
from tests.example.kitchen import KITCHEN
from tests.fakes.smtp import SmtpSink
from tests.robot import mails
from tests.world import ALICE

PLANNER = content.parse("kitchen", KITCHEN).patterns["planner"]
EVERY = sorted(f"[Test] {lesson.source.subject}" for lesson in PLANNER.lessons)


@pytest.fixture
def env(tmp_path: Path, folder: Path) -> dict[str, str]:
    return {"FUNNEL_HOME": str(tmp_path / "var"), "FUNNEL_CONTENT": str(folder)}


def typed(line: str, env: dict[str, str]) -> Result:
    found = CliRunner(env=env).invoke(main, ["send-test", *line.split()])
    assert not found.exception or isinstance(found.exception, SystemExit), found.exception
    return found


@pytest.mark.parametrize(
    ("options", "subjects"),
    [
        ("", ["[Test] Note 1 of 2: the list"]),
        ("--lesson planner-stove", ["[Test] Note 2 of 2: the timer"]),
        ("--all --funnel kitchen", EVERY),
    ],
)
def test_one_lesson_or_all_of_them_are_sent(
    env: dict[str, str], tmp_path: Path, options: str, subjects: list[str]
) -> None:
    result = typed(f"{ALICE} --pattern planner {options}", env)
    assert (result.exit_code, result.output) == (0, f"Sent, and nothing recorded. They are in {tmp_path}/var/outbox.\n")
    assert sorted(mail.subject for mail in mails(tmp_path / "var/outbox", ALICE)) == subjects
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["outbox"], "no database, no keys"


def test_a_second_pattern_shows(env: dict[str, str], tmp_path: Path) -> None:
    typed(f"{ALICE} --pattern planner --lesson planner-stove --secondary improviser", env)
    assert "Some evenings the pan decides." in mails(tmp_path / "var/outbox")[0].text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice --pattern planner", "That is not an address. It should read like name@example.org."),
        (f"{ALICE} --pattern baker", "There is no pattern of that name; there are planner, improviser."),
        (
            f"{ALICE} --pattern planner --lesson x",
            "That pattern has no such lesson; it has planner-",
        ),
        (f"{ALICE} --pattern planner --secondary planner", "A second pattern beside that one can be improviser."),
        (f"{ALICE} --pattern planner --funnel pantry", "There is kitchen."),
        (f"{ALICE} --pattern planner --all --lesson planner-meet", "--all and --lesson exclude one another."),
    ],
)
def test_what_cannot_be_is_told(env: dict[str, str], line: str, said: str) -> None:
    result = typed(line, env)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {said}")


def test_a_server_that_is_not_there_is_told_without_the_address(
    env: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = typed(f"{ALICE} --pattern planner", {**env, "FUNNEL_MAIL": "smtp://127.0.0.1:1"})
    assert result.exit_code == 1
    assert result.output.startswith("Error: planner-meet could not be handed over (")
    assert "alice" not in result.output + caplog.text


def test_a_real_server_takes_it_and_no_log_knows_to_whom(env: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with SmtpSink() as sink, caplog.at_level(logging.DEBUG, "funnel"):
        result = typed(f"{ALICE} --pattern planner --all", {**env, "FUNNEL_MAIL": f"smtp://127.0.0.1:{sink.port}"})
        assert (result.exit_code, result.output) == (0, "Sent, and nothing recorded.\n")
        assert len(sink.messages) == len(EVERY)
    assert "alice" not in result.output
    assert "alice" not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("funnel"))


def test_content_that_cannot_be_used_is_told(env: dict[str, str], folder: Path) -> None:
    (folder / "sequences/kitchen/how.md").unlink()
    result = typed(f"{ALICE} --pattern planner", env)
    assert result.exit_code == 1
    assert "sequences/kitchen/how.md: is missing" in result.output
