"""SendGrid's event webhook: its signature, and what its JSON says, boiled down to what we keep."""

import base64
import binascii
import hashlib
import re
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from funnel.core.event import POSITIONS, Event, kind_of, why

OLDEST_MS = 25 * 3_600_000  # SendGrid tries again for 24 hours
AHEAD_MS = 10 * 60_000
LONGEST_SIGNATURE = 200  # characters of base64; a P-256 signature has 96
LATEST_S = 10**11
_SECONDS = re.compile(r"[0-9]{1,12}")
_BATCH = re.compile(r"([0-9a-f]{32})\.([1-9][0-9]{0,3})")
_POSITION = re.compile(r"[0-9]{1,3}")
_HASH = ECDSA(Prehashed(SHA256()))


class Signed(StrEnum):
    """What a request's signature is worth."""

    TRUE = "true"
    FALSE = "false"  # missing or wrong
    DAMAGED = "damaged"
    STALE = "stale"  # or from the future


class Told(NamedTuple):
    """Events with our arguments, and how many had arguments like ours that make no sense."""

    events: list[Event]
    strange: int


class Webhook:
    """Checks signatures with the public key that SendGrid shows: base64 of a DER SubjectPublicKeyInfo on P-256."""

    def __init__(self, key: str) -> None:
        """Raises ValueError for anything else."""
        try:
            found = load_der_public_key(base64.b64decode(key, validate=True))
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("not a public key") from None
        if not isinstance(found, EllipticCurvePublicKey) or not isinstance(found.curve, SECP256R1):
            raise ValueError("not a public key on P-256")
        self._key = found

    def check(self, signature: str, timestamp: str, body: bytes, now_ms: int) -> Signed:
        """Whether `body` is what SendGrid signed, lately. `signature` is base64, `timestamp` epoch seconds."""
        if not signature or not timestamp:
            return Signed.FALSE
        if not _SECONDS.fullmatch(timestamp) or len(signature) > LONGEST_SIGNATURE:
            return Signed.DAMAGED
        try:
            raw = base64.b64decode(signature, validate=True)
        except (ValueError, binascii.Error):
            return Signed.DAMAGED
        if not now_ms - OLDEST_MS <= int(timestamp) * 1000 <= now_ms + AHEAD_MS:
            return Signed.STALE
        digest = hashlib.sha256(timestamp.encode())
        digest.update(body)
        try:
            self._key.verify(raw, digest.digest(), _HASH)
        except InvalidSignature:
            return Signed.FALSE
        return Signed.TRUE


def read(body: bytes) -> Told | None:
    """The events in a body; None when it is not a JSON list of objects. Events of somebody else's mail are left out."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        return None
    told = [_event(each) for each in found if "batch" in each]
    events = [each for each in told if each]
    return Told(events, len(told) - len(events))


def _event(raw: dict[str, Any]) -> Event | None:
    name, position = _match(_BATCH, raw["batch"]), _match(_POSITION, raw.get("position"))
    kind, seconds = raw.get("event"), raw.get("timestamp")
    if not name or not position or not isinstance(kind, str) or type(seconds) is not int:
        return None
    if not 0 < seconds < LATEST_S or int(position[0]) >= POSITIONS:
        return None
    kept = kind_of(kind)
    reason = why(kept, *(_text(raw, part) for part in ("type", "reason", "status")))
    return Event(name[1], int(name[2]), int(position[0]), kept, reason, seconds * 1000)


def _match(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    return pattern.fullmatch(value) if isinstance(value, str) else None


def _text(raw: dict[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""
