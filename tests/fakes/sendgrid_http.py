"""How the fake SendGrid speaks HTTP, well and badly."""

import io
import json
import socket
import struct
import sys
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol

from .sendgrid_faults import Answer, Fault, Reset
from .sendgrid_rules import Problem, error_body


class Reply(NamedTuple):
    """What goes back: None means to hang up; `within` names the part of the answer that breaks off."""

    answer: Answer | None
    within: str = ""


class Fake(Protocol):
    """Who decides what is answered."""

    def next_fault(self) -> Fault | None: ...

    def respond(self, method: str, path: str, headers: Message, body: bytes, fault: Fault | None) -> Reply: ...


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        fault = self.server.fake.next_fault()
        length = int(self.headers.get("Content-Length", 0))
        if isinstance(fault, Reset):
            self.rfile.read(min(fault.after_bytes, length))
            self._reset()
            return
        # The body is read even when the answer is a refusal: closing on unread bytes would reset the connection.
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True  # the client gave up while it was sending: nothing was asked
        elif "Transfer-Encoding" in self.headers:
            self._send(Answer(411, headers={"Connection": "close"}))
        else:
            self._reply(self.server.fake.respond(self.command, self.path, self.headers, body, fault))

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for one in (self.rfile, self.wfile, self.connection):
            one.close()
        self.wfile = io.BytesIO()  # the standard library flushes it once more

    def _reply(self, reply: Reply) -> None:
        if reply.answer is None:
            self.close_connection = True
        elif not reply.within:
            self._send(reply.answer)
        else:
            wire, self.wfile = self.wfile, io.BytesIO()
            self._send(reply.answer)
            whole, self.wfile = self.wfile.getvalue(), wire
            head = whole.index(b"\r\n\r\n")
            ends = {"status": len("HTTP/1.1 202"), "headers": head - 3, "body": (head + 4 + len(whole)) // 2}
            self.wfile.write(whole[: ends[reply.within]])
            self.close_connection = True

    def _send(self, answer: Answer) -> None:
        given = answer.body
        if given is None and answer.status >= 400:
            given = error_body(Problem(HTTPStatus(answer.status).phrase))
        body = b"" if given is None else given.encode() if isinstance(given, str) else json.dumps(given).encode()
        self.send_response(answer.status)
        kind = "text/html" if isinstance(given, str) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, fake: Fake, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.fake = fake
        self.connections = 0
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Wake the threads that wait for the next request of a kept-alive connection."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that gave up waiting is what some tests are about.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
