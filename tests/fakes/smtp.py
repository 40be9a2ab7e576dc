"""A real SMTP server that keeps what it takes and misbehaves on request, for tests."""

import asyncio
import socket
import ssl
import tempfile
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from .smtp_server import TAKE_AND_BE_SILENT, TAKE_AND_HANG_UP, Draw, Server, Stage, Taken, Temper, hang_up, suffer

HOST = "127.0.0.1"


class SmtpSink:
    """Context manager; the server runs while inside it, on `host` and `port`.

    `auth`: (user, password) for AUTH PLAIN and LOGIN; None offers no AUTH. `require_tls` implies `starttls`.
    `limit`: messages a connection may carry before it ends with 421. `eager`: DATA is granted even without a recipient.
    `messages`: what was taken, in order. `connections`: TCP connections made; `sender_reply` answers MAIL where set.
    `early`: how often a client spoke before its turn. `draw` decides at each stage where no fault is set, and
    `on_taken` is called with what was taken, before the answer; both in the server's thread.
    """

    host = HOST

    def __init__(
        self,
        *,
        starttls: bool = False,
        auth: tuple[str, str] | None = None,
        require_auth: bool = False,
        require_tls: bool = False,
        pipelining: bool = True,
        limit: int | None = None,
        eager: bool = False,
        draw: Draw | None = None,
        on_taken: Callable[[Taken], None] = lambda _: None,
    ) -> None:
        habits = {"pipelining": pipelining, "limit": limit, "eager": eager, "draw": draw}
        self._handler = _Handler(auth, require_auth, on_taken, habits)
        self._controller = _Controller(self._handler, starttls=starttls or require_tls, require_tls=require_tls)
        self._folder = tempfile.TemporaryDirectory()
        self.port = self._controller.port

    def __enter__(self) -> Self:
        self._controller.start()
        self._controller.connections = 0  # start() itself connects once
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.hang_up()
        self._controller.stop()
        self._folder.cleanup()

    @property
    def messages(self) -> list[Taken]:
        return list(self._handler.taken)

    @property
    def connections(self) -> int:
        return self._controller.connections

    @property
    def early(self) -> int:
        return self._handler.early

    @property
    def goodbyes(self) -> int:
        """How many clients said QUIT."""
        return self._handler.goodbyes

    @property
    def ca_pem(self) -> Path:
        """A PEM file of the authority that a client must trust; it lives as long as the sink."""
        path = Path(self._folder.name, "ca.pem")
        _authority().cert_pem.write_to_path(path)
        return path

    def client_context(self) -> ssl.SSLContext:
        """A verifying TLS context for clients that connect to 127.0.0.1 or localhost."""
        context = ssl.create_default_context()
        _authority().configure_trust(context)
        return context

    def refuse(self, address: str, reply: str) -> None:
        """Answer every RCPT TO of this address with a reply such as "550 5.1.1 no such user"."""
        self._handler.refused[address.lower()] = reply

    def refuse_sender(self, reply: str) -> None:
        """Answer every MAIL FROM with this reply; an empty one ends that."""
        self._handler.sender_reply = reply

    def fail(self, address: str, stage: Stage, fault: str) -> None:
        """Once, when this recipient's message is at this stage. A fault is a reply or one of smtp_server; 421 hangs up.

        CONTENT is while the message arrives, MESSAGE when it is whole.
        """
        self._handler.faults[address.lower(), stage] = fault

    def behave(self) -> None:
        """Forget the faults that have not come up."""
        self._handler.faults.clear()

    def hang_up(self) -> None:
        """End every connection, as servers do with clients that idle."""
        self._controller.hang_up()

    def refuse_next(self, reply: str) -> None:
        """Answer the next message that has no fault yet with a reply such as "451 4.3.0 try later"."""
        self._handler.script.append(reply)

    def drop_next(self, when: Literal["before", "after"]) -> None:
        """Hang up instead of answering the next message that has no fault yet, before or after taking it."""
        self._handler.script.append(_Drop(taken=when == "after"))


class _Drop(NamedTuple):
    taken: bool


class _Handler(Temper):
    """The hooks that aiosmtpd calls, all in the server's own thread."""

    def __init__(
        self,
        auth: tuple[str, str] | None,
        require_auth: bool,
        on_taken: Callable[[Taken], None],
        habits: dict[str, Any],
    ) -> None:
        super().__init__(**habits)
        self.on_taken = on_taken
        self.auth = auth
        self.require_auth = require_auth
        self.goodbyes = 0
        self.sender_reply = ""
        self.refused: dict[str, str] = {}
        self.script: deque[str | _Drop] = deque()

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        known = self.auth is not None and data == LoginPassword(*(part.encode() for part in self.auth))
        return AuthResult(success=known, handled=False)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, lines: list[str]
    ) -> list[str]:
        session.host_name = hostname
        offered = [line for line in lines if self.auth or not line.startswith("250-AUTH")]
        return offered[:-1] + ["250-PIPELINING"] * self.pipelining + offered[-1:]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        # Not aiosmtpd's own auth_required: that warns when TLS is not required as well.
        if self.require_auth and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if self.sender_reply:
            return await suffer(server, self.sender_reply)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.refused.get(address.lower()):
            return await suffer(server, reply)
        if fault := await self.fault_of(address, "RCPT"):
            return await suffer(server, fault)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = self.script.popleft() if self.script else None
        if isinstance(fault, str):
            return fault
        named = await self.fault(envelope, "MESSAGE")
        if (fault is None or fault.taken) and named in ("", TAKE_AND_HANG_UP, TAKE_AND_BE_SILENT):
            taken = Taken(envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b"")
            self.taken.append(taken)
            self.on_taken(taken)
            assert isinstance(server, Server)
            server.carried += 1
        if fault is not None:
            await hang_up(server)
        return await suffer(server, named) if named else "250 2.0.0 OK"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.goodbyes += 1
        return "221 2.0.0 Bye"


class _Controller(Controller):
    def __init__(self, handler: _Handler, *, starttls: bool, require_tls: bool) -> None:
        # Bound here and handed over: aiosmtpd wants to know its port beforehand, and a port that is
        # merely found free may be gone by then.
        self._socket = _bind()
        super().__init__(handler, hostname=HOST, port=self._socket.getsockname()[1])
        self._sink_handler = handler
        self._tls = _server_context() if starttls else None
        self._require_tls = require_tls
        self._sessions: list[SMTP] = []
        self.connections = 0

    def factory(self) -> SMTP:
        self.connections += 1
        session = Server(
            self._sink_handler,
            hostname="sink.test",
            loop=self.loop,
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            require_starttls=self._require_tls,
            auth_require_tls=self._require_tls,
            authenticator=self._sink_handler.authenticate,
        )
        self._sessions.append(session)
        return session

    def hang_up(self) -> None:
        """End what clients left open: stop() alone closes the loop under their sockets."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(timeout=10)

    async def _hang_up(self) -> None:
        for session in self._sessions:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=5)

    async def _create_server(self) -> asyncio.AbstractServer:
        return await self.loop.create_server(self._factory_invoker, sock=self._socket, backlog=128)


def _bind() -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without, replies take 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind((HOST, 0))
    return bound


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def _server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _authority().issue_cert(HOST, "localhost").configure_cert(context)
    return context
