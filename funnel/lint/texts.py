"""A funnel's files as texts, and every passage of prose in them, each with the line that it stands on."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from funnel.content import silencers
from funnel.lint import tomls

_LOCALE = re.compile(r"\.([a-z]{2}(?:-[A-Za-z]{2,4})?)\.(?:md|toml)$")
PROSE = frozenset({
    *("text", "because", "name", "opening", "begin", "what", "find", "intro", "title", "description", "subject"),
    *("preview", "protects_by", "promise", "summary", "purpose", "before", "during", "after", "costs", "needs"),
    *("practice", "replies", "sensitive", "course", "course_educator", "offer", "credentials", "touch"),
})  # fmt: skip


@dataclass(frozen=True)
class Passage:
    """`place` is the key path of a value, or "body"; `rows` are the lines of the file from number `first` on."""

    file: str
    place: str
    text: str
    first: int
    rows: tuple[str, ...]
    locale: str

    @property
    def main_file(self) -> str:
        """The file that this one translates, or itself."""
        return _main(self.file)

    @property
    def key(self) -> str:
        return self.place.rpartition(".")[2]

    def line_of(self, start: int, words: str) -> int:
        """The line of the file on which `words`, found at `start`, begin."""
        if self.place == "body":
            return self.first + self.text.count("\n", 0, start)
        wanted = words.split("\n")[0]
        before = self.text.count(wanted, 0, start)
        for number, row in enumerate(self.rows, self.first):
            if before < row.count(wanted):
                return number
            before -= row.count(wanted)
        return self.first


@dataclass(frozen=True)
class File:
    """One file. `text` still holds its silencers."""

    path: str
    text: str
    default_locale: str

    @property
    def locale(self) -> str:
        found = _LOCALE.search(self.path)
        return found[1] if found else self.default_locale

    @property
    def main_path(self) -> str:
        return _main(self.path)

    @cached_property
    def strings(self) -> dict[str, str]:
        """Every text of a TOML file by its key path, prose or not."""
        return dict(_strings(tomllib.loads(self.text), ""))

    @cached_property
    def scan(self) -> tomls.Scan:
        """The TOML in the file: the whole, or the front matter, with the file's own line numbers."""
        if self.path.endswith(".toml"):
            return tomls.scan(self.text)
        return tomls.scan("\n".join(["", *self.text.split("\n")[1 : self._body - 1]])) if self._body else tomls.Scan()

    @cached_property
    def _body(self) -> int:
        """How many lines the front matter takes, both +++ lines included."""
        lines = self.text.split("\n")
        ends = [number for number, line in enumerate(lines, 1) if line.strip() == "+++"]
        return ends[1] if len(ends) > 1 and ends[0] == 1 else 0

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        if self.path.endswith(".toml"):
            return tuple(self._values(tomllib.loads(self.text)))
        lines = self.text.split("\n")
        head = tomllib.loads("\n".join(lines[1 : self._body - 1])) if self._body else {}
        rows = tuple("" if row.startswith(":::") else row for row in lines[self._body :])
        body = Passage(self.path, "body", silencers.strip("\n".join(rows)), self._body + 1, rows, self.locale)
        return (*self._values(head), body)

    @property
    def body_line(self) -> int:
        """The first line of the body that says something."""
        body = self.passages[-1]
        return body.first + next((place for place, row in enumerate(body.text.split("\n")) if row.strip()), 0)

    def _values(self, found: Mapping[str, Any]) -> Iterator[Passage]:
        lines = self.text.split("\n")
        for place, text in _strings(found, ""):
            if place.rpartition(".")[2] in PROSE:
                span = self.scan.spans.get(place) or tomls.Span(self.scan.at(place), self.scan.at(place))
                rows = tuple(lines[span.first - 1 : span.last])
                yield Passage(self.path, place, text, span.first, rows, self.locale)


def _main(path: str) -> str:
    return _LOCALE.sub(lambda found: found[0].removeprefix(f".{found[1]}"), path)


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from _strings(inner, f"{path}[{number}]")
