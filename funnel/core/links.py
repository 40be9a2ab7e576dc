"""Links that are keyed MACs of a purpose and an id, stored nowhere; and tokens of service mails, stored hashed.

The MAC is keyed BLAKE2b (RFC 7693), personalized by its use: half the cost of HMAC-SHA256, and a mail carries several.
"""

import base64
import binascii
import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

NAME_BYTES = 6
MAC_BYTES = 18  # with the name 24 bytes: 32 characters, without padding
CONFIRM_BYTES = 16
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Use(StrEnum):
    """What a token is for: a link (also the first part of its path), a form or a Message-ID. It opens nothing else."""

    READ = "r"
    UNSUBSCRIBE = "u"
    CHOOSE = "o"
    CONFIRM = "c"
    DATA = "d"
    ADDRESS = "a"
    FORM = "form"
    LESSON_ID = "lesson"
    NOTICE_ID = "notice"


def token(key: bytes, use: Use, subject: int) -> str:
    """URL-safe text that names `subject` (a delivery id below 2**48) and proves that we wrote it for `use`."""
    return tokens(key, use, [subject])[0]


def tokens(key: bytes, use: Use, subjects: Iterable[int]) -> list[str]:
    """The token of each subject; many at once cost half."""
    keyed = _keyed(key, use)
    made = []
    for subject in subjects:
        named = subject.to_bytes(NAME_BYTES, "big")
        mac = keyed.copy()
        mac.update(named)
        made.append(b2a_base64(named + mac.digest(), newline=False).translate(_URL_SAFE).decode())
    return made


def subject_of(keys: Iterable[bytes], use: Use, text: str) -> int | None:
    """The id in a token made for `use` with any of `keys`, or None for everything else."""
    raw = _bytes(text)
    if raw is None or len(raw) != NAME_BYTES + MAC_BYTES:
        return None
    named, mac = raw[:NAME_BYTES], raw[NAME_BYTES:]
    if not any(hmac.compare_digest(mac, _mac(key, use, named)) for key in keys):
        return None
    return int.from_bytes(named, "big")


def confirm_token(key: bytes, notice: int, created_ms: int, use: Use = Use.CONFIRM) -> str:
    """The 128-bit token of a service mail's link, for this use alone.

    It follows from the notice, so that a mail built again after a crash carries the same link; only its hash is stored.
    """
    made = _mac(key, use, notice.to_bytes(8, "big") + created_ms.to_bytes(8, "big"))
    return _text(made[:CONFIRM_BYTES])


def token_hash(text: str) -> bytes | None:
    """What the database keeps of such a token; None when `text` cannot be one."""
    raw = _bytes(text)
    return hashlib.sha256(raw).digest() if raw is not None and len(raw) == CONFIRM_BYTES else None


def _mac(key: bytes, use: Use, message: bytes) -> bytes:
    mac = _keyed(key, use).copy()
    mac.update(message)
    return mac.digest()


@lru_cache(64)
def _keyed(key: bytes, use: Use) -> "hashlib.blake2b":
    return hashlib.blake2b(key=key, person=use.encode(), digest_size=MAC_BYTES)


def _text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _text(raw) == text else None
