"""Comments that silence a finding for one line, or for the value that begins there; idle ones are findings, too.

`# funnel: allow TX401: why` in TOML, `<!-- funnel: allow TX401: why -->` in Markdown, `{# … #}` in a layout and
`/* … */` in a style sheet; behind the line that it is for, or on a line of its own above it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from funnel.content.silencers import IN_MARKDOWN, SAYS
from funnel.lint.finding import Finding
from funnel.lint.rules import RULES
from funnel.lint.texts import File
from funnel.lint.tomls import Span

_LAYOUT = re.compile(r"\{#[ \t]*funnel: allow [^\n]*?#\}|/\*[ \t]*funnel: allow [^\n]*?\*/")


class Silencer(NamedTuple):
    file: str
    line: int
    code: str
    covers: Span


def apply(findings: Iterable[Finding], files: Mapping[str, File]) -> list[Finding]:
    """What is left of `findings`, and what is wrong with the silencers."""
    silencers = [each for file in files.values() for each in of(file)]
    used: set[Silencer] = set()
    left: set[Finding] = set()
    for finding in findings:
        by = [s for s in silencers if (s.file, s.code) == (finding.file, finding.code) and s.covers.holds(finding.line)]
        used.update(by)
        if not by:
            left.add(finding)
    return sorted([*left, *_idle(silencers, used)])


def _idle(silencers: Iterable[Silencer], used: set[Silencer]) -> Iterator[Finding]:
    for silencer in silencers:
        if silencer.code not in RULES:
            yield Finding(silencer.file, silencer.line, "LN002", f"there is no {silencer.code}")
        elif silencer not in used:
            yield Finding(silencer.file, silencer.line, "LN001", f"nothing here calls for {silencer.code}")


def of(file: File) -> Iterator[Silencer]:
    """The silencers of one file."""
    lines = file.text.split("\n")
    for line, comment in _comments(file, lines):
        alone = not lines[line - 1].replace(comment.strip(), "").strip()
        covers = _covered(file, lines, line + 1 if alone else line)
        for said in SAYS.findall(comment):
            for code in said.split(","):
                yield Silencer(file.path, line, code.strip(), covers)


def _comments(file: File, lines: list[str]) -> Iterator[tuple[int, str]]:
    yield from file.scan.comments
    if not file.path.endswith(".toml"):
        pattern = IN_MARKDOWN if file.path.endswith(".md") else _LAYOUT
        for number, row in enumerate(lines, 1):
            yield from ((number, found) for found in pattern.findall(row))


def _covered(file: File, lines: list[str], line: int) -> Span:
    """The value that stands on `line`, or else the next line that says something."""
    comment = "#" if file.path.endswith(".toml") else "# funnel:"
    while line < len(lines):
        row = IN_MARKDOWN.sub("", lines[line - 1]).strip()
        if row and not row.startswith(comment):
            break
        line += 1
    return next((span for span in file.scan.spans.values() if span.holds(line)), Span(line, line))
