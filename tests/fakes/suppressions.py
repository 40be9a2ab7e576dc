"""A real HTTP server with SendGrid's suppression lists, which forgets recipients when asked to; for tests."""

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

LISTS = ("bounces", "blocks", "spam_reports", "invalid_emails", "unsubscribes")
MOST = 500


@dataclass(frozen=True)
class Fault:
    """One answer in place of the right one. `body` None: hang up."""

    status: int
    body: bytes | None = b'{"errors": [{"message": "canary@example.org"}]}'


@dataclass
class Asked:
    """A request that was answered."""

    list: str
    offset: int
    start_s: int
    end_s: int


@dataclass
class FakeSuppressions:
    """Context manager; the server runs while inside it. `lists` holds (address, epoch seconds), newest first."""

    api_key: str = "SG.test"
    lists: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: {name: [] for name in LISTS})
    asked: list[Asked] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    faults: deque[Fault | None] = field(default_factory=deque)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, *faults: Fault | None) -> None:
        """The next requests meet one fault each, in this order; None lets one pass."""
        self.faults.extend(faults)

    def answer(self, path: str, authorization: str | None) -> Fault:
        """What a GET is answered with."""
        if self.faults and (fault := self.faults.popleft()):
            return fault
        if authorization != f"Bearer {self.api_key}":
            return Fault(401)
        parts = urlsplit(path)
        name = parts.path.removeprefix("/v3/suppression/")
        if name not in self.lists or parts.path == name:
            return Fault(404)
        query = {key: int(values[0]) for key, values in parse_qs(parts.query).items()}
        asked = Asked(name, query.get("offset", 0), query.get("start_time", 0), query["end_time"])
        self.asked.append(asked)
        found = [each for each in self.lists[name] if asked.start_s <= each[1] <= asked.end_s]
        page = found[asked.offset :][: min(query["limit"], MOST)]
        return Fault(200, json.dumps([_entry(*each) for each in page]).encode())

    def forget(self, path: str, authorization: str | None, body: bytes) -> Fault:
        """What a POST is answered with: the Recipients' Data Erasure API."""
        if self.faults and (fault := self.faults.popleft()):
            return fault
        if authorization != f"Bearer {self.api_key}":
            return Fault(401)
        if path != "/v3/recipients/erasejob":
            return Fault(404)
        addresses = json.loads(body)["email_addresses"]
        if not addresses or len(addresses) > 5_000 or len(set(addresses)) < len(addresses):
            return Fault(400)
        self.forgotten += addresses
        return Fault(202, b'{"job_id": "1f3c1cbb-0c1a-4d1b-8d5a-6e7b6a0f8c11"}')


def _entry(address: str, created: int) -> dict[str, Any]:
    return {"email": address, "created": created, "reason": f"550 {address} is not here", "status": "5.1.1"}


class _Handler(BaseHTTPRequestHandler):
    fake: FakeSuppressions

    def do_GET(self) -> None:
        self._send(self.fake.answer(self.path, self.headers["Authorization"]))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(self.fake.forget(self.path, self.headers["Authorization"], body))

    def _send(self, found: Fault) -> None:
        if found.body is None:
            self.close_connection = True
            return
        self.send_response(found.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        self.wfile.write(found.body)

    def log_message(self, *_: Any) -> None:
        pass
