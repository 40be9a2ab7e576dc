"""Discreet mode: what an inbox, a notification, a history or a log of addresses shows does not tell the topic.

What everybody sees, whatever their language, is held to the words of all of the funnel's languages.
"""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

from funnel.core.lesson import fields, mark
from funnel.lint.finding import Finding
from funnel.lint.lexicon import Lexicon, lexicon
from funnel.lint.subject import Subject
from funnel.lint.texts import Passage

SERVICE = "emails/service/"
# By the end of the main file's name and the key. "body" is all that a service mail says: its reader may be a stranger.
_SHOWN = (
    (".md", "subject", "DS701"),
    (".md", "preview", "DS701"),
    (".md", "title", "DS702"),
    ("funnel.toml", "title", "DS702"),
    ("funnel.toml", "sender.name", "DS701"),
)
# Of funnel.toml and its translations: what stands in links, in headers, and below service mails, too.
_PLACES = {
    "slug": "DS702",
    "sender.address": "DS702",
    "controller.postal_address": "DS701",
    "leave_to": "DS703",
    "educator.url": "DS703",
}
_EVENT = re.compile(r":::[ \t]+event[ \t]+([A-Za-z0-9-]+)")
_URL = re.compile(r"(?:https?://|mailto:)[^\s)>\]\"']+")
_ARTICLE = re.compile(r"^(the|a|an|der|die|das|ein|eine) ", re.IGNORECASE)
_LONG = 4  # letters of a name from which on it is found with an ending, too


def texts(subject: Subject) -> Iterator[Finding]:
    """Subjects, previews, senders and titles, and everything that a service mail says."""
    names = {locale: _names(subject, locale) for locale in subject.funnel.locales}
    for passage, known in subject.spoken():
        for code in _codes(passage):
            topic = known.topic(names.get(passage.locale, subject.funnel.patterns))
            for found in known.found(topic, passage.text):
                written = passage.text[found.start() : found.end()]
                line = passage.line_of(found.start(), written)
                yield _finding(passage.file, line, code, written, f"the {passage.place}")


def addresses(subject: Subject) -> Iterator[Finding]:
    """Where pages and senders are, and the events whose names stand in the addresses of their buttons."""
    known, names = list(_lexicons(subject)), _names(subject, *subject.funnel.locales)
    for path, file in subject.files.items():
        shown = []
        if file.main_path.endswith("funnel.toml"):
            shown = [(subject.line(path, place), place, file.strings.get(place, "")) for place in _PLACES]
        elif path.endswith(".md"):
            rows = enumerate(file.text.split("\n"), 1)
            shown = [(line, "event", event[1]) for line, row in rows if (event := _EVENT.match(row))]
        for line, place, text in shown:
            for word in _told(known, names, text):
                yield _finding(path, line, _PLACES.get(place, "DS702"), word, f"the {place}")
    for word in _told(known, names, urlsplit(subject.support_url).netloc):
        yield _finding("FUNNEL_BASE_URL", 0, "DS702", word, "the address of every page")


def links(subject: Subject) -> Iterator[Finding]:
    """Links in any text, however they are written there."""
    known, names = list(_lexicons(subject)), _names(subject, *subject.funnel.locales)
    for passage in subject.passages:
        for link in _URL.finditer(passage.text):
            for word in _told(known, names, _seen(link[0])):
                line = passage.line_of(link.start(), link[0])
                yield _finding(passage.file, line, "DS703", word, "the address of a link")


def _codes(passage: Passage) -> Iterator[str]:
    for ending, place, code in _SHOWN:
        if passage.main_file.endswith(ending) and passage.place == place:
            yield code
    if passage.file.startswith(SERVICE) and passage.place == "body":
        yield "DS701"


def _names(subject: Subject, *locales: str) -> list[str]:
    """What patterns are called in these languages, with their endings."""
    spoken = [subject.funnel.read_in(locale) for locale in locales]
    called = [_ARTICLE.sub("", one.name) for funnel in spoken for one in funnel.patterns.values()]
    return [f"{name}*" if len(name) >= _LONG else name for name in (*subject.funnel.patterns, *called)]


def _lexicons(subject: Subject) -> Iterator[Lexicon]:
    """The words of every language of the funnel, as far as we know them."""
    for locale in subject.funnel.locales:
        if known := lexicon(subject.settings, locale):
            yield known


def _told(known: Sequence[Lexicon], names: list[str], address: str) -> list[str]:
    """The words in an address that tell the topic, each once."""
    plain = re.sub(r"[^\w]|_", " ", address)
    return list(dict.fromkeys(found[0] for each in known for found in each.found(each.topic(names), plain)))


def _seen(target: str) -> str:
    """What an outside address shows of itself, without the fields that become ours."""
    plain = unquote(mark(target, dict.fromkeys(fields(target), "")))
    try:
        parts = urlsplit(plain)
    except ValueError:
        return plain
    return f"{parts.netloc} {parts.path} {parts.query} {parts.fragment}"


def _finding(file: str, line: int, code: str, word: str, where: str) -> Finding:
    return Finding(file, line, code, f"“{' '.join(word.split())}” in {where} tells the topic")
