"""Mails and pages as they reach people: their size, their other part, and the way to support."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from funnel.lint.finding import Finding
from funnel.lint.subject import Rendered, Subject

LARGE, CUT = 80_000, 102_000  # bytes; Gmail cuts at about 102 KB
_LEAST_TEXT = 0.6  # of the HTML's own words


def sizes(subject: Subject) -> Iterator[Finding]:
    for mail in subject.mails:
        size = len(mail.html.encode())
        if size > LARGE:
            yield _at(subject, mail, "ML902" if size > CUT else "ML901", f"{size / 1000:.0f} KB of HTML as {mail.name}")


def other_parts(subject: Subject) -> Iterator[Finding]:
    for mail in subject.mails:
        shown, written = len(words(mail.html)), len((mail.text or "").split())
        if written < shown * _LEAST_TEXT:
            yield _at(subject, mail, "ML903", f"{written} words of text for {shown} of HTML as {mail.name}")


def support(subject: Subject) -> Iterator[Finding]:
    for mail in subject.mails:
        held = {"HTML": f'href="{subject.support_url}"' in mail.html, "text": subject.support_url in (mail.text or "")}
        missing = [part for part, has in held.items() if not has]
        if missing:
            yield _at(subject, mail, "ML904", f"the {' and the '.join(missing)} of {mail.name} has no support link")
    for page in subject.pages:
        if f'href="/{subject.funnel.slug}/support"' not in page.html:
            yield _at(subject, page, "ML904", f"{page.name} has no support link")


def words(html: str) -> list[str]:
    """The words that a reader sees."""
    seen = _Seen()
    seen.feed(html)
    return re.findall(r"\w+", " ".join(seen.texts))


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script", "title"):
            self._unseen += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "title"):
            self._unseen -= 1

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.texts.append(data)


def _at(subject: Subject, found: Rendered, code: str, reason: str) -> Finding:
    file = subject.files.get(found.file)
    return Finding(found.file, file.body_line if file and found.file.endswith(".md") else 0, code, reason)
