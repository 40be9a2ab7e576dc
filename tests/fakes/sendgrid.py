"""A real HTTP server that takes and refuses mail as SendGrid's v3 API does, for tests.

By itself: python -m tests.fakes.sendgrid --port 8025 --seed 7 --ledger taken.jsonl
"""

import argparse
import json
import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Self

from .sendgrid_faults import Answer, Delay, Drop, Fault, Half, RandomFaults, Reset, TakeThen
from .sendgrid_http import Reply, Server
from .sendgrid_rules import Json, Problem, error_body, find_problems, mailboxes

__all__ = ["Answer", "Delay", "Drop", "FakeSendGrid", "Fault", "Half", "RandomFaults", "Reset", "TakeThen"]

MAX_BODY = 30_000_000  # the smaller of the two readings of 30 MB


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

    `requests`: payloads taken, in order, those in sandbox mode included; none when not to `keep` them.
    `connections`: TCP connections taken. `faults` is asked at each request that no scripted fault meets.
    `on_accepted` is called in the request's thread, before the answer, with X-Message-Id and the payload.
    `ledger`: a file that gets a JSON line for each recipient taken, before the answer: message_id (the header), batch,
    position, and whether an answer is then given that says so.
    """

    def __init__(
        self,
        api_key: str = "SG.test",
        *,
        port: int = 0,
        faults: Callable[[], Fault | None] | None = None,
        on_accepted: Callable[[str, Json], None] | None = None,
        ledger: Path | None = None,
        keep: bool = True,
    ) -> None:
        self.api_key = api_key
        self._faults = faults or (lambda: None)
        self._on_accepted = on_accepted
        self._ledger = ledger
        self._keep = keep
        self._accepted: list[tuple[str, Json]] = []
        self._script: deque[Fault] = deque()
        self._closing = threading.Event()
        self._server = Server(self, port)
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

    def hang_up(self) -> None:
        """Close every connection, idle ones too, and go on listening."""
        self._server.hang_up()

    def next_fault(self) -> Fault | None:
        """What the request that has just begun will meet, after the wait that comes with it."""
        try:
            fault: Fault | None = self._script.popleft()
        except IndexError:
            fault = self._faults()
        if isinstance(fault, Delay):
            self._closing.wait(fault.seconds)
            return fault.then
        return fault

    def respond(self, method: str, path: str, headers: Message, body: bytes, fault: Fault | None) -> Reply:
        def handle(*, answered: bool = False) -> Answer:
            return self._handle(method, path, headers, body, answered=answered)

        match fault:
            case Answer():
                return Reply(fault)
            case Drop(when="before"):
                return Reply(None)
            case Drop():
                handle()
                return Reply(None)
            case TakeThen():
                handle()
                return Reply(fault.answer)
            case Half():
                answer = handle() if fault.taken else Answer(500)
                return Reply(Answer(answer.status, answer.body or {"half": True}, answer.headers), fault.within)
        return Reply(handle(answered=True))

    def _handle(self, method: str, path: str, headers: Message, body: bytes, *, answered: bool) -> Answer:
        if "Authorization" not in headers:
            return _refuse(401, Problem("authorization required"))
        if headers["Authorization"] != f"Bearer {self.api_key}":
            return _refuse(401, Problem("The provided authorization grant is invalid, expired, or revoked"))
        match method, path:
            case "GET", "/v3/scopes":
                return Answer(200, {"scopes": ["mail.send"]})
            case "POST", "/v3/mail/send":
                return self._take_mail(headers.get_content_type(), body, answered=answered)
        return _refuse(404, Problem("not found"))

    def _take_mail(self, content_type: str, body: bytes, *, answered: bool) -> Answer:
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
        if self._keep:
            self._accepted.append((message_id, payload))
        if not _is_sandbox(payload):
            self._note(payload, answered=answered)
            if self._on_accepted:
                self._on_accepted(message_id, payload)
        return Answer(200 if _is_sandbox(payload) else 202, headers={"X-Message-Id": message_id})

    def _note(self, payload: Json, *, answered: bool) -> None:
        if self._ledger is None:
            return
        lines = "".join(json.dumps(entry) + "\n" for entry in _entries(payload, answered=answered)).encode()
        # One write: lines of requests that are taken at the same time do not mix.
        file = os.open(self._ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, lines)
        finally:
            os.close(file)


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


def _entries(payload: Json, *, answered: bool) -> Iterator[Json]:
    for one in payload["personalizations"]:
        headers = payload.get("headers", {}) | one.get("headers", {})
        arguments = payload.get("custom_args", {}) | one.get("custom_args", {})
        yield {
            "message_id": headers.get("Message-ID"),
            "batch": arguments.get("batch"),
            "position": arguments.get("position"),
            "answered": answered,
        }


def _substitute(template: str, marks: dict[str, str]) -> str:
    for mark, value in marks.items():
        template = template.replace(mark, value)
    return template


def _refuse(status: int, *problems: Problem) -> Answer:
    return Answer(status, error_body(*problems))


def main() -> None:
    """Serves until SIGTERM or SIGINT, and prints nothing."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before there are threads: they inherit it
    parser = argparse.ArgumentParser(prog="tests.fakes.sendgrid", description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="SG.test")
    parser.add_argument("--ledger", type=Path, help="append a JSON line for each recipient taken")
    parser.add_argument("--seed", type=int, help="misbehave at random; without it, never")
    parser.add_argument("--rate", type=float, default=0.2, help="the part of the requests that meet a fault")
    parser.add_argument("--latency", type=float, nargs=2, default=(0.0, 0.0), metavar=("FROM", "TO"), help="seconds")
    asked = parser.parse_args()
    rate = 0.0 if asked.seed is None else asked.rate
    faults = RandomFaults(asked.seed or 0, rate, tuple(asked.latency))
    with FakeSendGrid(asked.key, port=asked.port, faults=faults, ledger=asked.ledger, keep=False):
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
