"""Clients that trickle, on a real socket: nobody holds a connection for ever, and slow people are told."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from funnel.web import guard, server
from tests.web.conftest import Site

PATIENCE_S = 30.0
HEAD = b"POST /house/q/1 HTTP/1.1\r\nHost: notes.example.org\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


class Running(threading.Thread):
    """The site behind the real server, until it is told to stop."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        config = uvicorn.Config(site.app, port=0, lifespan="off", **server.options())
        self.server = uvicorn.Server(config)
        self.listening = socket.create_server(("127.0.0.1", 0))

    def run(self) -> None:
        asyncio.run(self.server.serve([self.listening]))

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listening.getsockname(), PATIENCE_S)


@pytest.fixture
def running(shared: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(server, "LONGEST_HEAD_S", 0.4)
    monkeypatch.setattr(guard, "LONGEST_BODY_S", 0.4)
    found = Running(shared)
    found.start()
    yield found
    found.server.should_exit = True
    found.join(PATIENCE_S)


def trickle(connection: socket.socket, stop: threading.Event) -> None:
    """A byte now and then, so that the connection never rests."""
    while not stop.wait(0.05):
        try:
            connection.sendall(b"a")
        except OSError:
            return


def answer_to(connection: socket.socket, sent: bytes) -> bytes:
    """Sends this and then trickles; what comes back until the other side closes."""
    stop = threading.Event()
    connection.sendall(sent)
    slow = threading.Thread(target=trickle, args=(connection, stop))
    slow.start()
    said = b""
    try:
        while part := connection.recv(65_536):
            said += part
    except ConnectionResetError:
        pass
    finally:
        stop.set()
        slow.join()
        connection.close()
    return said


@pytest.mark.parametrize("sent", [b"", b"G", HEAD, HEAD + b"X: "], ids=["nothing", "a letter", "a line", "a header"])
def test_a_head_that_never_ends_is_not_waited_for(running: Running, sent: bytes) -> None:
    assert answer_to(running.connect(), sent) == b""


@pytest.mark.parametrize("length", [b"Content-Length: 5000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1388\r\n"])
def test_a_body_that_never_ends_is_answered_and_the_connection_closed(running: Running, length: bytes) -> None:
    said = answer_to(running.connect(), HEAD + FORM + length + b"answer=")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"took too long to arrive" in said
    assert b"connection: close" in said.lower()


def test_a_second_request_of_a_connection_is_waited_for_no_longer(running: Running) -> None:
    connection = running.connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: notes.example.org\r\n\r\n")
    said = b""
    while not said.endswith(b"}"):
        said += connection.recv(65_536)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert answer_to(connection, HEAD) == b""


def test_who_is_quick_is_served_as_ever(running: Running) -> None:
    connection = running.connect()
    body = b"answer=none"
    whole = HEAD + FORM + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    connection.sendall(whole)
    said = b""
    while part := connection.recv(65_536):
        said += part
    assert said.startswith(b"HTTP/1.1 303 ")
    connection.close()
