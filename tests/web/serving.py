"""The site behind the real server, on a real socket."""

import asyncio
import socket
import threading
from typing import Any

import uvicorn

from funnel.web import server

PATIENCE_S = 30.0


class Running(threading.Thread):
    """Answers until it is told to stop."""

    def __init__(self, app: Any, most: int = server.MOST_CONNECTIONS) -> None:
        super().__init__(daemon=True)
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", **server.options(most)))
        self.listening = socket.create_server(("127.0.0.1", 0))

    def run(self) -> None:
        asyncio.run(self.server.serve([self.listening]))

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.listening.getsockname()
        return str(host), int(port)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE_S)

    def __enter__(self) -> "Running":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.join(PATIENCE_S)
