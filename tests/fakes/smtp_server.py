"""aiosmtpd's server, stricter about whose turn it is and worse-tempered."""

import asyncio
from collections.abc import Callable
from typing import Any, AnyStr, Literal, NamedTuple

from aiosmtpd.smtp import SMTP, Envelope

Stage = Literal["RCPT", "DATA", "CONTENT", "MESSAGE"]
Draw = Callable[[str, Stage], tuple[float, str]]  # of a message to an address: seconds to wait, and the fault or ""
HANG_UP, BE_SILENT = "hang up", "be silent"
TAKE_AND_HANG_UP, TAKE_AND_BE_SILENT = "take and hang up", "take and be silent"


class Taken(NamedTuple):
    """One accepted message; unpacks as (mail_from, rcpt_tos, raw)."""

    mail_from: str
    rcpt_tos: list[str]
    raw: bytes


class Temper:
    """What a server is to do, and what it has seen; SmtpSink says more. `faults` are by address and stage."""

    def __init__(self, *, pipelining: bool, limit: int | None, eager: bool, draw: Draw | None = None) -> None:
        self.pipelining = pipelining
        self.draw = draw
        self.limit = limit
        self.eager = eager
        self.early = 0
        self.taken: list[Taken] = []
        self.faults: dict[tuple[str, Stage], str] = {}

    async def fault(self, envelope: Envelope, stage: Stage) -> str:
        return await self.fault_of(envelope.rcpt_tos[0], stage) if envelope.rcpt_tos else ""

    async def fault_of(self, address: str, stage: Stage) -> str:
        found = self.faults.pop((address.lower(), stage), "")
        if found or self.draw is None:
            return found
        pause_s, found = self.draw(address.lower(), stage)
        await asyncio.sleep(pause_s)
        return found


async def suffer(server: SMTP, fault: str) -> str:
    if fault in (HANG_UP, TAKE_AND_HANG_UP):
        await hang_up(server)
    if fault in (BE_SILENT, TAKE_AND_BE_SILENT):
        await asyncio.Event().wait()
    if fault.startswith("421"):
        assert server.transport is not None
        await SMTP.push(server, fault)
        server.transport.close()
        await asyncio.Event().wait()
    return fault


async def hang_up(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.WriteTransport)
    server.transport.abort()
    # The lost connection cancels this task; returning instead would write a reply to a dead transport.
    await asyncio.Event().wait()


class Server(SMTP):
    """`carried`: messages taken on this connection."""

    def __init__(self, temper: Temper, **settings: Any) -> None:
        super().__init__(temper, **settings)
        self._temper = temper
        self.carried = 0

    async def push(self, status: AnyStr) -> None:
        # Whatever has come by now was sent without waiting for this answer.
        waits = not self._temper.pipelining or str(status).startswith("354")
        self._temper.early += bool(waits and self._reader._buffer)  # type: ignore[attr-defined]
        await super().push(status)

    async def smtp_MAIL(self, arg: str | None) -> None:
        if self._temper.limit is not None and self.carried >= self._temper.limit:
            await self.push(await suffer(self, "421 4.7.0 too many messages on this connection"))
        else:
            await super().smtp_MAIL(arg)

    async def smtp_DATA(self, arg: str | None) -> None:
        envelope = self.envelope
        assert envelope is not None
        if not envelope.rcpt_tos:
            await (self._take_nothing(envelope) if self._temper.eager else self.push("554 5.5.1 no valid recipients"))
        elif fault := await self._temper.fault(envelope, "DATA"):
            await self.push(await suffer(self, fault))
        elif fault := await self._temper.fault(envelope, "CONTENT"):
            await self.push("354 go ahead")
            await self._reader.readuntil(b"\r\n")
            await super().push(await suffer(self, fault))  # here it is the server that speaks before its turn
            await asyncio.Event().wait()
        else:
            await super().smtp_DATA(arg)

    async def _take_nothing(self, envelope: Envelope) -> None:
        await self.push("354 go ahead")
        content = b""
        while (line := await self._reader.readuntil(b"\r\n")) != b".\r\n":
            content += line
        if content:
            self._temper.taken.append(Taken(envelope.mail_from or "", [], content))
        self.envelope = self._create_envelope()
        await self.push("554 5.5.1 no valid recipients")
