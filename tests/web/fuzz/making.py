"""Makes requests: real ones, with real tokens, cookies and forms, of which most have something wrong with them."""

import json
from collections.abc import Mapping
from random import Random
from urllib.parse import quote, quote_from_bytes

from tests.fakes.webhook import MORE
from tests.payloads import in_header
from tests.web.fuzz import odd
from tests.web.fuzz.case import Case, Framing, Headers
from tests.web.fuzz.known import Filled, Known, Target, fill, some

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X", "get", "P" * 300]
FORM = b"application/x-www-form-urlencoded"
KINDS = [
    *(b"text/plain", b"application/json", b"", b"multipart/form-data", b"multipart/form-data; boundary=", b"\xff/\xff"),
    *(
        b"multipart/form-data; boundary=b",
        b"multipart/form-data; boundary=" + b"b" * 300,
        b"multipart/mixed; boundary=b",
    ),
    *(
        FORM + b"; charset=utf-16",
        FORM + b"; charset=\xff",
        FORM + b", " + FORM,
        b"application/x-www-form-urlencoded;;;",
    ),
]
ODD_HEADERS: Mapping[bytes, list[bytes]] = {
    b"Range": [b"bytes=0-0", b"bytes=-1", b"bytes=5-1", b"bytes=0-,0-,0-", b"bytes=" + b"0-1," * 500, b"lines=1"],
    b"If-Range": [b"x", b"Thu, 01 Jan 1970 00:00:00 GMT"],
    b"If-None-Match": [b"*", b'"x"', b'W/"x"', b"," * 500],
    b"If-Modified-Since": [b"Thu, 01 Jan 1970 00:00:00 GMT", b"Thu, 99 Foo 9999 99:99:99 GMT", b"0", b"-1"],
    b"Origin": [b"null", b"http://[", b"https://elsewhere.example", b"file://", b""],
    b"Sec-Fetch-Site": [b"same-origin", b"cross-site", b"none", b""],
    b"Accept-Language": [b"de", b"de;q=x", b"*;q=0", b"en-" + b"a" * 500, b"," * 900, b"de;q=" + b"9" * 400],
    b"X-Forwarded-For": [
        b"203.0.113.7",
        b"::1",
        b"127.0.0.1",
        b"," * 900,
        b"[::1]:9",
        b"fe80::1%eth0",
        b"1.2.3.4:99999",
    ],
    b"Authorization": [b"Bearer ", b"Bearer \xff", b"Basic YTpi", b"Bearer " + b"x" * 9000],
    b"Expect": [b"100-continue", b"200-ok"],
    b"Connection": [b"close", b"keep-alive, Upgrade", b"Host"],
    b"Upgrade": [b"websocket", b"h2c"],
    b"Content-Encoding": [b"gzip", b"br"],
    b"Transfer-Encoding": [b"gzip, chunked", b"identity"],
    b"Content-Length": [b"0", b"-1", b"9" * 400, b"1, 1", b"\xb2"],
    b"Host": [b"", b"elsewhere.example", b"[", b"a b"],
    b"X" * 2000: [b"y" * 20_000],
    b"X-Junk": [b"\x00", b"a\rb", b"a\nb: c", b"\x7f"],
    b"": [b"no name"],
}
JUNK = [
    *(b"\r\n" * 40, b"\x00" * 99, b"GET", b"GET /", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(b"GET / HTTP/9.9\r\n\r\n", b"GET  /  HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"),
    *(b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    *(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000),
]


def request(rng: Random, known: Known, target: Target) -> Case:
    """A request for this route; one in thirty is no HTTP at all."""
    if not rng.randrange(30):
        body = rng.choice(JUNK) if rng.randrange(3) else odd.bent(rng, _whole(rng, known, target).raw)
        return Case(target.path, b"GET", b"/", known.host.encode(), body=body, framing=Framing.JUNK)
    return _whole(rng, known, target)


def _whole(rng: Random, known: Known, target: Target) -> Case:
    method = rng.choice(target.methods) if rng.randrange(5) else rng.choice(METHODS)
    form = _form(rng, known, target)
    path = form.path if form else "/" + "/".join(quote(part, safe="") for part in fill(rng, known, target.path))
    headers = _cookies(rng, known, form) + _odd_headers(rng)
    body = b""
    if method not in ("GET", "HEAD") or not rng.randrange(20):
        more, body = _signed(rng, known) if target.path.startswith("/hooks/") else _body(rng, form)
        headers += more
    framing = rng.choice([Framing.LENGTH, Framing.CHUNKED]) if body or method == "POST" else Framing.NONE
    if not rng.randrange(25):
        framing = rng.choice([*Framing][:-1])
    version = b"HTTP/1.1" if rng.randrange(40) else rng.choice([b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2", b""])
    named = known.host.encode() if rng.randrange(30) else rng.choice([b"", b"localhost", b"[::1", b"a@b", b"x" * 300])
    return Case(target.path, method.encode(), _target(rng, path), named, headers, body, framing, version)


def _form(rng: Random, known: Known, target: Target) -> Filled | None:
    """A form that a page offered for this route, if one did."""
    offered = known.forms.get(target.path)
    return some(rng, offered) if offered and rng.randrange(4) else None


def _target(rng: Random, path: str) -> bytes:
    """The path as it is told: mostly as it is, else bent, with a query, or in another of the forms that there are."""
    whole = path.encode()
    kind = rng.randrange(40)
    if kind == 0:
        at = rng.randrange(len(whole)) + 1
        return whole[:at] + quote_from_bytes(odd.text(rng)[:3000], safe="").encode() + whole[at:]
    if kind == 1:
        return quote_from_bytes(odd.bent(rng, whole), safe="/%").encode()
    return {
        2: whole + b"?" + quote_from_bytes(odd.text(rng)[:3000], safe="=&").encode(),
        3: whole + b"/",
        4: b"/" + whole,
        5: b"http://elsewhere.example" + whole,
        6: whole.replace(b"/", b"/./"),
        7: odd.bent(rng, whole) if not rng.randrange(4) else whole,
        8: whole + b"%00" if not rng.randrange(4) else whole,
        9: b"*" if not rng.randrange(9) else whole,
    }.get(kind, whole)


def _cookies(rng: Random, known: Known, form: Filled | None) -> Headers:
    ours = form.cookies if form else rng.choice(known.cookies) if known.cookies else ""
    kind = rng.randrange(30)
    if kind == 0:
        name = known.cookie.encode()
        return ((b"Cookie", name + b"=" + in_header(odd.text(rng).decode("latin-1"))),)
    if kind == 1:
        return ((b"Cookie", odd.bent(rng, ours.encode()).translate(None, b"\r\n\x00")),)
    if kind == 2:
        return ((b"Cookie", ours.encode()), (b"Cookie", ours.encode()))
    if kind == 3:
        return ((b"Cookie", b"; ".join([ours.encode()] * 30)[:30_000]),)
    return ((b"Cookie", ours.encode()),) if ours and kind < 29 else ()


def _odd_headers(rng: Random) -> Headers:
    found: list[tuple[bytes, bytes]] = []
    while not rng.randrange(4):
        name = rng.choice(list(ODD_HEADERS))
        found.append((name, rng.choice(ODD_HEADERS[name])))
    return tuple(found)


def _body(rng: Random, form: Filled | None) -> tuple[Headers, bytes]:
    """A form's fields, of which mostly one is odd; or what is no form."""
    if not rng.randrange(8):
        return ((b"Content-Type", rng.choice(KINDS)),), rng.choice(
            [odd.text(rng), b"", rng.randbytes(300), b"a" * 66_000]
        )
    filled = dict(form.fields) if form else {}
    if "email" in filled:
        filled["email"] = f"fuzz{rng.randrange(10**9)}@example.org"
    fields = [(name.encode(), value.encode()) for name, value in filled.items()]
    if not fields:
        fields = [(name.encode(), odd.text(rng)) for name in rng.sample(odd.NAMES, rng.randrange(5))]
    while fields and not rng.randrange(2):
        at = rng.randrange(len(fields))
        name, value = fields[at]
        changed = [(name, odd.text(rng)), (name, odd.bent(rng, value)), (odd.bent(rng, name), value)]
        fields[at : at + 1] = rng.choice([*([each] for each in changed), [], [(name, value)] * 2, [(name, value)] * 25])
    if not rng.randrange(5):
        return _multipart(rng, fields)
    encoded = b"&".join(b"=".join(quote_from_bytes(part).encode() for part in each) for each in fields)
    return ((b"Content-Type", FORM),), odd.bent(rng, encoded) if not rng.randrange(12) else encoded


def _multipart(rng: Random, fields: list[tuple[bytes, bytes]]) -> tuple[Headers, bytes]:
    name = b'\r\nContent-Disposition: form-data; name="'
    file = b'"; filename="x.txt\r\nContent-Type: text/plain' if not rng.randrange(6) else b""
    parts = [b"--b" + name + each.replace(b"\r\n", b"") + file + b'"\r\n\r\n' + value for each, value in fields]
    whole = b"\r\n".join([*parts, b"--b--\r\n"])
    return ((b"Content-Type", b"multipart/form-data; boundary=b"),), whole if rng.randrange(3) else odd.bent(rng, whole)


def _signed(rng: Random, known: Known) -> tuple[Headers, bytes]:
    """What the provider tells, truly signed for the most part, with something odd in it."""
    uid = some(rng, known.batches) if known.batches else "none"
    told: dict[str, object] = {"event": rng.choice([*MORE, "processed", "open", "x"]), "timestamp": 1}
    told |= {"batch": f"{uid}.1", "position": "0", "reason": rng.choice(odd.TEXTS), "status": rng.choice(odd.TEXTS)}
    while not rng.randrange(3):
        told[rng.choice([*told])] = rng.choice([*odd.NUMBERS, 0, 2**70, -1, 1.5, None, [], {}, "x", f"{uid}.9", uid])
    body = json.dumps(rng.choice([[told], [told], [told], [told] * 30, told, [], [[]], None, "x"])).encode()
    body = body if rng.randrange(5) else odd.bent(rng, body)
    signed = tuple((name.encode(), value.encode()) for name, value in known.signed(body).items())
    return signed if rng.randrange(5) else tuple(
        (name, odd.bent(rng, value).translate(None, b"\r\n\x00")) for name, value in signed
    ), body
