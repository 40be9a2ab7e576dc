"""A funnel as it stands in files, or as it stood in a revision, with everything that is needed to render it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from funnel import content
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.store import revisions
from funnel.store.db import reading


@dataclass(frozen=True)
class Draft:
    """`revision_id` names what is in the files, whether it is stored or not. `root` is where its tools' files are."""

    funnel: Funnel
    files: Mapping[str, bytes]
    revision_id: str
    tools: Tools
    root: Path

    @property
    def locales(self) -> tuple[str, ...]:
        """The languages that it can be read in, the main one first."""
        return self.funnel.locales

    def spoken(self, locale: str) -> Funnel:
        """The funnel in one of its languages."""
        return self.funnel.read_in(locale)

    def beside(self, file: str, locale: str) -> str:
        """The translation of a file, where there is one; else the file."""
        stem, _, suffix = file.rpartition(".")
        translated = f"{stem}.{locale}.{suffix}"
        return translated if translated in self.files or (self.root / translated).is_file() else file


def read(tools: Tools, root: Path) -> tuple[dict[str, Draft], list[content.Problem]]:
    """Every funnel below `root` that can be read, by name, and what is wrong with the others."""
    found, problems = {}, []
    for name in content.names(root):
        try:
            files, funnel = content.read_one(root, name)
            found[name] = Draft(funnel, files, content.revision_id(files), tools, root)
        except content.ContentError as error:
            problems += error.problems
    if not problems:
        try:
            content.read_all(root)
        except content.ContentError as error:
            problems += error.problems
    return found, problems


def stored(tools: Tools, root: Path, named: str) -> Draft:
    """A stored revision by its id, or the beginning of one. Raises LookupError when it is not exactly one."""
    url = tools.engine.url
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise LookupError("there is no database yet, and so no revision")  # looking would make an empty one
    try:
        with reading(tools.engine) as connection:
            ids = revisions.beginning_with(connection, named)
            found = revisions.files(connection, ids[0]) if len(ids) == 1 else None
    except SQLAlchemyError as error:
        raise LookupError(f"the database cannot be read ({type(error).__name__})") from None
    if not found:
        raise LookupError("no such revision" if not ids else "more than one revision begins like this")
    name, files = found
    try:
        return Draft(content.parse(name, files), files, ids[0], tools, root)
    except content.ContentError:
        raise LookupError("that revision cannot be read any more") from None
