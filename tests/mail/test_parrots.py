"""Providers that answer with whatever they like, byte for byte: nothing of it is repeated, in no report and no log."""

import logging
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

import pytest

from funnel.core.sequence import Funnel
from funnel.logs import Lines
from funnel.mail import check
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid import SendGrid
from funnel.mail.smtp import Smtp
from tests.mail import letters
from tests.payloads import HEADERS, LINES, MARKUP, WORD

TLS = ssl.create_default_context()  # none is spoken here; making one takes long
USUAL = {
    "": b"220 here\r\n",
    "EHLO": b"250-here\r\n250-AUTH PLAIN LOGIN\r\n250 PIPELINING\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "DATA": b"354 go on\r\n",
    "QUIT": b"221 bye\r\n",
}
ODD = [payload.encode() for payload in (MARKUP[0], *HEADERS[:5], *LINES[:4], LINES[-1])]
REPLIES = [
    *(b"550 5.7.1 %b\r\n" % said for said in ODD[1:9:2]),
    *(b"%b %b\r\n" % (code, WORD.encode()) for code in (b"354", b"421", b"535", b"999")),
    b"550-5.1.1 %b\r\n550 5.1.1 %b\r\n" % (ODD[0], ODD[0]),
    b"550 " + WORD.encode() * 2_000 + b"\r\n",
    b"".join(b"550-%d %b\r\n" % (number, WORD.encode()) for number in range(300)) + b"550 end\r\n",
    b"550 first\r" + WORD.encode() + b"\n\r\n",
    b"\x00\xff\xfe" + WORD.encode() + b"\r\n",
    WORD.encode() + b"\r\n" + b"250 " + WORD.encode() + b"\r\n",
]


class Speaking(socketserver.StreamRequestHandler):
    """An SMTP session in which each command is answered by the script; "." is what ends a message."""

    def handle(self) -> None:
        script = self.server.script  # type: ignore[attr-defined]
        self.wfile.write(script[""])
        in_message = False
        while line := self.rfile.readline():
            command = line[:4].strip().upper().decode("latin-1")
            if in_message and line != b".\r\n":
                continue
            said = script.get("." if in_message else command, b"250 fine\r\n")
            in_message = not in_message and command == "DATA" and said.startswith(b"354")
            self.wfile.write(said)
            if command == "QUIT":
                return


class Answering(socketserver.StreamRequestHandler):
    """One HTTP request, answered by the bytes of the script."""

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        self.rfile.read(length)
        self.wfile.write(self.server.script[""])  # type: ignore[attr-defined]


class Quiet(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up on a parrot."""


@contextmanager
def parrot(handler: type[socketserver.BaseRequestHandler], script: Mapping[str, bytes]) -> Iterator[str]:
    """Where it listens, as host:port."""
    with Quiet(("127.0.0.1", 0), handler) as server:
        server.script = script  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def mail(funnel: Funnel) -> Mailing:
    template = letters.template(["A note"], ["Hello.\n"], ["<p>Hello.</p>"])
    return letters.mailing(template, funnel)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What is logged in the test, written as the service writes it, repeats nothing."""
    caplog.set_level(logging.INFO)
    yield
    assert WORD not in "\n".join(map(Lines().format, caplog.records)).lower()


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize("stage", ["", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "."])
def test_no_reply_of_a_mail_server_is_repeated(stage: str, mail: Mailing) -> None:
    script = dict(USUAL)
    with parrot(Speaking, script) as place:
        url = f"smtp://user:secret@{place}"
        for script[stage] in REPLIES:
            with closing(Smtp(url, TLS, connections=1, read_s=0.3)) as provider:
                assert WORD not in repr(provider.hand_over(mail)).lower()
            if stage in ("", "EHLO", "AUTH"):
                assert WORD not in repr(check.smtp(url, TLS)).lower()


ANSWERS = [
    *(b"HTTP/1.1 %b %b\r\nContent-Length: 0\r\n\r\n" % (status, said) for status in (b"202", b"400") for said in ODD),
    *(
        b"HTTP/1.1 202 OK\r\nX-Message-Id: %b\r\nContent-Length: 0\r\n\r\n" % said
        for said in ODD
        if not {10, 13} & {*said}
    ),
    *(b"HTTP/1.1 429 Wait\r\nX-RateLimit-Reset: %b\r\nContent-Length: 0\r\n\r\n" % said for said in ODD),
    *(b"HTTP/1.1 500 Oh\r\nContent-Length: %b\r\n\r\n" % said for said in ODD),
    *(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said) for said in ODD),
    *(b"HTTP/1.1 301 Moved\r\nLocation: https://%b.example/\r\nContent-Length: 0\r\n\r\n" % said for said in ODD[:2]),
    *(b"%b\r\n\r\n" % said for said in ODD),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + WORD.encode() + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + WORD.encode() * 20_000 + b"\r\n\r\n",
]


@pytest.mark.usefixtures("logged")
def test_no_answer_of_sendgrid_is_repeated(mail: Mailing) -> None:
    script: dict[str, bytes] = {}
    with parrot(Answering, script) as place:
        for number, script[""] in enumerate(ANSWERS):
            with closing(SendGrid("SG.key", f"http://{place}", 1000, width=1)) as provider:
                assert WORD not in repr(provider.hand_over(mail)).lower(), number
