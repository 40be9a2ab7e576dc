"""Clients that trickle, on a real socket: nobody holds a connection for ever, and slow people are told."""

import asyncio
import contextlib
import resource
import socket
import threading
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from funnel.logs import Lines
from funnel.web import guard, server
from tests.web.conftest import Site
from tests.web.serving import Running

HEAD = b"POST /house/q/1 HTTP/1.1\r\nHost: notes.example.org\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture
def running(shared: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(server, "LONGEST_HEAD_S", 0.4)
    monkeypatch.setattr(guard, "LONGEST_BODY_S", 0.4)
    with Running(shared.app) as found:
        yield found


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


FEW, CANARY = 8, "qzcanary"
ASKED = b"GET /healthz HTTP/1.1\r\nHost: notes.example.org\r\nConnection: close\r\n\r\n"


def whole(connection: socket.socket) -> bytes:
    """What comes until the other side closes, however it does that."""
    said = b""
    try:
        while part := connection.recv(65_536):
            said += part
    except ConnectionResetError:
        pass
    return said


def asked(running: Running) -> bytes:
    with running.connect() as connection:
        connection.sendall(ASKED)
        return whole(connection)


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + FORM + b"Content-Length: 5000\r\n\r\nanswer="])
def test_a_flood_of_slow_connections_keeps_nobody_out_and_uses_up_nothing(shared: Site, sent: bytes) -> None:
    with Running(shared.app, FEW) as running:
        flood = [running.connect() for _ in range(10 * FEW)]
        for each in flood:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                each.sendall(sent)
        assert asked(running).startswith(b"HTTP/1.1 200 ")
        assert len(running.server.server_state.connections) <= FEW
        for each in flood:
            each.close()


def test_whoever_has_sent_all_of_a_request_is_answered_whoever_comes_meanwhile() -> None:
    answers, begun = threading.Event(), threading.Semaphore(0)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.release()
        await asyncio.to_thread(answers.wait, 30)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    with Running(app, FEW) as running:
        busy = [running.connect() for _ in range(FEW)]
        for each in busy:
            each.sendall(ASKED)
            assert begun.acquire(timeout=30)
        flood = [running.connect() for _ in range(10 * FEW)]
        assert whole(flood[0]) == b""
        answers.set()
        assert [whole(each)[:13] for each in busy] == [b"HTTP/1.1 200 "] * len(busy)
        for each in (*busy, *flood):
            each.close()


@pytest.mark.parametrize(
    ("limit", "most", "raised"),
    [((1024, 4096), 1000, 1500), ((65_536, 65_536), 1000, None), ((1024, 1024), 524, None), ((256, 256), 16, None)],
)
def test_connections_leave_files_for_everything_else(
    monkeypatch: pytest.MonkeyPatch, limit: tuple[int, int], most: int, raised: int | None
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limit)
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: told.append(limits))
    assert server._room() == most
    assert told == ([(raised, limit[1])] if raised else [])


def test_what_is_no_http_is_refused_even_where_no_answer_may_have_a_body(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    for method in (b"HEAD", b"POST"):
        with running.connect() as connection:
            connection.sendall(method + b" / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
            assert whole(connection).startswith(b"HTTP/1.1 400 ")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_fault_once_an_answer_has_begun_is_told_by_its_kind_and_place_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        raise ValueError(CANARY)

    with Running(app) as running:
        assert b"500" not in asked(running)
    record = next(record for record in caplog.records if record.exc_info)
    record.exc_text = None  # what pytest's own log made of it
    line = Lines().format(record)
    assert "ValueError" in line
    assert CANARY not in line.replace("raise ValueError(CANARY)", "")
