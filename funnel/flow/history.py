"""Looking at what was published: by the short name of a revision, as files, and beside the files on disk."""

from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from funnel import content
from funnel.core.changes import Change, changes
from funnel.flow.doctor import Finding, Level
from funnel.flow.tools import Tools
from funnel.store import publications, revisions
from funnel.store.db import reading
from funnel.store.tables import Record

CURRENT, FILES = "current", "files"


@dataclass(frozen=True)
class Snapshot:
    """One funnel's files as they were at some time; `revision_id` is their content's own name."""

    revision_id: str
    funnel: str
    files: content.Files


@dataclass(frozen=True)
class Difference:
    """What differs between two snapshots: by lesson, and the other files with their lines."""

    lessons: list[Change]
    files: dict[str, tuple[str, ...]]


def listed(tools: Tools, funnel: str | None) -> tuple[list[Record], dict[str, str]]:
    """(publications, the newest first; funnel → its current revision)."""
    with reading(tools.engine) as connection:
        return list(publications.listed(connection, funnel)), revisions.current(connection)


def earlier(tools: Tools, funnel: str) -> str | None:
    """The revision that the current one replaced."""
    with reading(tools.engine) as connection:
        return publications.replaced(connection, funnel, revisions.current(connection).get(funnel))


def find(tools: Tools, root: Path, name: str, funnel: str | None = None) -> Snapshot | str:
    """The snapshot of that name: `current`, `files` (those below `root`), a folder, or a revision's id, cut short or
    not. Else a sentence: why there is none."""
    if name == FILES or "/" in name:
        return _on_disk(root if name == FILES else Path(name), funnel)
    with reading(tools.engine) as connection:
        if name == CURRENT:
            current = revisions.current(connection)
            found = [(id_, each) for each, id_ in current.items() if funnel in (None, each)]
        else:
            found = list(revisions.named(connection, name, funnel).items())
        if len(found) != 1:
            return _which(name, found)
        stored = revisions.files(connection, found[0][0])
    assert stored is not None, "it was found"
    return Snapshot(found[0][0], *stored)


def _on_disk(root: Path, funnel: str | None) -> Snapshot | str:
    names = [name for name in content.names(root) if funnel in (None, name)]
    if len(names) != 1:
        return _which(str(root), [("", name) for name in names])
    files = content.read_folder(root, names[0])
    return Snapshot(content.revision_id(files), names[0], files)


def _which(name: str, found: list[tuple[str, str]]) -> str:
    if not found:
        return f"There is no revision {name!r}; `funnel revisions` lists them."
    candidates = ", ".join(f"{funnel} {id_[:12]}".strip() for id_, funnel in found)
    return f"{name!r} could be several: {candidates}. Name the funnel with --funnel, or more of the id."


def compare(before: Snapshot, after: Snapshot) -> Difference:
    """What differs. Raises ContentError for files that cannot be read as a funnel."""
    old, new = (content.parse(each.funnel, each.files) for each in (before, after))
    lessons = changes(old, new)
    told = {path for path in (*before.files, *after.files) if path.startswith(f"emails/{after.funnel}/")}
    told -= {path for path in told if "/snippets/" in path}
    paths = sorted({*before.files, *after.files} - told)
    diffs = {path: _diff(before.files.get(path, b""), after.files.get(path, b"")) for path in paths}
    return Difference(lessons, {path: lines for path, lines in diffs.items() if lines})


def _diff(before: bytes, after: bytes) -> tuple[str, ...]:
    old, new = (each.decode("utf-8", "replace").splitlines() for each in (before, after))
    lines = unified_diff(old, new, lineterm="", n=0)
    return tuple(line for line in lines if not line.startswith(("---", "+++")))


def export(snapshot: Snapshot, folder: Path) -> str | None:
    """Writes a snapshot's files below a folder, byte for byte. Else a sentence: why not."""
    taken = [path for path in snapshot.files if (folder / path).exists()]
    if taken:
        return f"{folder / taken[0]} is there already; name an empty folder."
    for path, text in snapshot.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text)
    return None


def unpublished(tools: Tools, root: Path) -> dict[str, list[str]]:
    """Funnel → the files that are not as they are published; one with an empty list is published and not on disk."""
    with reading(tools.engine) as connection:
        current = revisions.current(connection)
        stored = {name: (revisions.files(connection, id_) or ("", {}))[1] for name, id_ in current.items()}
    differing: dict[str, list[str]] = {}
    for name in sorted({*content.names(root), *stored}):
        files = content.read_folder(root, name)
        known = stored.get(name, {})
        paths = [path for path in sorted({*files, *known}) if files.get(path) != known.get(path)]
        if not files:
            differing[name] = []
        elif paths:
            differing[name] = paths
    return differing


def finding(tools: Tools, root: Path) -> list[Finding]:
    """What the doctor says of the files beside what is published; nothing where the database does not answer."""
    try:
        differing = unpublished(tools, root)
    except SQLAlchemyError:
        return []  # told of elsewhere
    except content.ContentError as error:
        return [Finding(Level.WARN, "content", f"{len(error.problems)} files cannot be read", "Run `funnel check`.")]
    if not differing:
        return [Finding(Level.OK, "content", "the files are what is published")]
    says = "; ".join(
        f"{name}: {len(paths)} files differ" if paths else f"{name}: no files here" for name, paths in differing.items()
    )
    return [
        Finding(Level.WARN, "content", says, "`funnel diff current files` shows it, `funnel publish` publishes it.")
    ]
