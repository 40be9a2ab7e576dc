"""The keyring's file, where FUNNEL_KEYS is not set: made at the first start, changed only whole, its owner's alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from funnel.keyring import Keyring, KeyringError, fresh_entry

OWNERS_ALONE = 0o600


def read(path: Path) -> Keyring:
    """The keyring at `path`, which can be read anew once versions have been added. Raises KeyringError."""
    try:
        mode, text = path.stat().st_mode, path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyringError(f"{path} cannot be read as a keyring ({type(error).__name__})") from None
    if mode & 0o077:
        raise KeyringError(f"{path} is open to others on this machine: run `chmod 600 {path}`")
    return Keyring.parse(text, lambda: read(path))


def read_or_make(path: Path) -> Keyring:
    """The keyring at `path`, or a new one there. Of several who start at once, one makes it. Raises KeyringError."""
    if not path.exists():
        with _locked(path.parent):
            if not path.exists():
                _put(path, fresh_entry(1) + "\n")
    return read(path)


def add_version(path: Path) -> int:
    """Adds a version to the keyring at `path`, which was newer than any in it. Raises KeyringError."""
    with _locked(path.parent):
        version = read(path).version + 1
        _put(path, "\n".join([*_entries(path), fresh_entry(version)]) + "\n")
    return version


def retire(path: Path, version: int) -> None:
    """Leaves of a version only what is left when it is retired. Raises KeyringError."""
    with _locked(path.parent):
        left = read(path).retired_entry(version)
        kept = (entry for entry in _entries(path) if int(entry.partition(":")[0].partition("-")[0]) != version)
        _put(path, "\n".join([left, *kept]) + "\n")


def _entries(path: Path) -> list[str]:
    found = path.read_text("ascii").replace("\n", ",").split(",")
    return [entry.strip() for entry in found if entry.strip()]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else changes the file meanwhile; the lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)  # so that the name outlives a power cut as well
    finally:
        os.close(descriptor)


def _put(path: Path, text: str) -> None:
    """Written whole and on the disk before it takes its name. What a killed process left of a draft is overwritten."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNERS_ALONE), "w") as file:
        os.fchmod(file.fileno(), OWNERS_ALONE)  # whatever the umask took away
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
