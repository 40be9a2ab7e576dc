"""The HTTP server: uvicorn, with patience for slow people and none for those who hold connections open."""

import asyncio
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from funnel.runtime import Runtime
from funnel.web.app import create_app

LONGEST_HEAD_S = 10.0  # from the first byte, or the connection, to the end of a request's head
LARGEST_HEAD = 64 * 1024


class Impatient(H11Protocol):
    """Closes connections whose next request does not get as far as its body; uvicorn itself would wait for ever."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

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
    uvicorn.run(create_app(runtime), host=runtime.settings.host, port=runtime.settings.port, **options())


def options() -> dict[str, Any]:
    return {
        "http": Impatient,
        "ws": "none",
        "log_config": None,  # its own would print what an error says
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # the guard reads them, and only from whom it trusts
        "timeout_keep_alive": 5,
        "h11_max_incomplete_event_size": LARGEST_HEAD,
        "timeout_graceful_shutdown": 8,
    }
