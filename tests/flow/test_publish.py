"""Publishing: a folder becomes a revision that never changes."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Engine

from funnel import content
from funnel.flow.publish import publish
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.store import revisions
from funnel.store.db import reading
from funnel.store.tables import lesson, revision
from tests.conftest import NAME, NOON_MS, ROOT, make_tools
from tests.world import ALICE, World

EXAMPLE = ROOT / "tests/example"


@pytest.fixture
def empty(engine: Engine, keyring: Keyring) -> Tools:
    return make_tools(engine, keyring)


def copied(folder: Path) -> Path:
    for room in ("sequences", "emails"):
        shutil.copytree(EXAMPLE / room, folder / room)
    return folder


def test_the_same_content_is_the_same_revision(empty: Tools, tmp_path: Path) -> None:
    first = publish(empty, copied(tmp_path), NOON_MS)
    assert publish(empty, tmp_path, NOON_MS + 1) == first


def test_a_change_is_a_new_revision_and_the_old_one_stays_byte_for_byte(empty: Tools, tmp_path: Path) -> None:
    before = content.read_folder(copied(tmp_path), "kitchen")
    first = publish(empty, tmp_path, NOON_MS)["kitchen"]
    page = tmp_path / "sequences/kitchen/landing.md"
    page.write_text(page.read_text() + "\nOne more line.\n")
    second = publish(empty, tmp_path, NOON_MS + 1)["kitchen"]
    assert first != second
    with reading(empty.engine) as connection:
        assert revisions.files(connection, first) == ("kitchen", before)
        assert revisions.current(connection) == {"kitchen": second}


def test_going_back_makes_the_first_revision_current_again(empty: Tools, tmp_path: Path) -> None:
    first = publish(empty, copied(tmp_path), NOON_MS)
    page = tmp_path / "sequences/kitchen/landing.md"
    was = page.read_text()
    page.write_text(was + "\nOne more line.\n")
    publish(empty, tmp_path, NOON_MS + 1)
    page.write_text(was)
    assert publish(empty, tmp_path, NOON_MS + 2) == first


def test_content_with_problems_publishes_nothing_and_what_runs_stays(empty: Tools, tmp_path: Path) -> None:
    first = publish(empty, copied(tmp_path), NOON_MS)
    (tmp_path / "sequences/kitchen/quiz.toml").write_text("nonsense")
    with pytest.raises(content.ContentError):
        publish(empty, tmp_path, NOON_MS + 1)
    with reading(empty.engine) as connection:
        assert revisions.current(connection) == first


def test_a_renamed_folder_cannot_take_the_slug_of_a_funnel_that_people_are_in(empty: Tools, tmp_path: Path) -> None:
    publish(empty, copied(tmp_path), NOON_MS)
    for room in ("sequences", "emails"):
        (tmp_path / room / "kitchen").rename(tmp_path / room / "pantry")
    with pytest.raises(content.ContentError, match="belongs to the published funnel 'kitchen'"):
        publish(empty, tmp_path, NOON_MS + 1)


def test_whoever_reads_meanwhile_sees_all_funnels_old_or_all_new_and_needs_no_restart(
    empty: Tools, tmp_path: Path
) -> None:
    copied(tmp_path)
    for room in ("sequences", "emails"):
        shutil.copytree(tmp_path / room / "kitchen", tmp_path / room / "pantry")
    head = tmp_path / "sequences/pantry/funnel.toml"
    head.write_text(head.read_text().replace('slug = "kitchen"', 'slug = "pantry"'))
    pages = [tmp_path / f"sequences/{name}/landing.md" for name in ("kitchen", "pantry")]
    text, over = pages[0].read_text(), Event()

    def edition(number: int) -> None:
        for page in pages:
            page.write_text(f"{text}\nEdition {number}.\n")
        publish(empty, tmp_path, NOON_MS + number)

    def read() -> list[set[str]]:
        seen, last = [], False
        while not last:
            last = over.is_set()
            with reading(empty.engine) as connection:
                found = empty.current(connection).values()
            seen.append({funnel.landing.body.strip().rpartition("\n")[2] for _, funnel in found})
        return seen

    edition(0)
    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(1, 5):
            edition(number)
        over.set()
    for reader in readers:
        seen = reader.result()
        assert [len(each) for each in seen] == [1] * len(seen)
        assert seen[-1] == {"Edition 4."}


def test_people_half_way_go_on_in_the_new_revision_and_nothing_repeats(world: World, tmp_path: Path) -> None:
    world.join(ALICE)
    world.days(2)
    for room in ("sequences", "emails"):
        shutil.copytree(ROOT / room, tmp_path / room)
    _drop_third_lesson(tmp_path / f"sequences/{NAME}/freeze.toml", tmp_path / f"emails/{NAME}/freeze")
    publish(world.tools, tmp_path, world.clock())
    world.days(20)
    got = world.lessons(ALICE)
    assert len(got) == len(set(got)) == 6
    assert not [subject for subject in got if "Note 3 of 7" in subject]
    assert len(world.rows(revision)) == 2
    assert len({row.key for row in world.rows(lesson)}) == 28


def _drop_third_lesson(path: Path, mails: Path) -> None:
    head, *lessons = path.read_text().split("[[lessons]]")
    path.write_text("[[lessons]]".join([head, *lessons[:2], *lessons[3:]]))
    for mail in mails.glob("03-*.md"):  # in every language
        mail.unlink()
