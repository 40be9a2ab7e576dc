"""The docs are true: every setting, command and path in them exists, and every one that exists is in them."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from funnel.cli import main
from funnel.content import forms
from funnel.core.lesson import EDUCATOR_FIELDS, LESSON_FIELDS
from funnel.core.retention import RULES
from funnel.store.tables import metadata

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONTENT = (ROOT / "docs/content.md").read_text(encoding="utf-8")
LIKE_A_SETTING = re.compile(r"\b(?:FUNNEL_[A-Z_]+|SENDGRID_[A-Z_]+|DATABASE_URL|REDIS_URL|PORT)\b")


def settings() -> set[str]:
    """Every name that funnel/settings.py looks up in the environment."""
    tree = ast.parse((ROOT / "funnel/settings.py").read_text(encoding="utf-8"))
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {text for text in texts if LIKE_A_SETTING.fullmatch(text)}


def table_of_settings() -> set[str]:
    """The names in the first column of the README's tables."""
    cells = [line.split("|")[1] for line in README.splitlines() if line.startswith("|") and line.count("|") > 2]
    return {found for cell in cells for found in LIKE_A_SETTING.findall(cell)}


def test_every_setting_is_found_in_the_code() -> None:
    assert {"PORT", "DATABASE_URL", "REDIS_URL", "FUNNEL_HOME", "FUNNEL_DAY", "SENDGRID_API_KEY"} <= settings()


@pytest.mark.parametrize("setting", sorted(settings()))
def test_every_setting_stands_in_the_readmes_table(setting: str) -> None:
    assert setting in table_of_settings()


def test_every_setting_in_the_readmes_table_exists() -> None:
    assert table_of_settings() <= settings()


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_stands_in_the_docs(command: str) -> None:
    assert [doc for doc in DOCS if f"funnel {command}" in doc.read_text(encoding="utf-8")]


@pytest.mark.parametrize("doc", [*DOCS, ROOT / "Procfile"], ids=lambda doc: doc.name)
def test_every_command_in_the_docs_exists(doc: Path) -> None:
    written = doc.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`|: )(?:\.venv/bin/)?funnel ([a-z][a-z-]*)", written, re.MULTILINE))
    assert named <= set(main.commands)


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.name)
def test_every_make_target_in_the_docs_exists(doc: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|[A-Z]=\S+ )make ([a-z][a-z-]*)", doc.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.name)
def test_every_file_that_the_docs_link_to_is_there(doc: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", doc.read_text(encoding="utf-8"))
    assert [target for target in targets if not (doc.parent / target).exists()] == []


def example(heading: str) -> str:
    """The TOML example under a heading of docs/content.md."""
    return CONTENT.split(f"## {heading}\n", 1)[1].split("```toml\n", 1)[1].split("```", 1)[0]


@pytest.mark.parametrize(
    ("heading", "form"),
    [("funnel.toml", forms.FunnelForm), ("<pattern>.toml", forms.PatternForm), ("support.toml", forms.SupportForm)],
)
def test_the_examples_in_the_docs_are_right_and_whole(heading: str, form: type[forms.Form]) -> None:
    parsed = form.model_validate(tomllib.loads(example(heading).replace("https://…", "https://example.org/")))
    assert parsed.model_fields_set >= set(form.model_fields)


def test_the_quiz_in_the_docs_lacks_only_the_outcomes_that_it_says_it_lacks() -> None:
    parsed = forms.QuizForm.model_validate(tomllib.loads(example("quiz.toml")))
    assert set(parsed.outcomes) == {"too-close"}
    assert [answer.at_ease for answer in parsed.questions[0].answers] == [False, True]


def test_every_field_and_block_of_a_lesson_is_explained() -> None:
    for field in LESSON_FIELDS:
        assert f"{{{{ {field}" in CONTENT
    for field in EDUCATOR_FIELDS:
        assert field in CONTENT or f"`…_{field.removeprefix('educator_')}`" in CONTENT


def test_the_sequence_in_the_readme_is_that_of_the_example() -> None:
    shown = README.split("   ```toml\n", 1)[1].split("   ```", 1)[0]
    known = tomllib.loads(shown)
    example = tomllib.loads((ROOT / "tests/example/sequences/kitchen/planner.toml").read_text("utf-8"))
    assert known == {key: example[key] for key in ("lessons", "goals")}


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.name)
def test_every_test_that_the_docs_name_exists(doc: Path) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    known = {found for source in sources for found in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}
    assert set(re.findall(r"`(test_\w+)`", doc.read_text(encoding="utf-8"))) <= known


WANTED = [
    *(
        "list bomber",
        "mail scanner",
        "abusive partner who sees the inbox",
        "thief of a database dump",
        "thief of Redis",
    ),
    *("thief of the operator's laptop", "hostile marketer", "hostile or broken provider", "mail forwarder"),
]


def test_every_threat_names_a_test() -> None:
    rows = (ROOT / "docs/threats.md").read_text("utf-8").split("|---|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    told = "\n".join(row.split("|")[1] for row in rows)
    assert [who for who in WANTED if who not in told] == []
    assert [row for row in rows if "`test_" not in row] == []


def test_the_map_of_the_tables_names_every_table_and_nothing_else() -> None:
    mapped = (ROOT / "docs/privacy.md").read_text("utf-8").split("| table | holds |")[1].split("\n\n")[0]
    rows = [line.split("|") for line in mapped.splitlines() if line.startswith("| `")]
    personal = {name for row in rows for name in re.findall(r"`(\w+)`", row[1]) if row[3].strip() == "yes"}
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[1])} == set(metadata.tables)
    told = {"subscriber_id", "enrollment_id", "delivery_id", "address_hash", "position"}
    assert {table.name for table in metadata.tables.values() if told & set(table.columns.keys())} <= personal


def test_the_privacy_page_names_every_period_as_it_is_kept() -> None:
    rows = re.findall(r"^\|[^|]*\|([^|]*)\| `(\w+)` \|$", (ROOT / "docs/privacy.md").read_text("utf-8"), re.MULTILINE)
    told = {name: int(re.findall(r"(\d+) days", says)[0]) for says, name in rows}
    assert told == {name: rule.days for name, rule in RULES.items()}


@pytest.mark.parametrize(("page", "days"), [("privacy.md", "days"), ("privacy.de.md", "Tage")])
def test_the_readers_privacy_page_names_the_periods_as_they_are_kept(page: str, days: str) -> None:
    told = (ROOT / "sequences/erotic-survival-pattern" / page).read_text("utf-8")
    listed = [int(found) for found in re.findall(rf"^- \*\*.*?(\d+) {days}", told, re.MULTILINE)]
    assert listed == [RULES[name].days for name in ("pending", "pattern", "events", "mails")]
