"""A real HTTP server that takes and refuses mail as SendGrid's v3 API does, for tests."""

import json
import secrets
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from .sendgrid_rules import Json, Problem, error_body, find_problems, mailboxes

MAX_BODY = 30_000_000  # the smaller of the two readings of 30 MB


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `body`: None, a string sent as it is, or anything JSON can hold."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drop:
    """Hang up without an answer, before or after the request has been taken."""

    when: Literal["before", "after"] = "before"


@dataclass(frozen=True)
class Delay:
    """Wait, then handle the request as usual. `Delay(0)` lets one request pass."""

    seconds: float


Fault = Answer | Drop | Delay


@dataclass(frozen=True)
class Delivered:
    """One mail as one recipient would get it, substitutions done, headers and custom_args merged."""

    to: str
    subject: str
    text: str
    html: str
    headers: dict[str, str]
    custom_args: dict[str, str]
    message_id: str


class FakeSendGrid:
    """Context manager; the server runs while inside it.

    `requests`: payloads taken, in order, those in sandbox mode included. `connections`: TCP connections taken.
    """

    def __init__(self, api_key: str = "SG.test") -> None:
        self.api_key = api_key
        self._accepted: list[tuple[str, Json]] = []
        self._script: deque[Fault] = deque()
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    @property
    def requests(self) -> list[Json]:
        return [payload for _, payload in list(self._accepted)]

    @property
    def connections(self) -> int:
        return self._server.connections

    def script(self, *faults: Fault) -> None:
        """The next requests, whatever they ask, meet one fault each, in this order."""
        self._script.extend(faults)

    def deliveries(self) -> list[Delivered]:
        """What would have reached people: one item for each to, cc and bcc of each request, in order."""
        return [mail for message_id, payload in list(self._accepted) for mail in _deliver(message_id, payload)]

    def respond(self, method: str, path: str, headers: Message, body: bytes) -> Answer | None:
        """The answer to a request; None means: hang up."""
        try:
            fault = self._script.popleft()
        except IndexError:
            return self._handle(method, path, headers, body)
        match fault:
            case Answer():
                return fault
            case Drop(when="before"):
                return None
            case Drop():
                self._handle(method, path, headers, body)
                return None
            case Delay():
                self._closing.wait(fault.seconds)
                return self._handle(method, path, headers, body)

    def _handle(self, method: str, path: str, headers: Message, body: bytes) -> Answer:
        if "Authorization" not in headers:
            return _refuse(401, Problem("authorization required"))
        if headers["Authorization"] != f"Bearer {self.api_key}":
            return _refuse(401, Problem("The provided authorization grant is invalid, expired, or revoked"))
        match method, path:
            case "GET", "/v3/scopes":
                return Answer(200, {"scopes": ["mail.send"]})
            case "POST", "/v3/mail/send":
                return self._take_mail(headers.get_content_type(), body)
        return _refuse(404, Problem("not found"))

    def _take_mail(self, content_type: str, body: bytes) -> Answer:
        if content_type != "application/json":
            return _refuse(415, Problem("Content-Type should be application/json."))
        if len(body) >= MAX_BODY:
            return _refuse(413, Problem("The JSON payload you have included in your request is too large."))
        try:
            payload = json.loads(body.decode())
        except ValueError:
            return _refuse(400, Problem("Bad Request"))
        if problems := find_problems(payload):
            return _refuse(400, *problems)
        message_id = secrets.token_urlsafe(16)
        self._accepted.append((message_id, payload))
        return Answer(200 if _is_sandbox(payload) else 202, headers={"X-Message-Id": message_id})


def _is_sandbox(payload: Json) -> bool:
    return bool(payload.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"))


def _deliver(message_id: str, payload: Json) -> Iterator[Delivered]:
    if _is_sandbox(payload):
        return
    content = {part["type"]: part["value"] for part in payload.get("content", [])}
    for one in payload["personalizations"]:
        marks = one.get("substitutions", {})
        subject = _substitute(one.get("subject") or payload.get("subject", ""), marks)
        text, html = (_substitute(content.get(kind, ""), marks) for kind in ("text/plain", "text/html"))
        headers = payload.get("headers", {}) | one.get("headers", {})
        custom_args = payload.get("custom_args", {}) | one.get("custom_args", {})
        for _, email in mailboxes(one):
            yield Delivered(email, subject, text, html, headers, custom_args, message_id)


def _substitute(template: str, marks: dict[str, str]) -> str:
    for mark, value in marks.items():
        template = template.replace(mark, value)
    return template


def _refuse(status: int, *problems: Problem) -> Answer:
    return Answer(status, error_body(*problems))


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        # The body is read even when the answer is a refusal: closing on unread bytes would reset the connection.
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "Transfer-Encoding" in self.headers:
            answer: Answer | None = Answer(411, headers={"Connection": "close"})
        else:
            answer = self.server.fake.respond(self.command, self.path, self.headers, body)
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

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


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, fake: FakeSendGrid) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
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
