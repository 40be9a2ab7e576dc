"""The commands that publish, as typed; nothing private in what they print."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from funnel import content
from funnel.keyring import Keyring
from funnel.runtime import Runtime
from funnel.store.tables import due, publication
from tests.conftest import Clock, make_tools
from tests.desk import KITCHEN, PLANNER, Desk
from tests.test_operate import KEYS, Terminal
from tests.world import ALICE, BOB


@pytest.fixture
def desk(engine: Engine, keyring: Keyring, tmp_path: Path) -> Desk:
    """Alice and Bob have had a, and wait for b."""
    found = Desk(make_tools(engine, keyring), Clock(Runtime.now_ms()), tmp_path)
    found.publish("a", "b", "c", "d")
    found.join(ALICE)
    found.join(BOB)
    found.work()
    return found


@pytest.fixture
def terminal(desk: Desk, engine: Engine, tmp_path: Path) -> Terminal:
    url = engine.url.render_as_string(hide_password=False)
    env: dict[str, str | None] = {"FUNNEL_HOME": str(tmp_path), "FUNNEL_CONTENT": str(desk.root), "FUNNEL_KEYS": KEYS}
    env |= {"DATABASE_URL": url, "FUNNEL_MAIL": "outbox", "REDIS_URL": "", "COLUMNS": "200", "FUNNEL_AUTHOR": "Marge"}
    return Terminal(desk, env)


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_dry_run_tells_the_impact_and_changes_nothing(terminal: Terminal, desk: Desk) -> None:
    before = desk.rows(due)
    desk.write("a", "x: 3 days", "b", "d")
    told = terminal.type("publish --dry-run")
    assert told.exit_code == 0, told.output
    found = lines(told.output)
    assert found[0].startswith("kitchen: 2 people wait for a lesson, 0 of them see no difference; 0 lessons are on")
    assert [line.split()[:3] for line in found if line[:2] in ("a ", "x ", "b ", "c ", "d ")] == [
        ["x", "gain", "2"],
        ["b", "later", "2"],
        ["d", "later", "2"],
        ["c", "skip", "2"],
    ]
    assert found[-1] == "Nobody gets a lesson twice."
    assert desk.rows(due) == before
    assert len(desk.rows(publication)) == 1
    assert [word for word in (ALICE, BOB, "example.org") if word in told.output] == []


def test_publishing_keeps_author_time_and_message_and_moves_people(terminal: Terminal, desk: Desk) -> None:
    desk.write("a", "c", "d")
    told = terminal.type("publish --message shorter")
    assert told.exit_code == 0, told.output
    assert lines(told.output) == [f"kitchen: revision {desk.revision_id()[:12]}, published", "2 people moved"]
    assert desk.next_lessons() == ["c", "c"]
    entry = desk.rows(publication)[-1]
    assert (entry.author, entry.message, entry.policy) == ("Marge", "shorter", "gentle")
    again = terminal.type("publish --author Homer")
    assert lines(again.output) == [f"kitchen: revision {desk.revision_id()[:12]}, nothing has changed"]
    assert len(desk.rows(publication)) == 2
    listed = terminal.type("revisions kitchen").output
    assert [line[:1] for line in listed.splitlines()] == [" ", "*", " "]
    assert "shorter" in listed


def test_broken_content_publishes_nothing_and_names_every_problem(terminal: Terminal, desk: Desk) -> None:
    before = desk.revision_id()
    desk.write("a", "b: soon", "c", "c")
    (desk.root / "sequences/kitchen/quiz.toml").write_bytes(b"\xff\xfe")
    for line in ("publish", "publish --dry-run"):
        refused = terminal.type(line)
        assert refused.exit_code == 1
        assert f"{PLANNER}: lessons[2].wait" in refused.output
        assert "quiz.toml: byte 0: is not UTF-8" in refused.output
    assert desk.revision_id() == before


def test_a_diff_tells_what_happened_to_each_lesson(terminal: Terminal, desk: Desk) -> None:
    first = desk.revision_id()
    desk.write("a", "d", "b: 2 days", 'x: 1 day; at = "17:00"')
    mail = desk.root / "emails/kitchen/planner/a.md"
    mail.write_text(mail.read_text().replace('subject = "a"', 'subject = "one"') + "And a line.\n")
    told = lines(terminal.type("diff").output)
    assert "planner / a: changed" in told
    assert "subject: a → one" in told
    assert "+And a line." in told
    assert "planner / d: moved" in told
    assert "wait: 1 day → 2 days" in told
    assert "planner / x: added" in told
    assert "planner / c: removed" in told
    second = desk.publish()
    assert lines(terminal.type(f"diff {first[:8]} {second[:8]}").output) == told
    assert terminal.type(f"diff {second[:8]} {desk.root}/").output == "The same.\n"


def test_a_revision_that_cannot_be_found_or_could_be_several_is_told(terminal: Terminal, desk: Desk) -> None:
    refused = terminal.type("diff zzzz current")
    assert (refused.exit_code, "There is no revision 'zzzz'" in refused.output) == (1, True)
    begun = {desk.revision_id()[:1]}
    for number in range(1, 40):
        begun.add(first := desk.publish("a", f"b: {number} days")[:1])
        if len(begun) <= number:
            break
    refused = terminal.type(f"diff {first} current")
    assert (refused.exit_code, f"'{first}' could be several" in refused.output) == (1, True)


def test_a_rollback_tells_its_impact_and_asks(terminal: Terminal, desk: Desk) -> None:
    first = desk.revision_id()
    second = desk.publish("a", "c", "d")
    asked = terminal.type("rollback kitchen", answer="n\n")
    assert (asked.exit_code, desk.revision_id()) == (1, second)
    assert "b gain 2" in " | ".join(lines(asked.output))
    assert terminal.type(f"rollback kitchen {first[:10]} --yes").exit_code == 0
    assert desk.revision_id() == first
    assert terminal.type("rollback nothing --yes").exit_code == 1


def test_an_undo_asks_and_puts_people_back(terminal: Terminal, desk: Desk) -> None:
    before = desk.rows(due)
    desk.publish("a", "c", "d")
    assert terminal.type("undo kitchen", answer="n\n").exit_code == 1
    assert terminal.type("undo kitchen", answer="y\n").exit_code == 0
    assert desk.rows(due) == before
    refused = terminal.type("undo kitchen --yes")
    assert (refused.exit_code, "no publication" in refused.output) == (1, True)


def test_content_comes_out_byte_for_byte_as_it_went_in(terminal: Terminal, desk: Desk, tmp_path: Path) -> None:
    first, files = desk.revision_id(), content.read_folder(desk.root, KITCHEN)
    desk.publish("a", "b")
    target = tmp_path / "out"
    assert terminal.type(f"export-content {first[:12]} {target}").exit_code == 0
    assert content.read_folder(target, KITCHEN) == files
    refused = terminal.type(f"export-content current {target}")
    assert (refused.exit_code, "name an empty folder" in refused.output) == (1, True)


def test_the_doctor_says_when_files_are_not_what_is_published(terminal: Terminal, desk: Desk) -> None:
    assert "the files are what is published" in terminal.type("doctor").output
    desk.write("a", "b")
    told = terminal.type("doctor").output
    assert "kitchen: 3 files differ" in told
    assert "funnel diff current files" in told
