"""A recipient's message as MIME. What everybody shares is encoded once per template; a recipient costs a join."""

from collections.abc import Callable
from datetime import UTC, datetime
from email import quoprimime
from email.header import Header
from email.utils import format_datetime, formataddr
from weakref import WeakKeyDictionary

from funnel.core.lesson import Field
from funnel.mail.compile import Pieces, Template, escape_html, value_of
from funnel.mail.provider import Mailing, Recipient

_SOFT_BREAK = b"=\r\n"
_Encoded = tuple[bytes | Field, ...]
_encoded: WeakKeyDictionary[Template, tuple[_Encoded, _Encoded]] = WeakKeyDictionary()


def to_mime(mailing: Mailing, recipient: Recipient) -> bytes:
    """The whole message with CRLF line ends, every line of the body at most 76 characters."""
    template = mailing.template
    boundary = f"=_{template.nonce}"  # "=_" cannot stand in quoted-printable text
    text, html = _parts(template)
    headers = {
        "From": formataddr((mailing.sender_name, mailing.sender_address)),
        "To": recipient.address,
        "Subject": _header("Subject", one_line(template.subject.join(recipient.values))),
        "Date": format_datetime(datetime.fromtimestamp(mailing.date_ms // 1000, UTC)),
        "Message-ID": recipient.message_id,
        **mailing.headers,
        **recipient.headers,
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="{boundary}"',
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    delimiter = f"--{boundary}\r\n".encode()
    return b"".join(
        (
            head.encode("ascii"),
            b"\r\n",
            delimiter,
            _part_head("plain"),
            _join(text, recipient, str),
            b"\r\n",
            delimiter,
            _part_head("html"),
            _join(html, recipient, escape_html),
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )


def one_line(text: str) -> str:
    """`text` as a header may hold it: no line ends or other control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _header(name: str, value: str) -> str:
    plain = value.isascii() and "=?" not in value and len(value) < 900
    return value if plain else Header(value, "utf-8", header_name=name).encode(linesep="\r\n")


def _part_head(subtype: str) -> bytes:
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    return head.encode()


def _parts(template: Template) -> tuple[_Encoded, _Encoded]:
    if template not in _encoded:
        _encoded[template] = (_encode(template.text), _encode(template.html))
    return _encoded[template]


def _encode(pieces: Pieces) -> _Encoded:
    return tuple(part if isinstance(part, Field) else _quoted_printable(part) for part in pieces.parts)


def _join(parts: _Encoded, recipient: Recipient, escape: Callable[[str], str]) -> bytes:
    # A soft break on either side of a value keeps every line short wherever the value falls.
    return b"".join(
        part
        if isinstance(part, bytes)
        else _SOFT_BREAK + _quoted_printable(escape(value_of(part, recipient.values))) + _SOFT_BREAK
        for part in parts
    )


def _quoted_printable(text: str) -> bytes:
    # 75, so that the soft break behind the last line still fits.
    return quoprimime.body_encode(text.encode().decode("latin-1"), 75, "\r\n").encode("ascii")
