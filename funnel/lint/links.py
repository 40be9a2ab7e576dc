"""Links and pictures: what they say to somebody who hears them, or sees them without what is around them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from funnel.lint.finding import Finding
from funnel.lint.lexicon import lexicon, straight
from funnel.lint.subject import Subject
from funnel.lint.texts import Passage

_LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(")
_BARE = re.compile(r"(?<![(\"'=])<?\bhttps?://[^\s)>\]]+>?")


def texts(subject: Subject) -> Iterator[Finding]:
    for passage in subject.passages:
        if not passage.file.endswith(".md") and passage.key not in ("opening", "text", "intro"):
            continue
        known = lexicon(subject.settings, passage.locale)
        empty = known.language.empty_links if known else []
        for link in _LINK.finditer(passage.text):
            said = straight(re.sub(r"[*_.!→»\s]+", " ", link[1]).strip().lower())
            if not said:
                yield _at(passage, link, "LK802", "the link has no text")
            elif said in empty:
                yield _at(passage, link, "LK801", f"“{link[1]}” does not say where the link leads")
        for bare in _BARE.finditer(passage.text):
            yield _at(passage, bare, "LK803", f"{bare[0][:40]} stands there as it is")


def pictures(subject: Subject) -> Iterator[Finding]:
    for rendered in (*subject.mails, *subject.pages):
        looked = _Pictures()
        looked.feed(rendered.html)
        if looked.without:
            yield Finding(rendered.file, 0, "LK804", f"{looked.without} without alternative text in {rendered.name}")


class _Pictures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.without = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        hidden = known.get("aria-hidden") == "true" or "aria-label" in known or known.get("role") == "presentation"
        if (tag == "img" and "alt" not in known) or (tag == "svg" and not hidden):
            self.without += 1


def _at(passage: Passage, found: re.Match[str], code: str, reason: str) -> Finding:
    return Finding(passage.file, passage.line_of(found.start(), found[0]), code, reason)
