"""A sink that plays SendGrid: takes any POST, answers 202, and counts. Nothing is checked and nothing is kept."""

import asyncio
import json
import re
from dataclasses import dataclass

ROOM = 1 << 20
RECIPIENT = b'"position"'  # stands once in each recipient's part of a request
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_COUNT = b"GET /count "


@dataclass
class Tally:
    """What a sink has taken. `recipients` stays 0 in an HTTP sink that was not told to count them."""

    requests: int = 0
    recipients: int = 0

    def json(self) -> bytes:
        return json.dumps(vars(self)).encode()


class HttpSink(asyncio.BufferedProtocol):
    """One connection. Requests are answered in turn, `latency_s` after their last byte."""

    def __init__(self, tally: Tally, latency_s: float, counting: bool) -> None:
        self._tally = tally
        self._latency_s = latency_s
        self._counting = counting
        self._room = memoryview(bytearray(ROOM))
        self._head = b""
        self._missing = 0
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, _hint: int) -> memoryview:
        return self._room

    def buffer_updated(self, size: int) -> None:
        data = self._room[:size]
        while data:
            data = self._read_body(data) if self._missing else self._read_head(data)

    def _read_head(self, data: memoryview) -> memoryview:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return data[len(data) :]
        head, rest = self._head[:end], len(self._head) - end - 4
        self._head = b""
        found = _LENGTH.search(head)
        self._missing = int(found[1]) if found else 0
        if head.startswith(_COUNT):
            self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told := self._tally.json()), told))
        elif not self._missing:
            self._answer()
        return data[len(data) - rest :]

    def _read_body(self, data: memoryview) -> memoryview:
        part = data[: self._missing]
        self._missing -= len(part)
        if self._counting:
            self._body.append(bytes(part))
        if not self._missing:
            self._answer()
        return data[len(part) :]

    def _answer(self) -> None:
        self._tally.requests += 1
        answer = b"HTTP/1.1 202 Accepted\r\nX-Message-Id: %022x\r\nContent-Length: 0\r\n\r\n" % self._tally.requests
        if self._latency_s:
            asyncio.get_running_loop().call_later(self._latency_s, self._write, answer)
        else:
            self._write(answer)
        if self._counting:  # after the answer, so that counting delays nobody
            self._tally.recipients += b"".join(self._body).count(RECIPIENT)
            self._body.clear()

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)
