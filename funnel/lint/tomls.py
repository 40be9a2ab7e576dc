"""Where the values of a TOML file stand, and its comments: what tomllib does not tell. For files that it can read."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')\s*=")
_QUOTES = ('"""', "'''", '"', "'")


class Span(NamedTuple):
    """Lines, counted from 1, both included."""

    first: int
    last: int

    def holds(self, line: int) -> bool:
        return self.first <= line <= self.last


@dataclass
class Scan:
    """`spans` maps key paths as people count ("questions[3].answers[1].text") to lines; `comments` are (line, text)."""

    spans: dict[str, Span] = field(default_factory=dict)
    comments: list[tuple[int, str]] = field(default_factory=list)

    def at(self, path: str) -> int:
        """The line of a key path, or of the closest one around it that is known; 1 if none is."""
        while path:
            if path in self.spans:
                return self.spans[path].first
            path = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]+)$", "", path)
        return 1


def scan(text: str) -> Scan:
    found = Scan()
    lines = text.split("\n")
    tables: Counter[str] = Counter()
    prefix, row = "", 0
    while row < len(lines):
        if header := _HEADER.match(lines[row]):
            prefix = _table(header[1] == "[[", header[2], tables)
            found.spans.setdefault(re.sub(r"\[\d+\]$", "", prefix), Span(row + 1, row + 1))
            found.spans[prefix] = Span(row + 1, row + 1)
            _comment(found, row, lines[row], lines[row].find("#"))
        elif key := _KEY.match(lines[row]):
            last = _value(found, lines, row, key.end())
            found.spans[f"{prefix}.{key[1].strip(chr(34) + chr(39))}".lstrip(".")] = Span(row + 1, last + 1)
            row = last
        else:
            _comment(found, row, lines[row], lines[row].find("#"))
        row += 1
    return found


def _table(many: bool, name: str, tables: Counter[str]) -> str:
    """The key path of a table, each array on the way at its newest member."""
    parts = [part.strip(" \"'") for part in name.split(".")]
    path = ""
    for place, part in enumerate(parts):
        path = f"{path}.{part}".lstrip(".")
        if many and place == len(parts) - 1:
            tables[path] += 1
        if tables[path]:
            path = f"{path}[{tables[path]}]"
    return path


def _value(found: Scan, lines: list[str], row: int, column: int) -> int:
    """The row in which the value that begins at `column` ends; comments on the way are kept."""
    depth, quote = 0, ""
    while row < len(lines):
        line = lines[row]
        while column < len(line):
            if quote:
                if line[column] == "\\" and quote[0] == '"':
                    column += 2
                elif line.startswith(quote, column):
                    column, quote = column + len(quote), ""
                else:
                    column += 1
            elif opened := next((each for each in _QUOTES if line.startswith(each, column)), ""):
                column, quote = column + len(opened), opened
            elif line[column] == "#":
                _comment(found, row, line, column)
                break
            else:
                depth += (line[column] in "[{") - (line[column] in "]}")
                column += 1
        if depth <= 0 and len(quote) < 3:
            return row
        row, column = row + 1, 0
    return len(lines) - 1


def _comment(found: Scan, row: int, line: str, column: int) -> None:
    if column >= 0:
        found.comments.append((row + 1, line[column:]))
