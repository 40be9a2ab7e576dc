"""The bare exchange with a provider: bodies and messages that are ready, one connection, nothing but the protocol."""

import socket
from collections.abc import Sequence

import urllib3

from benchmarks.sinks import Sink

_ENVELOPE = b"MAIL FROM:<lessons@example.org>\r\nRCPT TO:<reader.12345@mail12.example.org>\r\nDATA\r\n"


def post(sink: Sink, body: bytes, times: int) -> None:
    """Posts `body` so many times over one kept connection."""
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key"}
    with urllib3.HTTPConnectionPool("127.0.0.1", sink.port, maxsize=1, retries=False) as pool:
        for _ in range(times):
            answer = pool.request("POST", "/v3/mail/send", body=body, headers=headers)
            assert answer.status == 202


def enclosed(message: bytes) -> bytes:
    """A message as it travels: with its end and the next one's envelope behind it."""
    return message.rstrip(b"\r\n") + b"\r\n.\r\n" + _ENVELOPE


def pipeline(sink: Sink, messages: Sequence[bytes]) -> None:
    """Sends `enclosed` messages over one connection; each costs a write and a read."""
    with socket.create_connection(("127.0.0.1", sink.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"HELO bench\r\n" + _ENVELOPE)
        _await_lines(connection, 5)
        for message in messages:
            connection.sendall(message)
            _await_lines(connection, 4)


def _await_lines(connection: socket.socket, count: int) -> None:
    seen = 0
    while seen < count:
        answers = connection.recv(4096)
        assert answers[:1] in (b"2", b"3"), answers
        seen += answers.count(b"\n")
