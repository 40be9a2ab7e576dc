"""`funnel check`: what it prints for people, programs and pipes, and what makes it fail."""

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from funnel import content
from funnel.cli import main
from funnel.core.schedule import PACES
from funnel.flow.publish import publish
from funnel.flow.tools import Tools
from funnel.lint import report
from funnel.lint.finding import Finding
from funnel.lint.rules import RULES
from tests.conftest import NOON_MS, ROOT
from tests.example.kitchen import FUNNEL, KITCHEN, LANDING, MEET, SAFETY, STOVE
from tests.preview.conftest import rewrite


def check(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["check", str(folder), *options])


def test_the_shipped_content_comes_out_clean() -> None:
    result = check(ROOT, "--strict")
    assert (result.exit_code, result.output) == (
        0,
        "erotic-survival-pattern: 45 of 45 files are translated into de.\nNo problems in erotic-survival-pattern.\n",
    )


def test_a_warning_is_told_and_fails_only_when_it_should(folder: Path) -> None:
    rewrite(folder, STOVE, "Set the timer", "Tonight, set the timer")
    line = f"{STOVE}:5: warning TX402: “Tonight”: this may leave at 08:30, and be read any time after"
    for options, code in (((), 0), (("--strict",), 1)):
        result = check(folder, *options)
        assert (result.exit_code, result.output) == (code, f"{line}\n1 warning.\n")


def test_an_error_fails_and_stands_beside_warnings(folder: Path) -> None:
    rewrite(folder, MEET, "Note 1 of 2: the list", "Your desires")
    rewrite(folder, STOVE, "Set the timer", "Tonight, set the timer")
    result = check(folder)
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "1 error and 1 warning.")


def test_programs_get_json_with_the_figures_and_the_matrix(folder: Path) -> None:
    rewrite(folder, STOVE, "Set the timer", "Tonight, set the timer")
    (folder / "sequences/kitchen/golden.json").write_text(
        json.dumps([{"name": "Bob", "outcome": "too-few", "answers": {}}]), encoding="utf-8"
    )
    result = check(folder, "--json")
    told = json.loads(result.output)
    assert (result.exit_code, told["funnels"], told["errors"]) == (0, ["kitchen"], 0)
    tonight = next(one for one in told["findings"] if one["file"] == STOVE)
    assert tonight == {
        "file": STOVE, "line": 5, "code": "TX402", "severity": "warning",
        "reason": "“Tonight”: this may leave at 08:30, and be read any time after", "advice": RULES["TX402"].advice,
    }  # fmt: skip
    balance = told["balance"]["kitchen"]
    assert set(balance["at_random"]) == {"people", "outcomes", "patterns", "ties"}
    assert sum(balance["at_random"]["patterns"].values()) == pytest.approx(1)
    assert sum(balance["leaning"]["planner"]["outcomes"].values()) == pytest.approx(1)
    assert balance["golden"]["outcomes"]["too-few"] == 1
    assert told["matrix"]["kitchen"][1] == {
        "pattern": "planner", "lesson": "planner-stove", "secondary": {"alone": "shared", "improviser": "own"},
        "pace": dict.fromkeys(PACES, "shared"), "locale": {"en": "own"},
    }  # fmt: skip


def test_the_matrix_can_be_printed(folder: Path) -> None:
    result = check(folder, "--matrix")
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if line.startswith("improviser-stove"))
    assert row.split() == ["improviser-stove", "·", "●", *"·" * len(PACES), "●"]
    assert "6,000 at random" in result.output
    assert "6,000 leaning to planner" in result.output


def test_content_that_cannot_be_used_is_told_at_its_lines(folder: Path) -> None:
    rewrite(folder, FUNNEL, 'title = "Kitchen Notes"', 'tilte = "Kitchen Notes"')
    line = (folder / FUNNEL).read_text().split("\n").index('tilte = "Kitchen Notes"') + 1
    rewrite(folder, MEET, "Hello {{ first_name | there }}", "Hello {{ frist_name }}")
    assert [line.partition(": error CT001: ")[::2] for line in check(folder).output.splitlines()[:-1]] == [
        (f"{MEET}:5", "unknown field 'frist_name'; known here are choose_url, first_name, quiz_url, support_url"),
        (f"{FUNNEL}:1", "title: is missing"),
        (f"{FUNNEL}:{line}", "tilte: unknown key; is it a typing mistake?"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("lint.toml", "words = 3", "words: Input should be a valid dictionary"),
        ("golden.json", "[", "is not JSON"),
        ("golden.json", '[{"name": "Bob"}]', "holds a list of respondents, each with its answers"),
    ],
)
def test_a_file_of_the_lint_that_cannot_be_read_is_told(folder: Path, name: str, text: str, said: str) -> None:
    (folder / f"sequences/kitchen/{name}").write_text(text, encoding="utf-8")
    result = check(folder)
    assert result.exit_code == 1
    assert f"sequences/kitchen/{name}: error LN003: {said}" in result.output


def test_a_stray_file_is_told_and_the_lints_own_are_not_content(folder: Path) -> None:
    (folder / "sequences/kitchen/lint.toml").write_text("reading_grade = 8", encoding="utf-8")
    (folder / "emails/kitchen/planner/draft.docx").write_bytes(b"")
    result = check(folder)
    assert (
        "emails/kitchen/planner/draft.docx: warning SQ304: is neither content nor a file of the lint" in result.output
    )
    assert content.read_folder(folder, "kitchen") == KITCHEN


def test_an_idle_silencer_and_one_for_nothing_are_told(folder: Path) -> None:
    rewrite(folder, STOVE, "Set the timer", "<!-- funnel: allow TX402, XX999: was there once -->\nSet the timer")
    assert check(folder).output.splitlines() == [
        f"{STOVE}:5: warning LN001: nothing here calls for TX402",
        f"{STOVE}:5: warning LN002: there is no XX999",
        "2 warnings.",
    ]


@pytest.mark.parametrize("path", [MEET, STOVE, SAFETY, LANDING])
def test_a_silencer_reaches_no_mail_and_no_page(path: str) -> None:
    lines = KITCHEN[path].decode().rstrip("\n").split("\n")
    lines[-1] += " <!-- funnel: allow TX402: a test -->"
    assert content.parse("kitchen", {**KITCHEN, path: "\n".join(lines).encode()}) == content.parse("kitchen", KITCHEN)


def test_any_other_comment_is_still_html() -> None:
    spoiled = {**KITCHEN, STOVE: KITCHEN[STOVE] + b"<!-- funnel: deny TX402 -->\n"}
    with pytest.raises(content.ContentError, match="holds HTML"):
        content.parse("kitchen", spoiled)


def test_lint_keeps_nobody_from_publishing(folder: Path, tools: Tools) -> None:
    rewrite(folder, MEET, "Note 1 of 2: the list", "Your desires")
    assert check(folder).exit_code == 1
    assert "kitchen" in publish(tools, folder, NOON_MS)


def test_people_get_groups_and_colors() -> None:
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=True, width=100, color_system="standard")
    report.show(console, [Finding("a.md", 3, "TX402", "“Tonight”: …"), Finding("a.md", 0, "DS701", "tells")])
    shown = printed.getvalue()
    assert shown.count("a.md") == 1
    assert "\x1b[33mTX402" in shown
    assert "\x1b[1;31mDS701" in shown
    assert RULES["TX402"].advice in shown


def test_the_docs_tell_of_every_code() -> None:
    docs = (ROOT / "docs/content.md").read_text(encoding="utf-8")
    table = dict(line.split(" | ", 1) for line in docs.splitlines() if line.startswith("| `") and line[3:5].isupper())
    assert table == {f"| `{code}`": f"{rule.severity} | {rule.finds} | {rule.advice} |" for code, rule in RULES.items()}
