"""The texts of one funnel, read one by one; problems are gathered, so that nobody has to mend them one at a time."""

import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from funnel import markdown
from funnel.content import silencers
from funnel.content.forms import Form
from funnel.content.kinds import CONTROL_IN_TEXT
from funnel.content.problem import Files, Problem
from funnel.core.lesson import field_problems, fields, mark

_F = TypeVar("_F", bound=Form)
_LINK_STARTS = ("https://", "mailto:", "field:")


class Texts:
    """`used` are the files that have been asked for; `problems` everything that was wrong with them."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.problems: list[Problem] = []
        self.used: set[str] = set()

    def problem(self, file: str, place: object, message: str) -> None:
        self.problems.append(Problem(file, str(place), message))

    def text(self, path: str) -> str | None:
        self.used.add(path)
        if path not in self.files:
            self.problem(path, "", "is missing")
            return None
        try:
            text = self.files[path].decode("utf-8")
        except UnicodeDecodeError as error:
            self.problem(path, f"byte {error.start}", "is not UTF-8 text; save the file as UTF-8")
            return None
        text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        for number, line in enumerate(text.split("\n"), 1):
            if CONTROL_IN_TEXT.search(line):
                self.problem(path, f"line {number}", "holds a control character; delete it")
        return silencers.strip(text) if path.endswith(".md") else text

    def toml(self, path: str, form: type[_F]) -> _F | None:
        text = self.text(path)
        return None if text is None else self.form(path, text, form)

    def form(self, path: str, text: str, form: type[_F]) -> _F | None:
        try:
            return form.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            self.problem(path, "", f"is not TOML: {error}")
        except ValidationError as error:
            for found in error.errors(include_url=False, include_input=False):
                self.problem(path, _place(found["loc"]), _plain(found["type"], found["msg"], found.get("ctx", {})))
        return None

    def strings(self, path: str, table: str, key: str) -> list[str]:
        """The strings under `key` in the tables [[table]], as far as they can be read: for a file with mistakes."""
        try:
            rows = tomllib.loads(self.files[path].decode("utf-8")).get(table)
        except (KeyError, ValueError):
            return []
        found = [row.get(key) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return [each for each in found if isinstance(each, str)]

    def front_matter(self, path: str, form: type[_F]) -> tuple[_F | None, str, int] | None:
        """The form between the +++ lines, the body behind it, and how many lines come before the body."""
        text = self.text(path)
        if text is None:
            return None
        lines = text.split("\n")
        ends = [number for number, line in enumerate(lines) if line.strip() == "+++"]
        if len(ends) < 2 or ends[0] != 0:
            self.problem(path, "line 1", "starts with front matter between two +++ lines")
            return None
        return self.form(path, "\n".join(lines[1 : ends[1]]), form), "\n".join(lines[ends[1] + 1 :]), ends[1] + 1

    def markdown(self, path: str, text: str, known: frozenset[str], line: int) -> None:
        """Reports what must not stand in a Markdown text whose first line is number `line` of its file."""
        for problem in field_problems(text, known, line):
            self.problem(path, f"line {problem.line}", problem.message)
        for message in _markdown_messages(text):
            self.problem(path, f"line {line}", message)

    def markdown_value(self, path: str, place: str, text: str, known: frozenset[str]) -> None:
        """The same for a Markdown text that is the value of a key."""
        for message in [problem.message for problem in field_problems(text, known)] + _markdown_messages(text):
            self.problem(path, place, message)


def _markdown_messages(text: str) -> list[str]:
    marked = mark(text, {field: f"field:{field.name}" for field in fields(text)})
    messages = ["holds HTML; write Markdown"] if "<" in text and markdown.has_html(text) else []
    if "![" in text:
        messages.append("holds an image; mails and pages of a funnel show none")
    messages += [
        f"the link to {target!r} must start with https:// or be a field"
        for target in markdown.links(marked)
        if not target.startswith(_LINK_STARTS)
    ]
    return messages


def _place(location: tuple[int | str, ...]) -> str:
    """A key path as people count: questions[3].answers[1].key"""
    path = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]")
    return path.removeprefix(".")


def _plain(kind: str, message: str, known_of: Mapping[str, Any]) -> str:
    known = {"extra_forbidden": "unknown key; is it a typing mistake?", "missing": "is missing"}
    if kind == "too_long":
        known[kind] = "has {actual_length} entries; {max_length} is the most".format_map(known_of)
    return known.get(kind, message.removeprefix("Value error, "))
