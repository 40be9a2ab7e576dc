"""Values that nobody types, and bytes with something wrong in them."""

from random import Random

from tests.payloads import PAYLOADS

NUMBERS = ["0", "-1", "1", "11", "12", "9" * 19, "9" * 5000, "1e9", "0x1", "٣", "²", "1 ", " 1", "+1", "1_0", "NaN"]
ADDRESSES = [
    *("a@b", "@", "a@", "a@@b.c", "a b@example.org", '"a b"@example.org', "a@[127.0.0.1]", "ä@example.org"),
    *("a@exämple.org", "a@xn--.org", "a@xn--a.org", f"{'a' * 64}@{'b' * 63}.org", "a" * 300 + "@example.org"),
    *("a@example.org\r\nBcc: b@example.org", "a@example.org\x00", "<a@example.org>", "a@ex\u200bample.org", "a@.org"),
    *("anna@gmial.com", "anna@gmail.con", "A@EXAMPLE.ORG", "a@example.org.", "a@-example.org", "a@１２７.0.0.1"),
]
ZONES = [
    "Europe/Berlin",
    "../../etc/passwd",
    "Europe/../UTC",
    "Europe",
    "/etc/localtime",
    "Etc/GMT+12",
    "\x00",
    "zone.tab",
]
PURPOSES = [
    "sensitive",
    "course",
    "yes",
    "no",
    "none",
    "skip",
    "typed",
    "typed ",
    "One-Click",
    "fawn",
    "fight",
    "de",
    "en",
]
TEXTS = [*NUMBERS, *ADDRESSES, *ZONES, *PURPOSES, *PAYLOADS, "", " ", "\u0301", "\U0001f600" * 40, "\ufeff", "\ufffd"]
RAW = [
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x00",
    b"%",
    b"%zz",
    b"%00",
    b"%ff",
    b"+",
    b"&",
    b"=;",
]
NAMES = [
    *("answer", "go", "pattern", "email", "first_name", "sensitive", "course", "zone", "from", "List-Unsubscribe"),
    *("form", "website", "meant", "work", "locale", "to", "language", "purpose", "sure", "pace-1", "pace-", "pace-x"),
]


def text(rng: Random) -> bytes:
    """The bytes of a value, for a form, a path or a header."""
    if not rng.randrange(4):
        return rng.choice(RAW)
    if not rng.randrange(6):
        return rng.randbytes(rng.randrange(40))
    return rng.choice(TEXTS).encode()


def bent(rng: Random, whole: bytes) -> bytes:
    """Almost the same bytes: one is flipped, some are missing, doubled, added, or in another case."""
    at = rng.randrange(len(whole) + 1)
    kind = rng.randrange(8)
    if kind == 0 and whole:
        at %= len(whole)
        return whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]
    return {
        1: whole[:at],
        2: whole[at:],
        3: whole + whole,
        4: whole[:at] + text(rng) + whole[at:],
        5: whole.swapcase(),
        6: whole + b"=",
    }.get(kind, whole[:-1] + b"A")
