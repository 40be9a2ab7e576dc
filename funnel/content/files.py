"""A funnel's files on disk, and the name that their content gives them."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from funnel.content.problem import ContentError, Files, Problem

LARGEST_FILE = 1_000_000
_ROOMS = ("sequences", "emails")
_SUFFIXES = (".toml", ".md")
TOOLS = ("lint.toml", "golden.toml")  # beside the content, and no part of it: nobody sees them, they make no revision


def names(root: Path) -> list[str]:
    """The funnels below `root`: the folders of sequences/."""
    return sorted(path.name for path in root.glob("sequences/*/") if not path.name.startswith("."))


def read_folder(root: Path, name: str) -> dict[str, bytes]:
    """The files of one funnel, path relative to `root` → bytes. Raises ContentError for what cannot be read."""
    files, problems = scan_folder(root, name)
    if problems:
        raise ContentError(problems)
    return files


def scan_folder(root: Path, name: str) -> tuple[dict[str, bytes], list[Problem]]:
    """The files that can be read, likewise, and what is wrong with the others."""
    files, problems = {}, []
    for path in sorted(p for room in _ROOMS for p in (root / room / name, *(root / room / name).rglob("*"))):
        place = path.relative_to(root).as_posix()
        if path.is_symlink():
            problems.append(Problem(place, "", "is a link; put the file itself here"))
        elif path.is_file() and path.suffix in _SUFFIXES and path.name not in TOOLS:
            if path.stat().st_size > LARGEST_FILE:
                problems.append(Problem(place, "", f"is larger than {LARGEST_FILE} bytes"))
            else:
                files[place] = path.read_bytes()
    return files, problems


def variant(path: str, locale: str) -> str:
    """Where the translation of a file stands: "a/how.de.md" for "a/how.md"."""
    stem, _, suffix = path.rpartition(".")
    return f"{stem}.{locale}.{suffix}"


def locale_of(path: str) -> str:
    """The language in a file's name, or nothing for a file in the main language."""
    parts = path.rpartition("/")[2].split(".")
    return parts[1] if len(parts) == 3 else ""


def untranslated(paths: Collection[str], locale: str) -> list[str]:
    """The translations into `locale` that are not among these files."""
    expected = (variant(path, locale) for path in sorted(paths) if not locale_of(path))
    return [path for path in expected if path not in paths]


def revision_id(files: Files) -> str:
    """The content's own name: hex SHA-256 over every path and the hash of what it holds."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(path.encode() + b"\x00" + hashlib.sha256(content).digest())
    return digest.hexdigest()
