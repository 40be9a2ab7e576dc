"""Links that are keyed MACs of a purpose and an id, stored nowhere; and confirm tokens, stored hashed."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from enum import StrEnum

MAC_BYTES = 16


class Use(StrEnum):
    """What a token is for: a link (also the first part of its path) or a Message-ID. It opens nothing else."""

    READ = "r"
    UNSUBSCRIBE = "u"
    CHOOSE = "o"
    CONFIRM = "c"
    LESSON_ID = "lesson"
    NOTICE_ID = "notice"


def token(key: bytes, use: Use, subject: int) -> str:
    """URL-safe text that names `subject` (a delivery id below 2**48) and proves that we wrote it for `use`."""
    named = subject.to_bytes(6, "big")
    return _text(named + _mac(key, use, named))


def subject_of(keys: Iterable[bytes], use: Use, text: str) -> int | None:
    """The id in a token made for `use` with any of `keys`, or None for everything else."""
    raw = _bytes(text)
    if raw is None or len(raw) != 6 + MAC_BYTES:
        return None
    named, mac = raw[:6], raw[6:]
    if not any(hmac.compare_digest(mac, _mac(key, use, named)) for key in keys):
        return None
    return int.from_bytes(named, "big")


def confirm_token(key: bytes, notice: int, created_ms: int) -> str:
    """The 128-bit token of a confirm mail.

    It follows from the notice, so that a mail built again after a crash carries the same link; only its hash is stored.
    """
    return _text(_mac(key, Use.CONFIRM, notice.to_bytes(8, "big") + created_ms.to_bytes(8, "big")))


def token_hash(text: str) -> bytes | None:
    """What the database keeps of a confirm token; None when `text` cannot be one."""
    raw = _bytes(text)
    return hashlib.sha256(raw).digest() if raw is not None and len(raw) == MAC_BYTES else None


def _mac(key: bytes, use: Use, message: bytes) -> bytes:
    return hmac.digest(key, use.encode() + b"\x00" + message, "sha256")[:MAC_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _text(raw) == text else None
