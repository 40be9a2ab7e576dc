"""Keys from outside the database: sealing, look-up hashes, link MACs and cookies.

A keyring holds master keys by version, the highest one current. Each purpose uses a key of its own, derived from a
master key with HKDF-SHA256, so that what leaks for one purpose opens nothing else.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


class KeyringError(ValueError):
    """The keyring is missing or malformed; the message says what to do and holds no key."""


class Unreadable(ValueError):
    """What was to be opened is forged, damaged, or sealed under another key."""


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


class Keyring:
    """Master keys by version."""

    def __init__(self, masters: dict[int, bytes]) -> None:
        if not masters or any(len(key) != KEY_BYTES for key in masters.values()):
            raise KeyringError("a keyring needs at least one key of 32 bytes")
        self._masters = dict(sorted(masters.items(), reverse=True))
        self.version = next(iter(self._masters))

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """From `version:base64` entries with commas or line ends between them. Raises KeyringError."""
        masters = {}
        for entry in text.replace("\n", ",").split(","):
            if not entry.strip():
                continue
            version, _, encoded = entry.strip().partition(":")
            try:
                number, key = int(version[:9]), base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise KeyringError('keys are written as "1:" and 32 bytes in base64, separated by commas') from None
            if number < 1 or number in masters:
                raise KeyringError("key versions count from 1, and each stands once")
            masters[number] = key
        return cls(masters)

    @classmethod
    def from_file(cls, path: Path) -> "Keyring":
        """Reads the keyring at `path`, or makes one there that only its owner can read."""
        if not path.exists():
            made = f"1:{base64.b64encode(new_key()).decode()}\n"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(made)
        return cls.parse(path.read_text())

    def wrap(self, key: bytes, context: bytes) -> tuple[int, bytes]:
        """A subscriber's key, wrapped under the current version: (version, wrapped)."""
        return self.version, seal(self._derived("wrap")[self.version], key, context)

    def unwrap(self, version: int, wrapped: bytes, context: bytes) -> bytes:
        """The inverse of `wrap`. Raises Unreadable."""
        if version not in self._masters:
            raise Unreadable
        return _unseal(self._wrappers[version], wrapped, context)

    def address_hashes(self, address: str) -> list[bytes]:
        """HMAC-SHA256 of the normalized address under every version's look-up key, the current one first."""
        normalized = address.strip().lower().encode()
        return [hmac.digest(key, normalized, "sha256") for key in self._derived("lookup").values()]

    def open(self, version: int, wrapped: bytes, wrapped_context: bytes, sealed: bytes, context: bytes) -> bytes:
        """Unwraps a key and unseals with it, at once: what a mail costs for each of its readers. Raises Unreadable."""
        try:
            key = self._wrappers[version].decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], wrapped_context)
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError, KeyError) as error:
            raise Unreadable from error

    @cached_property
    def _wrappers(self) -> dict[int, AESGCM]:
        return {version: AESGCM(key) for version, key in self._derived("wrap").items()}

    @cached_property
    def link_key(self) -> bytes:
        return self._derived("links")[self.version]

    @cached_property
    def tag_key(self) -> bytes:
        """For opaque names in Redis: of domains, and of who has had what."""
        return self._derived("tags")[self.version]

    @property
    def link_keys(self) -> Iterable[bytes]:
        """Every version's: a link that never expires must outlive a rotation."""
        return self._derived("links").values()

    def seal_cookie(self, plain: bytes, name: str) -> str:
        return base64.urlsafe_b64encode(seal(self._derived("cookie")[self.version], plain, name.encode())).decode()

    def open_cookie(self, text: str, name: str) -> bytes:
        """Raises Unreadable."""
        try:
            raw = base64.b64decode(text, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error) as error:
            raise Unreadable from error
        return self._open_with_any("cookie", raw, name.encode())

    def form_keys(self, browser: str) -> list[bytes]:
        """By which forms are stamped for one browser, the current version's first."""
        return [hmac.digest(key, browser.encode(), "sha256") for key in self._derived("forms").values()]

    def seal_asked(self, plain: bytes) -> bytes:
        """What somebody asked for, until it is known whose key it belongs under."""
        return seal(self._derived("asked")[self.version], plain, b"asked")

    def open_asked(self, sealed: bytes) -> bytes:
        """The inverse of `seal_asked`, under any version. Raises Unreadable."""
        return self._open_with_any("asked", sealed, b"asked")

    def _open_with_any(self, purpose: str, sealed: bytes, context: bytes) -> bytes:
        for key in self._derived(purpose).values():
            try:
                return unseal(key, sealed, context)
            except Unreadable:
                continue
        raise Unreadable

    @cached_property
    def _keys(self) -> dict[str, dict[int, bytes]]:
        return {}

    def _derived(self, purpose: str) -> dict[int, bytes]:
        if purpose not in self._keys:
            self._keys[purpose] = {
                version: HKDF(SHA256(), KEY_BYTES, salt=None, info=f"funnel {purpose}".encode()).derive(master)
                for version, master in self._masters.items()
            }
        return self._keys[purpose]
