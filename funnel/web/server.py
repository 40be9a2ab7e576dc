"""The HTTP server: uvicorn, with patience for slow people and none for those who hold connections open."""

import asyncio
import resource
import sys
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from funnel import presence
from funnel.runtime import Runtime
from funnel.web.app import create_app

LONGEST_HEAD_S = 10.0  # from the first byte, or the connection, to the end of a request's head
LARGEST_HEAD = 64 * 1024
MOST_CONNECTIONS, FEWEST_CONNECTIONS = 1_000, 16
BACKLOG = 200  # that may be taken in at once, before anybody counts them
OTHER_FILES = 300  # of database, Redis, logs and modules


class Impatient(H11Protocol):
    """Closes connections whose next request does not get as far as its body; uvicorn itself would wait for ever.

    When there are too many, whoever has been at their request for longest makes room: they cost nothing to open, and
    must not keep others out. Whoever has sent it all is answered.
    """

    _limit: asyncio.TimerHandle | None = None
    _since_s = 0.0

    def __init__(self, *args: Any, most: int, **more: Any) -> None:
        super().__init__(*args, **more)
        self._most = most

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since_s = self.loop.time()
        self._make_room()
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since_s = self.loop.time()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """To what is no HTTP. To HEAD, or once an answer has begun, uvicorn's would break the rules itself; and whoever
        waits for the rest of this request must hear that there is none."""
        if self.cycle and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.close()

    def _make_room(self) -> None:
        if len(self.connections) <= self._most:
            return
        others = [each for each in self.connections if isinstance(each, Impatient) and each.is_unfinished]
        longest = min(others, key=lambda each: each._since_s, default=self)
        self.connections.discard(longest)  # its socket is closed a moment later; until then others come
        longest.transport.abort()

    @property
    def is_unfinished(self) -> bool:
        """Whether nobody can answer yet, or has anything left to answer."""
        return not self.cycle or self.cycle.response_complete or self.cycle.more_body

    def _watch(self) -> None:
        """While a head is awaited: from then on so many seconds, however many bytes trickle in."""
        if self.conn.their_state is not h11.IDLE:
            self._rest()
        elif self._limit is None:
            self._limit = self.loop.call_later(LONGEST_HEAD_S, self.transport.close)

    def _rest(self) -> None:
        if self._limit:
            self._limit.cancel()
            self._limit = None


def serve(runtime: Runtime) -> None:
    """Answers until it is told to stop."""
    leave = presence.keep_saying(runtime.redis, "web", lambda: runtime.tools.keyring.whole)
    try:
        uvicorn.run(create_app(runtime), host=runtime.settings.host, port=runtime.settings.port, **options(_room()))
    finally:
        leave()


def _room() -> int:
    """As many connections as there can be, with files left for everything else; the soft limit is raised for them."""
    wanted = MOST_CONNECTIONS + BACKLOG + OTHER_FILES
    soft, hard = (sys.maxsize if limit < 0 else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < wanted <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(min(MOST_CONNECTIONS, soft - BACKLOG - OTHER_FILES), FEWEST_CONNECTIONS)


def options(most: int = MOST_CONNECTIONS) -> dict[str, Any]:
    """uvicorn's, for so many connections at once."""
    return {
        "http": partial(Impatient, most=most),
        "ws": "none",
        "log_level": "warning",
        "log_config": None,  # our own: what an error says could hold what somebody typed
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # the guard reads them, and only from whom it trusts
        "timeout_keep_alive": 5,
        "h11_max_incomplete_event_size": LARGEST_HEAD,
        "timeout_graceful_shutdown": 8,
        "backlog": BACKLOG,
    }
