"""What the mail tests write to Alice, Bob and Charlie, and how they read what arrived."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from html.parser import HTMLParser

from funnel.core.delivery import Kind
from funnel.core.lesson import Field, Source, parse_blocks
from funnel.core.sequence import Funnel
from funnel.flow import compose
from funnel.flow.compose import envelope
from funnel.flow.tools import Tools
from funnel.mail.compile import Pieces, Template, escape_html
from funnel.mail.message import one_line
from funnel.mail.provider import Mailing, Recipient
from tests.conftest import BASE_URL, NOON_MS

UID = "0123456789abcdef0123456789abcdef"
HOSTILE = 'Bob <b>&"x'
FRAME = {
    "kind": Kind.LESSON,
    "title": "House Notes",
    "locale": "en",
    "replies": "Nobody reads replies.",
    "support_url": f"{BASE_URL}/house/support",
    "privacy_url": f"{BASE_URL}/house/privacy",
    "yours_url": f"{BASE_URL}/house/data",
    "link_only": False,
}
PEOPLE = {"alice@example.org": "Alice", "bob@example.org": HOSTILE, "charlie@example.org": ""}


@dataclass(frozen=True)
class Arrived:
    """One mail as its reader's program shows it."""

    subject: str
    text: str
    html: str
    headers: Mapping[str, str]


def recipient(place: int, address: str, first_name: str = "") -> Recipient:
    links = {
        f"{name}_url": f"{BASE_URL}/{name[0]}/Zm9v{place:04}"
        for name in ("read", "unsubscribe", "choose", "confirm", "data")
    }
    return Recipient(
        key=f"lesson-{place:08}",
        address=address,
        message_id=f"<Zm9v{place:04}@example.org>",
        values={"first_name": first_name, **links},
        headers={"List-Unsubscribe": f"<{links['unsubscribe_url']}>"},
        place=place,
    )


def mailing(
    template: Template, funnel: Funnel, people: Mapping[str, str] = PEOPLE, kind: Kind = Kind.LESSON, first: int = 0
) -> Mailing:
    """`template` on its way to `people`, address → first name."""
    recipients = tuple(recipient(place, *person) for place, person in enumerate(people.items(), first))
    if kind == Kind.NOTICE:
        recipients = tuple(one._replace(headers={}) for one in recipients)
    return Mailing(UID, template, recipients=recipients, date_ms=NOON_MS, **envelope(funnel, kind))


def expected(mail: Mailing) -> dict[str, Arrived]:
    """What each address of a mailing should get, put together the plain way."""
    return {
        one.address: Arrived(
            subject=one_line(mail.template.subject.join(one.values)),
            text=mail.template.text.join(one.values),
            html=mail.template.html.join(one.values, escape_html),
            headers={"Message-ID": one.message_id, **mail.headers, **one.headers},
        )
        for one in mail.recipients
    }


def read_mime(raw: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(raw)


def arrived(message: EmailMessage) -> Arrived:
    text, html = message.iter_parts()
    return Arrived(str(message["Subject"]), _content(text), _content(html), {k: str(v) for k, v in message.items()})


def _content(part: MIMEPart) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


def source(body: str, subject: str = "A note", preview: str = "A preview") -> Source:
    blocks, problems = parse_blocks(body)
    assert problems == []
    return Source(subject, preview, blocks)


def template(subject: Iterable[str | Field], text: Iterable[str | Field], html: Iterable[str | Field]) -> Template:
    """A template whose pieces are given, with a fixed nonce."""
    return Template(_pieces(subject), _pieces(text), _pieces(html), "00ff00ff00ff00ff")


def _pieces(parts: Iterable[str | Field]) -> Pieces:
    """The parts with no two texts side by side, as cutting leaves them."""
    merged: list[str | Field] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return Pieces(tuple(merged))


def lesson(tools: Tools, funnel: Funnel, key: str, segment: str = "", revision_id: str = "shipped") -> Template:
    return compose.lesson(tools, funnel, revision_id, key, segment)


def notice(tools: Tools, funnel: Funnel, kind: str) -> Template:
    return compose.notice(tools, funnel, "shipped", kind)


def segments(mail: Source) -> list[str]:
    """The names of all segments of a mail that reads at most one trait."""
    read = {(block.kind, block.argument) for block in mail.blocks if block.kind in mail.traits}
    return ["", *sorted(f"{kind}={argument}" for kind, argument in read)]


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text)


class Page(HTMLParser):
    """An HTML part, read: its tags with attributes, its links, and the words people see, by the class of their cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.seen: dict[str, str] = {}
        self._place = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag in ("td", "title", "style", "div"):
            named = attributes.get("class", tag)
            self._place = named if named in ("head", "body", "foot", "preview") or tag != "div" else self._place

    def handle_data(self, data: str) -> None:
        self.seen[self._place] = self.seen.get(self._place, "") + data

    @property
    def links(self) -> list[str]:
        return [attributes["href"] for tag, attributes in self.tags if tag == "a"]
