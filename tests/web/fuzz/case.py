"""One request, byte for byte as it goes over the wire."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

Headers = tuple[tuple[bytes, bytes], ...]
LARGEST_HEAD = 60_000  # a little less than the server takes
LARGEST_BODY = 64 * 1024
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\x20\x09\x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_FRAMES = (b"content-length", b"transfer-encoding", b"host", b"upgrade")


class Framing(StrEnum):
    """How the length of the body is told. All but the first three are lies, after which nobody is due an answer."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    SHORT = "less arrives than was told"
    LONG = "more arrives than was told"
    BOTH = "a length and chunks"
    BROKEN = "chunks that are none"
    JUNK = "no HTTP at all"


@dataclass(frozen=True)
class Case:
    """`route` is the path in the application's table that was meant; `host` the name that the service is called by."""

    route: str
    method: bytes
    target: bytes
    host: bytes
    headers: Headers = ()
    body: bytes = b""
    framing: Framing = Framing.NONE
    version: bytes = b"HTTP/1.1"

    @property
    def raw(self) -> bytes:
        if self.framing == Framing.JUNK:
            return self.body
        lines = [b" ".join((self.method, self.target, self.version)), b"Host: " + self.host]
        lines += [name + b": " + value for name, value in (*self.headers, *self._told())]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self._sent()

    @property
    def due(self) -> bool:
        """Whether this is whole and lawful HTTP, to which there must be an answer."""
        told = self.framing in (Framing.NONE, Framing.LENGTH, Framing.CHUNKED) and self.version == b"HTTP/1.1"
        whole = _TOKEN.fullmatch(self.method) and _TARGET.fullmatch(self.target) and self.method != b"CONNECT"
        lawful = all(
            _TOKEN.fullmatch(name) and _VALUE.fullmatch(value) and name.lower() not in _FRAMES
            for name, value in self.headers
        )
        small = len(self.raw) - len(self._sent()) < LARGEST_HEAD and len(self.body) <= LARGEST_BODY
        return bool(told and whole and lawful and small)

    def smaller(self) -> Iterator["Case"]:
        """The same request with something left out, most at first."""
        for place in range(len(self.headers)):
            yield replace(self, headers=self.headers[:place] + self.headers[place + 1 :])
        size = len(self.body)
        while size := size // 2:
            for start in range(0, len(self.body), size):
                yield replace(self, body=self.body[:start] + self.body[start + size :])
        path, mark, _ = self.target.partition(b"?")
        if mark:
            yield replace(self, target=path)

    def __str__(self) -> str:
        return f"{self.route} ({self.framing}), {len(self.raw):,} bytes:\n{self.raw!r}"

    def _told(self) -> Headers:
        length, chunked = (b"Content-Length", b"%d" % len(self.body)), (b"Transfer-Encoding", b"chunked")
        return {
            Framing.NONE: (),
            Framing.LENGTH: (length,),
            Framing.SHORT: ((b"Content-Length", b"%d" % (len(self.body) + 7)),),
            Framing.LONG: ((b"Content-Length", b"%d" % (len(self.body) // 2)),),
            Framing.BOTH: (length, chunked),
        }.get(self.framing, (chunked,))

    def _sent(self) -> bytes:
        if self.framing == Framing.NONE:
            return b""
        if self.framing == Framing.BROKEN:
            return b"zz\r\n" + self.body
        if self.framing in (Framing.CHUNKED, Framing.BOTH):
            half = len(self.body) // 2
            parts = [part for part in (self.body[:half], self.body[half:]) if part]
            return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        return self.body
