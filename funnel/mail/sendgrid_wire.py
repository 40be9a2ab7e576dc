"""Pooled HTTP connections that tell "nothing was sent" from "nobody knows", and that wait for no one too long.

urllib3 limits the time of each read; here a whole answer has a limit, however slowly it drips. urllib3 reports a failed
TLS handshake as it does a broken answer; here whatever happens before the request is NotConnectedError.
"""

import io
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPResponse
from socket import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

# It would quote a malformed answer, and that may quote an address.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Limits:
    """Seconds. `connect`: for a free connection, then for each address of the server, then for the handshake.

    `write`: the whole request; `answer`: the whole answer. `whole`: all of these but the wait for a free connection.
    A connection that was idle for longer than `idle` is not used again: the server may be closing it just now.
    """

    connect: int = 5
    write: float = 20
    answer: float = 30
    whole: float = 45
    idle: float = 20


LIMITS = Limits()


@dataclass(frozen=True)
class Body:
    """What a request carries, and whether there is still time to send it: asked once its connection stands.

    The system's own look-up of a name has no limit that we could set.
    """

    content: bytes
    in_time: Callable[[], bool]


class NotConnectedError(Exception):
    """There was no connection, and nothing was sent. The cause tells why."""


class TooLateError(Exception):
    """There was a connection, but no time left to begin. Nothing was sent."""


class BrokenAnswerError(OSError):
    """An answer that ended within its head."""


def open_pool(url: str, tls: ssl.SSLContext | None, maxsize: int, limits: Limits) -> urllib3.HTTPConnectionPool:
    """At most `maxsize` connections to `url`, which threads share; whoever finds none free waits."""
    secure = {"ssl_context": tls or ssl.create_default_context()} if url.startswith("https:") else {}
    pool = urllib3.connection_from_url(
        url,
        maxsize=maxsize,
        block=True,
        retries=False,
        timeout=urllib3.Timeout(connect=limits.connect, read=limits.answer, total=limits.whole),
        limits=limits,
        **secure,
    )
    pool.ConnectionCls = _SecureConnection if secure else _PlainConnection
    return pool


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._used = time.monotonic()

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            raise NotConnectedError from error

    def request(self, *args: Any, **options: Any) -> None:
        if time.monotonic() - self._used > self._limits.idle:
            self.close()
        if self.is_closed:
            self.connect()
        body: Body = options["body"]
        if not body.in_time():
            raise TooLateError
        self.timeout = self._limits.write
        if self.sock is not None:
            self.sock.settimeout(self.timeout)
        super().request(*args, **{**options, "body": body.content})

    def getresponse(self) -> Any:
        # By now the pool has set `timeout` to what is left for the answer.
        self._used = time.monotonic()
        deadline = self._used + (self.timeout or 0)
        self.response_class = partial(_Answer, deadline=deadline)  # type: ignore[assignment]
        return super().getresponse()


class _PlainConnection(_Connection):
    """Over TCP."""


class _SecureConnection(_Connection, HTTPSConnection):
    """Over TLS."""


class _Answer(HTTPResponse):
    """The standard library's answer, read against a deadline."""

    def __init__(self, sock: socket, *args: Any, deadline: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._source = _Source(self.fp.detach(), sock, deadline)
        self.fp = io.BufferedReader(self._source)

    def begin(self) -> None:
        super().begin()
        self._source.within_head = False


class _Source(io.RawIOBase):
    """What a socket gives until the deadline. The standard library takes a head that breaks off for a whole one."""

    def __init__(self, raw: io.RawIOBase, sock: socket, deadline: float) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline
        self.within_head = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        if count == 0 and self.within_head:
            raise BrokenAnswerError
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
