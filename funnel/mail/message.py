"""A recipient's message as MIME. What everybody shares is encoded once; a recipient costs a join."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import quoprimime
from email.header import Header
from email.utils import format_datetime, formataddr
from typing import NamedTuple
from weakref import WeakKeyDictionary

from funnel.core.lesson import Field
from funnel.mail.compile import Pieces, Template, escape_html, value_of
from funnel.mail.provider import Mailing, Recipient

_SOFT_BREAK = b"=\r\n"
# RFC 2045 allows 76: this leaves room for a dot that becomes =2E, and for the soft break behind the last line.
_LINE = 73
_SAFE = re.compile(r"[ !#-%(-;?-~]*")  # neither quoted-printable nor HTML changes any of it: no = and no "&'<>
_OWN_HEAD, _SHARED_HEAD, _BODY = 1, 2, 3


class _Body(NamedTuple):
    """Everything below the headers, with nothing where the holes are; of each field, its holes in text and in HTML."""

    parts: tuple[bytes, ...]
    holes: tuple[tuple[Field, list[int], list[int]], ...]


_bodies: WeakKeyDictionary[Template, _Body] = WeakKeyDictionary()


class Writer:
    """Writes the messages of one mailing. A header is the mailing's or the recipient's, never both's."""

    def __init__(self, mailing: Mailing) -> None:
        template = mailing.template
        sender = formataddr((mailing.sender_name, mailing.sender_address))
        body = _body(template)
        self._pieces = template.subject
        self._subject = None if _has_fields(template.subject) else _subject(template.subject.join({}))
        self._parts = [_lines({"From": sender}), b"", _shared_head(mailing), *body.parts]
        self._holes = body.holes

    def write(self, recipient: Recipient) -> bytes:
        return b"".join(self.parts(recipient))

    def parts(self, recipient: Recipient) -> list[bytes]:
        """The whole message. Lines end with CRLF, those of the body are at most 76 long, and none begins with a dot."""
        parts = self._parts.copy()
        parts[_OWN_HEAD] = self._own_head(recipient)
        for field, in_text, in_html in self._holes:
            value = value_of(field, recipient.values)
            if _SAFE.fullmatch(value):
                text = html = _between_soft_breaks(_cut(value))
            else:
                text = _between_soft_breaks(_quoted_printable(value))
                html = _between_soft_breaks(_quoted_printable(escape_html(value)))
            for place in in_text:
                parts[place] = text
            for place in in_html:
                parts[place] = html
        return parts

    def _own_head(self, recipient: Recipient) -> bytes:
        subject = self._subject
        if subject is None:
            subject = _subject(self._pieces.join(recipient.values))
        head = f"To: {recipient.address}\r\nSubject: {subject}\r\nMessage-ID: {recipient.message_id}\r\n"
        return head.encode("ascii") + _lines(recipient.headers)


def to_mime(mailing: Mailing, recipient: Recipient) -> bytes:
    """One message, as `Writer` writes it; many of one mailing share a Writer."""
    return Writer(mailing).write(recipient)


def one_line(text: str) -> str:
    """`text` as a header may hold it: no line ends or other control characters."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())


def _has_fields(pieces: Pieces) -> bool:
    return any(isinstance(part, Field) for part in pieces.parts)


def _subject(text: str) -> str:
    line = one_line(text)
    plain = line.isascii() and "=?" not in line and len(line) < 900
    return line if plain else Header(line, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _shared_head(mailing: Mailing) -> bytes:
    date = format_datetime(datetime.fromtimestamp(mailing.date_ms // 1000, UTC))
    kind = f'multipart/alternative; boundary="{_boundary(mailing.template)}"'
    return _lines({"Date": date, **mailing.headers, "MIME-Version": "1.0", "Content-Type": kind})


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("ascii")


def _boundary(template: Template) -> str:
    return f"=_{template.nonce}"  # "=_" cannot stand in quoted-printable text


def _body(template: Template) -> _Body:
    if (known := _bodies.get(template)) is None:
        _bodies[template] = known = _encoded(template)
    return known


def _encoded(template: Template) -> _Body:
    boundary = _boundary(template)
    parts: list[bytes] = []
    holes: dict[Field, tuple[list[int], list[int]]] = {}
    for kind, (subtype, pieces) in enumerate((("plain", template.text), ("html", template.html))):
        parts.append(f"\r\n--{boundary}\r\n{_part_head(subtype)}".encode())
        for part in pieces.parts:
            if isinstance(part, Field):
                holes.setdefault(part, ([], []))[kind].append(_BODY + len(parts))
            parts.append(b"" if isinstance(part, Field) else _quoted_printable(part))
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return _Body(tuple(parts), tuple((field, *places) for field, places in holes.items()))


def _part_head(subtype: str) -> str:
    return f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'


def _between_soft_breaks(encoded: bytes) -> bytes:
    """A value for any place in a line: the breaks keep every line short, and start a fresh one behind it."""
    return _SOFT_BREAK + encoded + _SOFT_BREAK


def _cut(safe: str) -> bytes:
    if "." in safe[::_LINE]:
        return _quoted_printable(safe)
    return "=\r\n".join([safe[start : start + _LINE] for start in range(0, len(safe), _LINE)]).encode("ascii")


def _quoted_printable(text: str) -> bytes:
    """Every segment begins a line, and no line begins with a dot: nothing is left for SMTP to stuff."""
    encoded = quoprimime.body_encode(text.encode().decode("latin-1"), _LINE, "\r\n").encode("ascii")
    encoded = encoded.replace(b"\r\n.", b"\r\n=2E")
    return b"=2E" + encoded[1:] if encoded.startswith(b".") else encoded
