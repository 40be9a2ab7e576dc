"""Keys from outside the database: sealing, look-up hashes, link MACs and cookies.

A keyring holds master keys by version. Each purpose uses a key of its own, derived from a master key with HKDF-SHA256,
so that what leaks for one purpose opens nothing else. Which version seals people is decided by a rotation, not by who
has been given it first (see funnel/flow/rotation.py); links and cookies, which every process must be able to open, are
made with the oldest version that is whole. A retired version has left only what nothing else can replace.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
RETIRED = "retired"
LASTING = ("lookup", "links", "cookie")  # what a retired version keeps: everything but the key that opens people
PURPOSES = ("wrap", "tags", "forms", "asked", *LASTING)


class KeyringError(ValueError):
    """The keyring is missing or malformed; the message says what to do and holds no key."""


class Unreadable(ValueError):
    """What was to be opened is forged, damaged, or sealed under another key."""


class Outdated(RuntimeError):
    """A newer version is in use than this process has: it must be started anew, with the keyring of today."""


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """AES-256-GCM: a random nonce, then the ciphertext. `context` is bound in and must be the same on opening."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """The inverse of `seal`. Raises Unreadable."""
    return _unseal(AESGCM(key), sealed, context)


def _unseal(cipher: AESGCM, sealed: bytes, context: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise Unreadable from error


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def fresh_entry(version: int) -> str:
    """A new master key, as a keyring writes it."""
    return f"{version}:{base64.b64encode(new_key()).decode()}"


class Keyring:
    """Master keys by version, and of retired versions the keys that they have left."""

    def __init__(
        self,
        masters: Mapping[int, bytes],
        retired: Mapping[int, bytes] | None = None,
        source: "Callable[[], Keyring] | None" = None,
    ) -> None:
        """`source` reads the keyring anew, where that can be: whoever meets a newer version looks there."""
        if not masters or any(len(key) != KEY_BYTES for key in masters.values()):
            raise KeyringError("a keyring needs at least one key of 32 bytes")
        self._keys = _Keys.of(masters, retired or {})
        self._source = source

    @classmethod
    def parse(cls, text: str, source: "Callable[[], Keyring] | None" = None) -> "Keyring":
        """From `version:base64` entries with commas or line ends between them. Raises KeyringError."""
        masters: dict[int, bytes] = {}
        retired: dict[int, bytes] = {}
        for entry in text.replace("\n", ",").split(","):
            if not entry.strip():
                continue
            name, _, encoded = entry.strip().partition(":")
            version, _, kind = name.partition("-")
            try:
                number, key = int(version[:9]), base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise KeyringError('keys are written as "1:" and 32 bytes in base64, separated by commas') from None
            if number < 1 or number in masters or number in retired:
                raise KeyringError("key versions count from 1, and each stands once")
            if kind not in ("", RETIRED) or (kind and len(key) != len(LASTING) * KEY_BYTES):
                raise KeyringError("a retired key is written as `funnel keys retire` writes it; copy it again, whole")
            (retired if kind else masters)[number] = key
        return cls(masters, retired, source)

    @property
    def version(self) -> int:
        """The newest version that can seal."""
        return max(self._keys.wrappers)

    @property
    def whole(self) -> set[int]:
        """The versions that open what is wrapped under them."""
        return set(self._keys.wrappers)

    @property
    def retired(self) -> set[int]:
        return set(self._keys.of_purpose["lookup"]) - self.whole

    def retired_entry(self, version: int) -> str:
        """What is left of a version once nobody is wrapped under it, as a keyring writes it."""
        left = b"".join(self._keys.of_purpose[purpose][version] for purpose in LASTING)
        return f"{version}-{RETIRED}:{base64.b64encode(left).decode()}"

    def refresh(self) -> None:
        """Reads the keyring anew, where that can be; one that cannot be read changes nothing."""
        if self._source:
            with suppress(KeyringError):
                self._keys = self._source()._keys

    def wrap(self, key: bytes, context: bytes, version: int | None = None) -> tuple[int, bytes]:
        """A subscriber's key, wrapped under a version, or the newest one: (version, wrapped). Raises Outdated."""
        chosen = version or self.version
        nonce = os.urandom(NONCE_BYTES)
        return chosen, nonce + self._wrapper(chosen).encrypt(nonce, key, context)

    def unwrap(self, version: int, wrapped: bytes, context: bytes) -> bytes:
        """The inverse of `wrap`. Raises Unreadable or Outdated."""
        return _unseal(self._wrapper(version), wrapped, context)

    def open(self, version: int, wrapped: bytes, wrapped_context: bytes, sealed: bytes, context: bytes) -> bytes:
        """Unwraps a key and unseals with it, at once: what a mail costs for each of its readers.

        Raises Unreadable or Outdated.
        """
        wrapper = self._keys.wrappers.get(version) or self._wrapper(version)
        try:
            key = wrapper.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], wrapped_context)
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise Unreadable from error

    def address_hashes(self, address: str, in_use: int | None = None) -> list[bytes]:
        """HMAC-SHA256 of the normalized address under every version's look-up key.

        That of the version in use comes first, or else the newest one's. Raises Outdated when that is not here.
        """
        first = self.version if in_use is None else in_use
        self._wrapper(first)
        keys = self._keys.of_purpose["lookup"]
        normalized = address.strip().lower().encode()
        order = (first, *(version for version in keys if version != first))
        return [hmac.digest(keys[version], normalized, "sha256") for version in order]

    @property
    def link_key(self) -> bytes:
        return self._keys.shared("links")

    @property
    def tag_key(self) -> bytes:
        """For opaque names in Redis: of domains, and of who has had what."""
        return self._keys.shared("tags")

    @property
    def link_keys(self) -> Iterable[bytes]:
        """Every version's: a link that never expires must outlive a rotation."""
        return self._keys.of_purpose["links"].values()

    def seal_cookie(self, plain: bytes, name: str) -> str:
        return base64.urlsafe_b64encode(seal(self._keys.shared("cookie"), plain, name.encode())).decode()

    def open_cookie(self, text: str, name: str) -> bytes:
        """Raises Unreadable."""
        try:
            raw = base64.b64decode(text, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise Unreadable from error
        return self._open_with_any("cookie", raw, name.encode())

    def form_keys(self, browser: str) -> list[bytes]:
        """By which forms are stamped for one browser, the current version's first."""
        return [hmac.digest(key, browser.encode(), "sha256") for key in self._keys.of_purpose["forms"].values()]

    def seal_asked(self, plain: bytes) -> bytes:
        """What somebody asked for, until it is known whose key it belongs under."""
        return seal(self._keys.shared("asked"), plain, b"asked")

    def open_asked(self, sealed: bytes) -> bytes:
        """The inverse of `seal_asked`, under any version. Raises Unreadable."""
        return self._open_with_any("asked", sealed, b"asked")

    def _open_with_any(self, purpose: str, sealed: bytes, context: bytes) -> bytes:
        for key in self._keys.of_purpose[purpose].values():
            try:
                return unseal(key, sealed, context)
            except Unreadable:
                continue
        raise Unreadable

    def _wrapper(self, version: int) -> AESGCM:
        if version > self.version:
            self.refresh()
        if found := self._keys.wrappers.get(version):
            return found
        raise Outdated if version > self.version else Unreadable


@dataclass(frozen=True)
class _Keys:
    """What was derived from the master keys: purpose → version → key, the newest version first."""

    of_purpose: Mapping[str, Mapping[int, bytes]]
    wrappers: Mapping[int, AESGCM]

    @classmethod
    def of(cls, masters: Mapping[int, bytes], retired: Mapping[int, bytes]) -> "_Keys":
        versions = {number: _derived(master) for number, master in masters.items()}
        for number, left in retired.items():
            parts = (left[start : start + KEY_BYTES] for start in range(0, len(left), KEY_BYTES))
            versions[number] = dict(zip(LASTING, parts, strict=True))
        newest_first = sorted(versions.items(), reverse=True)
        found = {
            purpose: {number: keys[purpose] for number, keys in newest_first if purpose in keys} for purpose in PURPOSES
        }
        return cls(found, {number: AESGCM(key) for number, key in found["wrap"].items()})

    def shared(self, purpose: str) -> bytes:
        """The oldest whole version's: a process that has been given a newer one is not ahead of the others."""
        return self.of_purpose[purpose][min(self.wrappers)]

    def __repr__(self) -> str:
        return "_Keys()"


def _derived(master: bytes) -> dict[str, bytes]:
    return {
        purpose: HKDF(SHA256(), KEY_BYTES, salt=None, info=f"funnel {purpose}".encode()).derive(master)
        for purpose in PURPOSES
    }
