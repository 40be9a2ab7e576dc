"""SendGrid's connections: what was surely not sent, what nobody can know, and how long that may take."""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import trustme

from funnel.core.delivery import State
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid import SendGrid
from funnel.mail.sendgrid_answers import NO_ANSWER, NO_CONNECTION, NO_ROOM, NOT_TRUSTED, TOO_LATE
from funnel.mail.sendgrid_wire import Limits
from tests.fakes.sendgrid import Answer, Delay, FakeSendGrid
from tests.mail.conftest import look_up_slowly

KEY = "SG.a-key-that-stays-here"
HASTY = Limits(connect=1, write=1, answer=0.3)
Talk = Callable[[socket.socket], None]


@contextmanager
def server(*talks: Talk) -> Iterator[str]:
    """A server that takes one connection for each talk, in turn; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)  # a test that fails must not hang

        def serve() -> None:
            for talk in talks:
                with suppress(OSError), listening.accept()[0] as connection:
                    connection.settimeout(20)
                    talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def read_request(connection: socket.socket) -> None:
    with connection.makefile("rb") as lines:
        length = 0
        while (line := lines.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        lines.read(length)


def saying(answer: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return talk


def dripping(answer: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)
        pause = threading.Event()
        while True:  # until the client has had enough
            connection.sendall(b"x")
            pause.wait(0.02)

    return talk


def hand_over(url: str, mailing: Mailing, limits: Limits = HASTY) -> object:
    with closing(SendGrid(KEY, url, 1000, limits=limits)) as provider:
        return provider.hand_over(mailing)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 20",
        b"HTTP/1.1 202",
        b"HTTP/1.1 202 Accepted\r\n",
        b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc",
        b"HTTP/1.1 202 Accepted\r\nX-Message-Id: abc\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 1, 2\r\n\r\n{",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=lambda answer: repr(answer[-40:]),
)
def test_an_answer_that_is_not_whole_may_mean_anything(mailing: Mailing, answer: bytes) -> None:
    with server(saying(answer)) as url:
        assert hand_over(url, mailing) == NO_ANSWER


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 202 Accepted\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\nwelcome",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=lambda answer: repr(answer[-40:]),
)
def test_an_answer_that_is_whole_counts_however_it_is_framed(mailing: Mailing, answer: bytes) -> None:
    with server(saying(answer)) as url, closing(SendGrid(KEY, url, 1000)) as provider:
        assert provider.hand_over(mailing).fate.state == State.ACCEPTED


@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 202 ", b"HTTP/1.1 202 Accepted\r\nX: ", b"HTTP/1.1 202 Accepted\r\nContent-Length: 60000\r\n\r\n"],
    ids=["nothing", "status", "headers", "body"],
)
def test_an_answer_that_drips_is_not_waited_for(mailing: Mailing, begun: bytes) -> None:
    with server(dripping(begun)) as url:
        assert hand_over(url, mailing) == NO_ANSWER


def test_no_answer_is_not_waited_for(mailing: Mailing) -> None:
    with FakeSendGrid(KEY) as fake:
        fake.script(Delay(60))
        assert hand_over(fake.url, mailing) == NO_ANSWER


def test_a_malformed_answer_is_not_quoted_in_the_log(mailing: Mailing, caplog: pytest.LogCaptureFixture) -> None:
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nalice@example.org\r\nX: y\r\n\r\n"
    with server(saying(answer)) as url, caplog.at_level(logging.DEBUG):
        hand_over(url, mailing)
    assert "alice" not in caplog.text


def reset_after(size: int) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.recv(size)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    return talk


@pytest.mark.parametrize("size", [1, 300, 4_000])
def test_a_reset_within_the_request_may_mean_anything(mailing: Mailing, size: int) -> None:
    with server(reset_after(size)) as url:
        assert hand_over(url, mailing) == NO_ANSWER


def test_a_refused_connection_sends_nothing(mailing: Mailing) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert hand_over(f"http://127.0.0.1:{bound.getsockname()[1]}", mailing) == NO_CONNECTION


def test_a_host_that_is_not_there_gets_nothing(mailing: Mailing) -> None:
    assert hand_over("http://nobody.invalid", mailing) == NO_CONNECTION


def test_a_closed_provider_sends_nothing(mailing: Mailing) -> None:
    provider = SendGrid(KEY, "http://127.0.0.1:1", 1000)
    provider.close()
    assert provider.hand_over(mailing) == NO_ROOM


@contextmanager
def tls_server(authority: trustme.CA, identity: str, answer: bytes) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(identity).configure_cert(context)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            saying(answer)(secure)

    with server(talk) as url:
        yield url.replace("http:", "https:")


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


WELCOME = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(("answer", "state"), [(WELCOME, State.ACCEPTED), (WELCOME[:-1], State.UNKNOWN)])
def test_mail_travels_over_tls(mailing: Mailing, answer: bytes, state: State) -> None:
    authority = trustme.CA()
    with (
        tls_server(authority, "127.0.0.1", answer) as url,
        closing(SendGrid(KEY, url, 1000, tls=trusting(authority))) as provider,
    ):
        assert provider.hand_over(mailing).fate.state == state


def test_a_certificate_from_a_stranger_gets_nothing(mailing: Mailing) -> None:
    with tls_server(trustme.CA(), "127.0.0.1", WELCOME) as url:
        assert hand_over(url, mailing) == NOT_TRUSTED


def test_a_certificate_for_another_host_gets_nothing(mailing: Mailing) -> None:
    authority = trustme.CA()
    with (
        tls_server(authority, "mail.example.org", WELCOME) as url,
        closing(SendGrid(KEY, url, 1000, tls=trusting(authority))) as provider,
    ):
        assert provider.hand_over(mailing) == NOT_TRUSTED


def not_tls(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def silence(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@pytest.mark.parametrize("talk", [reset_after(1), not_tls, silence], ids=["reset", "no TLS", "silence"])
def test_a_handshake_that_fails_sends_nothing(mailing: Mailing, talk: Talk) -> None:
    with server(talk) as url:
        assert hand_over(url.replace("http:", "https:"), mailing) == NO_CONNECTION


def test_one_connection_carries_many_batches(mailing: Mailing) -> None:
    with FakeSendGrid(KEY) as fake, closing(SendGrid(KEY, fake.url, 1000)) as provider:
        fake.script(Answer(429), Answer(400), Answer(500))
        for _ in range(6):
            provider.hand_over(mailing)
        assert (fake.connections, len(fake.requests)) == (1, 3)


def test_a_connection_that_the_server_closed_while_it_was_idle_is_not_used_again(mailing: Mailing) -> None:
    with FakeSendGrid(KEY) as fake, closing(SendGrid(KEY, fake.url, 1000)) as provider:
        for _ in range(3):
            assert provider.hand_over(mailing).fate.state == State.ACCEPTED
            fake.hang_up()
        assert (fake.connections, len(fake.requests)) == (3, 3)


def test_a_connection_that_was_idle_for_long_is_not_used_again(mailing: Mailing) -> None:
    with FakeSendGrid(KEY) as fake, closing(SendGrid(KEY, fake.url, 1000, limits=Limits(idle=0))) as provider:
        for _ in range(3):
            assert provider.hand_over(mailing).fate.state == State.ACCEPTED
        assert fake.connections == 3


def test_many_threads_share_as_many_connections_as_there_may_be(mailing: Mailing) -> None:
    with FakeSendGrid(KEY) as fake, closing(SendGrid(KEY, fake.url, 1000, width=4)) as provider:
        fake.script(*[Delay(0.05)] * 48)
        with ThreadPoolExecutor(16) as pool:
            reports = list(pool.map(provider.hand_over, [mailing] * 48))
        assert {report.fate.state for report in reports} == {State.ACCEPTED}
        assert len(fake.requests) == 48
        assert fake.connections <= 4


@pytest.mark.parametrize("broken", [b"", b"HTTP/1.1 202 Accepted\r\nContent-Length: 600000\r\n\r\n" + b"a" * 600_000],
                         ids=["nothing", "too much"])  # fmt: skip
def test_a_broken_answer_gives_its_place_in_the_pool_back(mailing: Mailing, broken: bytes) -> None:
    with (
        server(saying(broken), saying(broken), saying(WELCOME)) as url,
        closing(SendGrid(KEY, url, 1000, width=1)) as provider,
    ):
        states = [provider.hand_over(mailing).fate.state for _ in range(3)]
    assert states == [State.UNKNOWN, State.UNKNOWN, State.ACCEPTED]


def test_whoever_is_connected_too_late_sends_nothing(mailing: Mailing) -> None:
    with FakeSendGrid(KEY) as fake, closing(SendGrid(KEY, fake.url, 1000)) as provider:
        assert provider.hand_over(mailing).fate.state == State.ACCEPTED
        late = replace(mailing, in_time=lambda: False)
        assert [provider.hand_over(late) for _ in range(20)] == [TOO_LATE] * 20  # more often than there are places
        assert len(fake.requests) == 1
        assert provider.hand_over(mailing).fate.state == State.ACCEPTED


def test_the_look_up_of_a_name_counts_as_time(mailing: Mailing, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = look_up_slowly(monkeypatch)
    with FakeSendGrid(KEY) as fake:
        timely = replace(mailing, in_time=lambda: not looked_up)
        assert hand_over(fake.url, timely) == TOO_LATE
        assert (looked_up, fake.requests) == ([urlsplit(fake.url).hostname], [])


def test_who_finds_no_free_connection_sends_nothing(mailing: Mailing) -> None:
    with (
        FakeSendGrid(KEY) as fake,
        closing(SendGrid(KEY, fake.url, 1000, width=1, limits=Limits(connect=1))) as provider,
    ):
        fake.script(Delay(60))
        slow = threading.Thread(target=provider.hand_over, args=(mailing,))
        slow.start()
        while not fake.connections:
            pass
        assert provider.hand_over(mailing) == NO_ROOM
        fake.hang_up()
        slow.join()
