"""A sink that plays a mail server with PIPELINING: accepts every message, counts it and forgets it."""

import asyncio
import re

from benchmarks.sink_http import ROOM, Tally

GREETING = b"220 sink ESMTP\r\n"
QUEUED = b"250 2.0.0 queued\r\n"
_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n"
_OK = b"250 2.0.0 ok\r\n"
_GO_ON = b"354 go on\r\n"
_END = b"\r\n.\r\n"
_ENVELOPE = re.compile(rb"MAIL FROM:[^\r\n]*\r\nRCPT TO:[^\r\n]*\r\nDATA\r\n", re.IGNORECASE)
_ANSWERS = {
    b"EHLO": _EHLO,
    b"HELO": b"250 sink\r\n",
    b"MAIL": _OK,
    b"RCPT": _OK,
    b"DATA": _GO_ON,
    b"RSET": _OK,
    b"NOOP": _OK,
    b"QUIT": b"221 2.0.0 bye\r\n",
}


class SmtpSink(asyncio.BufferedProtocol):
    """One connection. Whatever arrives together is read in one go and answered in one write."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._room = memoryview(bytearray(ROOM))
        self._rest = b""
        self._in_message = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(GREETING)

    def get_buffer(self, _hint: int) -> memoryview:
        return self._room

    def buffer_updated(self, size: int) -> None:
        data = self._rest + self._room[:size]
        answers: list[bytes] = []
        place = 0
        while (after := self._step(data, place, answers)) >= 0:
            place = after
        # Of a message only what may be the beginning of its end is kept.
        self._rest = data[max(place, len(data) - len(_END) + 1) :] if self._in_message else data[place:]
        if answers:
            self._transport.write(b"".join(answers))

    def _step(self, data: bytes, place: int, answers: list[bytes]) -> int:
        """Reads one thing from `place` on and returns where it ends, or -1 when it has not arrived in full."""
        if self._in_message:
            end = data.find(_END, place)
            if end < 0:
                return -1
            self._in_message = False
            self._tally.requests += 1
            answers.append(QUEUED)
            return end + len(_END)
        if found := _ENVELOPE.match(data, place):
            self._tally.recipients += 1
            answers.append(_OK + _OK + _GO_ON)
            self._in_message = True
            return found.end() - 2  # this line end may be the first half of an empty message's end
        end = data.find(b"\r\n", place)
        if end < 0:
            return -1
        answers.append(self._answer(data[place:end]))
        return end if self._in_message else end + 2

    def _answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"VRFY":
            return b"252 %b\r\n" % self._tally.json()
        self._tally.recipients += verb == b"RCPT"
        self._in_message = verb == b"DATA"
        if verb == b"QUIT":
            asyncio.get_running_loop().call_soon(self._transport.close)
        return _ANSWERS.get(verb, b"502 5.5.1 not known here\r\n")
