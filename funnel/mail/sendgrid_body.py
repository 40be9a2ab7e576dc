"""The body of a SendGrid request as joined bytes.

What a mailing shares is serialized once; of what is each recipient's own, every column is escaped in one piece, and a
single join weaves the columns together. No step costs a Python call per recipient and value.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from weakref import WeakKeyDictionary

import orjson

from funnel.core.lesson import Field
from funnel.mail.compile import Pieces, Template, escape_html
from funnel.mail.message import one_line
from funnel.mail.provider import Mailing, Recipients

# JSON leaves this character as it is. No name or address holds it; a value that does takes the slow way.
_SEPARATOR = "\x7f"
_TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False},
    "open_tracking": {"enable": False},
    "subscription_tracking": {"enable": False},
}
_Column = tuple[bytes, list[bytes]]


@dataclass(frozen=True)
class _Form:
    """A template as JSON: the members "subject" and "content", and the marks its fields have in text and in HTML.

    `lines` are the fields in the subject, whose values are held to a line.
    """

    content: bytes
    lines: frozenset[Field]
    texts: dict[Field, bytes]
    htmls: dict[Field, bytes]


_forms: WeakKeyDictionary[Template, _Form] = WeakKeyDictionary()


def request_body(mailing: Mailing) -> bytes:
    """The request's JSON. Fields travel as substitutions between delimiters that nobody can guess."""
    form = _form(mailing.template)
    shared = {
        "from": {"email": mailing.sender_address, "name": mailing.sender_name},
        "headers": dict(mailing.headers),
        "custom_args": {"batch": f"{mailing.uid}.{mailing.attempt}"},
        "tracking_settings": _TRACKING,
    }
    people = _personalizations(form, Recipients.of(mailing.recipients))
    return b"".join((orjson.dumps(shared)[:-1], b",", form.content, b',"personalizations":[', people, b"]}"))


def _form(template: Template) -> _Form:
    form = _forms.get(template)
    if form is None:
        form = _forms[template] = _new_form(template)
    return form


def _new_form(template: Template) -> _Form:
    def marks(kind: str, *pieces: Pieces) -> dict[Field, str]:
        used = {part for one in pieces for part in one.parts if isinstance(part, Field)}
        every = enumerate(template.fields)
        return {field: f"[{kind}{template.nonce}.{place}]" for place, field in every if field in used}

    texts, htmls = marks("t", template.subject, template.text), marks("h", template.html)
    parts = {"text/plain": _marked(template.text, texts), "text/html": _marked(template.html, htmls)}
    content = {
        "subject": one_line(_marked(template.subject, texts)),
        "content": [{"type": kind, "value": value} for kind, value in parts.items()],
    }
    return _Form(
        orjson.dumps(content)[1:-1],
        frozenset(part for part in template.subject.parts if isinstance(part, Field)),
        {field: orjson.dumps(mark) for field, mark in texts.items()},
        {field: orjson.dumps(mark) for field, mark in htmls.items()},
    )


def _marked(pieces: Pieces, marks: dict[Field, str]) -> str:
    return "".join(part if isinstance(part, str) else marks[part] for part in pieces.parts)


def _personalizations(form: _Form, people: Recipients) -> bytes:
    """Everybody's personalization, with commas between."""
    opening = b'{"to":[{"email":"'
    rest = [*_headers(people), *_substitutions(form, people)]
    woven = zip(
        chain((opening,), repeat(b"," + opening)),
        _in_json(people.addresses),
        *(part for literal, column in rest for part in (repeat(literal), column)),
        repeat(b'"}}'),
        strict=False,  # the literals never end
    )
    return b"".join(chain.from_iterable(woven))


def _headers(people: Recipients) -> Iterator[_Column]:
    """Each column with the JSON before it, from the address's end on."""
    yield b'"}],"headers":{"Message-ID":"', _in_headers(people.message_ids)
    for name, column in people.headers.items():
        yield b'",%b:"' % json.dumps(name).encode(), _in_headers(column)
    yield b'"},"custom_args":{"position":"', [b"%d" % place for place in people.places]


def _substitutions(form: _Form, people: Recipients) -> Iterator[_Column]:
    joint = b'"},"substitutions":{'
    for field in form.texts | form.htmls:
        given = people.values.get(field.name, ("",) * len(people))
        values = given if all(given) else [value or field.fallback for value in given]
        if field in form.lines and not "".join(values).isprintable():
            values = [value if value.isprintable() else one_line(value) for value in values]
        texts, escaped = _in_json(values), _in_html(values)
        if mark := form.texts.get(field):
            yield b'%b%b:"' % (joint, mark), texts
            joint = b'",'
        if mark := form.htmls.get(field):
            yield b'%b%b:"' % (joint, mark), texts if escaped is values else _in_json(escaped)
            joint = b'",'


def _in_json(values: Sequence[str]) -> list[bytes]:
    """Each value as JSON writes it between quotation marks."""
    return _parted(_joined(values), values)


def _in_headers(values: Sequence[str]) -> list[bytes]:
    """The same for values of a header, none of which may break a line."""
    joined = _joined(values)
    if b"\\" not in joined:  # with which JSON writes every control character; no link of ours holds one
        return _parted(joined, values)
    return _in_json([one_line(value) if "\n" in value or "\r" in value else value for value in values])


def _joined(values: Sequence[str]) -> bytes:
    """All of them as JSON in one piece."""
    try:
        return orjson.dumps(_SEPARATOR.join(values))[1:-1]
    except orjson.JSONEncodeError:  # half a surrogate pair: only the standard library writes it, one by one
        return b"\\" + _SEPARATOR.encode() * len(values)


def _parted(joined: bytes, values: Sequence[str]) -> list[bytes]:
    parts = joined.split(_SEPARATOR.encode())
    return parts if len(parts) == len(values) else [json.dumps(value)[1:-1].encode() for value in values]


def _in_html(values: Sequence[str]) -> Sequence[str]:
    """Each value escaped; `values` itself where that changes nothing, as with links."""
    joined = _SEPARATOR.join(values)
    escaped = escape_html(joined)
    if escaped == joined:
        return values
    parts = escaped.split(_SEPARATOR)
    return parts if len(parts) == len(values) else [escape_html(value) for value in values]
