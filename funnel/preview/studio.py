"""What the preview shows at the moment: the folder as last saved, or a stored revision, and what the lint says."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from funnel import content
from funnel.flow.tools import Cache
from funnel.lint.finding import Finding
from funnel.preview import examine
from funnel.preview.draft import Draft, read, stored
from funnel.runtime import drafting
from funnel.settings import ROOT, Settings
from funnel.web.pages import HERE
from funnel.web.visit import Site

_WATCHED = ("sequences", "emails")


@dataclass
class State:
    """One version of the files. `findings` is None until the lint has looked; then `looked` is set."""

    version: str
    site: Site | None = None
    drafts: dict[str, Draft] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)
    findings: list[Finding] | None = None
    looked: threading.Event = field(default_factory=threading.Event)


class Studio:
    """Reads again whenever a file has changed. `address` is the preview's own, where all links of the mails lead."""

    def __init__(self, settings: Settings, root: Path, address: str) -> None:
        self._settings = replace(settings, base_url=address)
        self._root = root
        self._lock = threading.Lock()
        self._state = State("")
        self._revisions: Cache[str, Draft] = Cache(8)

    def version(self) -> str:
        """Changes with every saved file, and once more when the lint has looked at it."""
        state = self.state()
        return f"{state.version}{'' if state.findings is None else '+'}"

    def state(self) -> State:
        """The folder as it is now; the lint looks at a new version in its own time."""
        with self._lock:
            version = _fingerprint(self._root)
            if version != self._state.version:
                self._state = self._read(version)
                threading.Thread(target=self._lint, args=(self._state,), daemon=True).start()
            return self._state

    def revision(self, named: str) -> Draft:
        """A stored revision. Raises LookupError."""
        state = self.state()
        if state.site is None:
            raise LookupError("the service mails cannot be read")
        tools = state.site.tools
        return self._revisions.get(f"{state.version} {named}", lambda: stored(tools, self._root, named))

    def _read(self, version: str) -> State:
        try:
            tools = drafting(self._settings, self._root)
        except content.ContentError as error:
            return State(version, problems=examine.as_findings(error.problems, self._root), findings=[])
        drafts, problems = read(tools, self._root)
        site = examine.site(self._settings, tools)
        return State(version, site, drafts, examine.as_findings(problems, self._root))

    def _lint(self, state: State) -> None:
        try:
            if state.site:
                found = {one for draft in list(state.drafts.values()) for one in examine.examine(draft, state.site)[0]}
                state.findings = sorted(found)
        finally:
            state.looked.set()


def _fingerprint(root: Path) -> str:
    """Of the names, sizes and times of everything that a page or mail is made of."""
    digest = hashlib.sha256()
    for path in _files(root):
        try:
            seen = path.stat()
        except OSError:
            continue  # deleted between listing and looking
        digest.update(f"{path} {seen.st_size} {seen.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(root: Path) -> Iterator[Path]:
    for folder in (*(root / name for name in _WATCHED), ROOT / "emails", HERE / "templates", HERE / "static"):
        yield from sorted(path for path in folder.rglob("*") if path.is_file())
