"""Words that do not belong: diagnostic ones, graphic ones, and those that tell the topic where anybody may look."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from funnel.core.lesson import fields, mark
from funnel.lint.finding import Finding
from funnel.lint.lexicon import lexicon
from funnel.lint.subject import Subject
from funnel.lint.texts import Passage

_LINK = re.compile(r"\]\(([^)\s]+)\)")
# What an inbox, a notification, a browser's tab or its history shows: (end of the file's name, key, code).
_SHOWN = (
    (".md", "subject", "DS701"),
    (".md", "preview", "DS701"),
    ("funnel.toml", "sender.name", "DS701"),
    ("funnel.toml", "title", "DS702"),
    (".md", "title", "DS702"),
)


def diagnostic_and_graphic(subject: Subject) -> Iterator[Finding]:
    for passage, known in subject.spoken():
        for code, kind, pattern in (
            ("TX501", "a diagnostic word", known.diagnostic),
            ("TX502", "a graphic word", known.graphic),
        ):
            for found in known.found(pattern, passage.text):
                yield _finding(passage, code, found, f"“{found[0]}” is {kind}")


def discreet(subject: Subject) -> Iterator[Finding]:
    funnel = subject.funnel
    names = [*funnel.patterns, *(pattern.name.removeprefix("the ") for pattern in funnel.patterns.values())]
    for passage, known in subject.spoken():
        for ending, place, code in _SHOWN:
            if passage.file.endswith(ending) and passage.place == place:
                for found in known.found(known.topic(names), passage.text):
                    yield _finding(passage, code, found, f"“{found[0]}” in the {place} tells the topic")
        for link in _LINK.finditer(passage.text):
            shown = re.sub(r"[-_/.]", " ", _path(link[1]))
            for found in known.found(known.topic(names), shown):
                reason = f"“{found[0]}” in the address of a link tells the topic"
                yield Finding(passage.file, passage.line_of(link.start(1), link[1]), "DS703", reason)
    yield from _addresses(subject, names)


def _addresses(subject: Subject, names: list[str]) -> Iterator[Finding]:
    file, known = f"{subject.here}funnel.toml", lexicon(subject.settings, subject.funnel.locale)
    shown = {"slug": subject.funnel.slug, "sender.address": subject.funnel.sender.address}
    for place, value in shown.items() if known else ():
        for found in known.found(known.topic(names), re.sub(r"[-_/.@]", " ", value)) if known else ():
            yield Finding(file, subject.line(file, place), "DS702", f"“{found[0]}” in the {place} tells the topic")


def _path(target: str) -> str:
    """An outside address, without the fields that become ours."""
    plain = mark(target, dict.fromkeys(fields(target), ""))
    try:
        parts = urlsplit(plain)
    except ValueError:
        return plain
    return f"{parts.netloc} {parts.path} {parts.query}"


def _finding(passage: Passage, code: str, found: re.Match[str], reason: str) -> Finding:
    written = passage.text[found.start() : found.end()]
    return Finding(passage.file, passage.line_of(found.start(), written), code, " ".join(reason.split()))
