"""The keyring's file: whole or not there, its owner's alone, and never replaced by another."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from funnel import keyfile
from funnel.keyring import Keyring, KeyringError, Unreadable, new_key

MAKE = (
    "import sys, pathlib; from funnel import keyfile; print(keyfile.read_or_make(pathlib.Path(sys.argv[1])).link_key)"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177, 0o777])
def test_a_keyring_is_made_once_readable_by_its_owner_alone(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = keyfile.read_or_make(path)
        written = path.read_bytes()
        again = keyfile.read_or_make(path)
        keyfile.add_version(path)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert path.read_bytes().startswith(written)
    assert again.open_cookie(made.seal_cookie(b"kept", "answers"), "answers") == b"kept"
    assert [each.name for each in path.parent.iterdir()] == ["keyring"]


def test_no_two_keyrings_are_alike(tmp_path: Path) -> None:
    assert len({keyfile.read_or_make(tmp_path / name).link_key for name in "abc"}) == 3


def test_of_several_who_start_at_once_one_makes_the_keyring(path: Path) -> None:
    run = [sys.executable, "-c", MAKE, str(path)]
    started = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = [each.communicate()[0] for each in started]
    assert {each.returncode for each in started} == {0}
    assert set(told) == {f"{keyfile.read(path).link_key!r}\n"}


@pytest.mark.parametrize(
    "held", [b"", b"damaged\n", b"1:c2hv", b"\xff\xfe\x00"], ids=["empty", "damaged", "half", "binary"]
)
def test_a_keyring_file_that_is_damaged_is_never_replaced(path: Path, held: bytes) -> None:
    path.write_bytes(held)
    path.chmod(0o600)
    for act in (keyfile.read_or_make, keyfile.read, keyfile.add_version):
        with pytest.raises(KeyringError):
            act(path)
    assert path.read_bytes() == held


def test_a_folder_in_its_place_is_told(path: Path) -> None:
    path.mkdir(mode=0o700)
    with pytest.raises(KeyringError, match="cannot be read as a keyring"):
        keyfile.read_or_make(path)


@pytest.mark.parametrize("open_to", [0o644, 0o640, 0o604, 0o620, 0o777])
def test_a_keyring_that_others_may_read_is_refused_with_what_to_do(path: Path, open_to: int) -> None:
    keyfile.read_or_make(path)
    path.chmod(open_to)
    with pytest.raises(KeyringError, match="chmod 600"):
        keyfile.read_or_make(path)
    path.chmod(0o600)
    assert keyfile.read_or_make(path).version == 1


def test_what_a_killed_process_left_of_a_draft_is_overwritten(path: Path) -> None:
    draft = path.with_name("keyring.new")
    draft.write_text("1:half")
    draft.chmod(0o644)
    made = keyfile.read_or_make(path)
    draft.write_text("1:half")
    assert keyfile.add_version(path) == 2
    assert not draft.exists()
    assert mode(path) == 0o600
    assert keyfile.read(path).open_cookie(made.seal_cookie(b"kept", "a"), "a") == b"kept"


def test_a_process_that_runs_finds_a_version_that_was_added_since(path: Path) -> None:
    running, key = keyfile.read_or_make(path), new_key()
    keyfile.add_version(path)
    assert running.unwrap(*keyfile.read(path).wrap(key, b"alice"), b"alice") == key
    keyfile.add_version(path)
    assert running.unwrap(*keyfile.read(path).wrap(key, b"alice"), b"alice") == key


def test_a_retired_version_stays_in_the_file_without_what_opens_people(path: Path) -> None:
    before, key = keyfile.read_or_make(path), new_key()
    old = path.read_text().strip()
    keyfile.add_version(path)
    keyfile.retire(path, 1)
    after = keyfile.read(path)
    assert (after.whole, after.retired) == ({2}, {1})
    assert old not in path.read_text()
    assert before.address_hashes("alice@example.org")[0] in after.address_hashes("alice@example.org")
    with pytest.raises(Unreadable):
        after.unwrap(*before.wrap(key, b"alice"), b"alice")
    assert keyfile.add_version(path) == 3
    assert keyfile.read(path).whole == {2, 3}


def test_a_file_with_commas_is_a_keyring_as_well(path: Path) -> None:
    path.write_text(f"1:{'A' * 43}=, 2:{'B' * 43}=")
    path.chmod(0o600)
    assert keyfile.add_version(path) == 3
    assert isinstance(keyfile.read(path), Keyring)
    assert keyfile.read(path).whole == {1, 2, 3}
