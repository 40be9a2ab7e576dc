"""One SMTP connection that is logged in. Where the server pipelines (RFC 2920), a message costs a write and a read."""

import contextlib
import re
import smtplib
import socket
from collections import deque
from typing import NamedTuple

LONGEST_LINE = 4096
MOST_LINES = 100
PARTING_S = 2.0
MAIL, RCPT, DATA = range(3)
_CHUNK = 4096
_CODES = {b"%d " % code: code for code in range(200, 600)}
_LESS_USUAL = re.compile(rb"([2-5]\d\d)(-|\r?$)")  # more lines follow, or no text does
_EMPTY_MESSAGE, _RESET, _QUIT = b".\r\n", b"RSET\r\n", b"QUIT\r\n"

Opening = tuple[bytes, bytes, bytes]


class Broken(Exception):
    """The line broke, fell silent, or speaks something that is not SMTP."""


class Answer(NamedTuple):
    """`line` is the last of the answer's lines, with its code."""

    code: int
    line: bytes

    @property
    def is_farewell(self) -> bool:
        """Whether the connection is of no more use: shutting down, too many messages, a full disk.

        A 452 with 4.2.x is about one mailbox.
        """
        return self.code == 421 or (self.code == 452 and not self.line.startswith(b"452 4.2."))


class Opened(NamedTuple):
    """What an opening came to: the first answer that is no grant and the command it is for, or DATA's own."""

    command: int
    answer: Answer

    @property
    def is_granted(self) -> bool:
        return self.command == DATA and self.answer.code == 354

    @property
    def is_about_us(self) -> bool:
        """Whether it is the sender that is refused, not the recipient."""
        return self.command == MAIL or self.answer.code == 530


def opening(sender: str, address: str) -> Opening:
    """The commands that ask for a message to be taken. Both addresses are printable ASCII without spaces, < and >."""
    return f"MAIL FROM:<{sender}>\r\n".encode("ascii"), f"RCPT TO:<{address}>\r\n".encode("ascii"), b"DATA\r\n"


class Session:
    """A transaction is ask, opened and, when granted, deliver and answer. Each of them may raise Broken.

    `settled` counts the transactions that came to an answer; `over`: the server wants no more on this connection.
    """

    def __init__(self, connection: smtplib.SMTP, read_s: float, limit: int) -> None:
        """`connection` is logged in and owes no answer. `limit` is how many transactions it may carry."""
        assert connection.sock is not None
        self.settled = 0
        self.over = False
        self._connection = connection
        self._socket: socket.socket = connection.sock
        self._socket.settimeout(read_s)
        # Without, the last packet of a message waits until those before it are confirmed.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._limit = limit
        self._pipelines = connection.has_extn("pipelining")
        self._asked: Opening = (b"", b"", b"")
        self._owed = b""  # ends a transaction that was refused; travels with the next opening
        self._lines: deque[bytes] = deque()
        self._rest = b""

    @property
    def room(self) -> int:
        """How many more transactions it carries, the one under way included."""
        return 0 if self.over else self._limit - self.settled

    def ask(self, asked: Opening) -> None:
        self._asked = asked
        if self._pipelines:
            self._send(self._owed + b"".join(asked))

    def opened(self) -> Opened:
        """The answer to what was asked last. While it is no grant, nothing of a message has been sent."""
        if self._owed:
            if not self._pipelines:
                self._send(self._owed)
            self._owed = b""
            if (ended := self._answer()).is_farewell:
                return Opened(MAIL, ended)
        found: Opened | None = None
        for command, line in enumerate(self._asked):
            if not self._pipelines:
                self._send(line)
            answer = self._answer()
            if found is None and (command == DATA or answer.code >= 300):
                found = Opened(command, answer)
            if answer.code == 421 or (found and not self._pipelines):
                break
        assert found is not None
        if not found.is_granted:
            self._refused(found, answer.code)
        return found

    def deliver(self, message: list[bytes], following: Opening | None) -> None:
        """Sends the message that was granted: whole lines, none of which begins with a dot. Then asks what follows."""
        message.append(_EMPTY_MESSAGE)
        if following:
            self._asked = following
            if self._pipelines:
                message += following
        self._send(b"".join(message))

    def answer(self) -> int:
        """The code that tells whether the message was taken."""
        found = self._answer()
        if 300 <= found.code < 400:
            raise Broken
        self.settled += not self.over
        return found.code

    def quit(self) -> None:
        """Says goodbye if anybody listens. Raises nothing."""
        with contextlib.suppress(Broken, OSError):
            self._socket.settimeout(PARTING_S)
            for last in (_EMPTY_MESSAGE, _QUIT) if self._owed == _EMPTY_MESSAGE else (_QUIT,):
                self._send(last)
                self._answer()
        self.close()

    def close(self) -> None:
        self._connection.close()

    def _refused(self, found: Opened, last: int) -> None:
        if found.answer.code < 400:
            raise Broken
        # A server may want a message even after refusing the only recipient: RFC 2920 has us send an empty one.
        self._owed = _EMPTY_MESSAGE if last == 354 else _RESET
        if found.command == MAIL:
            self.over = self.over or found.answer.code < 500
        elif not found.answer.is_farewell:
            self.settled += 1

    def _send(self, data: bytes) -> None:
        if self._lines or self._rest:
            raise Broken  # an answer to nothing that was asked: from here on they could be mixed up
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Broken from error

    def _answer(self) -> Answer:
        for _ in range(MOST_LINES):
            while not self._lines:
                self._receive()
            line = self._lines.popleft()
            code = _CODES.get(line[:4])
            if code is None:
                if (found := _LESS_USUAL.match(line)) is None:
                    raise Broken
                if found[2] == b"-":
                    continue
                code = int(found[1])
            answer = Answer(code, line)
            if code >= 400 and answer.is_farewell:
                self.over = True
            return answer
        raise Broken

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise Broken from error
        if not data or len(self._rest) > LONGEST_LINE:
            raise Broken
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)
