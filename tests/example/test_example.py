"""A funnel as a folder: reading it, naming its content, and `funnel check`."""

import shutil
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel import content
from funnel.cli import main
from funnel.content import ContentError, files
from tests.example.kitchen import EXAMPLE, KITCHEN, LANDING, QUIZ, without


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example that a test may spoil."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_folder_is_read_as_it_is(folder: Path) -> None:
    (folder / "sequences/kitchen/notes.txt").write_text("not content")
    assert content.names(folder) == ["kitchen"]
    assert content.read_folder(folder, "kitchen") == KITCHEN


def test_links_and_huge_files_are_refused_together(folder: Path) -> None:
    secret = folder / "secret.txt"
    secret.write_text("secret")
    (folder / "emails/kitchen/planner/03-link.md").symlink_to(secret)
    (folder / "emails/kitchen/shelf").symlink_to(folder, target_is_directory=True)
    (folder / LANDING).write_bytes(b" " * (files.LARGEST_FILE + 1))
    with pytest.raises(ContentError) as refused:
        content.read_folder(folder, "kitchen")
    assert [(problem.file, problem.message) for problem in refused.value.problems] == [
        ("emails/kitchen/planner/03-link.md", "is a link; put the file itself here"),
        ("emails/kitchen/shelf", "is a link; put the file itself here"),
        (LANDING, "is larger than 1000000 bytes"),
    ]


def test_what_the_other_files_say_is_read_all_the_same(folder: Path) -> None:
    (folder / LANDING).unlink()
    (folder / LANDING).symlink_to(folder / "secret.txt")
    (folder / QUIZ).write_text("opening = [")
    with pytest.raises(ContentError) as refused:
        content.read_all(folder)
    assert [problem.file for problem in refused.value.problems] == [LANDING, QUIZ]


contents = st.dictionaries(st.text(max_size=12), st.binary(max_size=30), max_size=6)


@settings(deadline=None)
@given(contents, st.randoms(use_true_random=False))
def test_the_same_content_has_the_same_id_in_any_order(files: dict[str, bytes], shuffler: Random) -> None:
    items = list(files.items())
    shuffler.shuffle(items)
    assert content.revision_id(dict(items)) == content.revision_id(files)


@settings(deadline=None)
@given(contents, contents)
def test_different_content_has_different_ids(files: dict[str, bytes], others: dict[str, bytes]) -> None:
    assert (content.revision_id(files) == content.revision_id(others)) == (files == others)


@pytest.mark.parametrize("path", sorted(KITCHEN))
def test_any_byte_any_path_and_any_file_changes_the_id(path: str) -> None:
    held = KITCHEN[path]
    changed = [
        {**KITCHEN, path: held[:-1] + bytes([held[-1] ^ 1])},
        {**KITCHEN, path: held + b"\n"},
        without(path),
        {**without(path), f"{path}x": held},
    ]
    assert len({content.revision_id(files) for files in (KITCHEN, *changed)}) == 5


def test_check_says_when_nothing_is_wrong() -> None:
    result = CliRunner().invoke(main, ["check", str(EXAMPLE)])
    assert (result.exit_code, result.output) == (0, "No problems in kitchen.\n")


def test_check_prints_every_problem_of_every_funnel(folder: Path) -> None:
    for kind in ("sequences", "emails"):
        shutil.copytree(folder / kind / "kitchen", folder / kind / "pantry")
    for name in ("kitchen", "pantry"):
        (folder / f"sequences/{name}/how.md").unlink()
        (folder / f"emails/{name}/planner/01-meet.md").unlink()
    result = CliRunner().invoke(main, ["check", str(folder)])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "emails/kitchen/planner/01-meet.md: error CT001: is missing",
        "emails/pantry/planner/01-meet.md: error CT001: is missing",
        "sequences/kitchen/how.md: error CT001: is missing",
        "sequences/pantry/how.md: error CT001: is missing",
        "4 errors.",
    ]


def test_check_holds_the_quiz_to_its_bounds(folder: Path) -> None:
    quiz = folder / QUIZ
    quiz.write_text(quiz.read_text().replace("{ planner = 10 }", "{ planner = 10, improviser = 9 }"))
    result = CliRunner().invoke(main, ["check", str(folder)])
    assert result.exit_code == 1
    line = quiz.read_text().split("\n").index("[[questions]]") + 1
    assert f"{QUIZ}:{line}: error QZ101: planner is " in result.output
