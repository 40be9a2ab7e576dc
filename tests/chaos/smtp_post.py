"""An SMTP server that takes mail badly: it breaks off at any stage of a message, refuses, is slow or falls silent."""

import random
from contextlib import AbstractContextManager
from typing import Any

from tests.chaos.journal import now_ms
from tests.chaos.post import Post, read_mail
from tests.fakes.smtp import SmtpSink
from tests.fakes.smtp_server import BE_SILENT, HANG_UP, TAKE_AND_BE_SILENT, TAKE_AND_HANG_UP, Stage
from tests.fakes.smtp_server import Taken as Raw

LATER = "451 4.3.0 try again later"
FULL = "421 4.7.0 too busy"
NEVER = "550 5.1.1 no such user"
FAULTS: dict[Stage, tuple[str, ...]] = {
    "RCPT": (LATER, HANG_UP, FULL),
    "DATA": (LATER, HANG_UP, FULL),
    "CONTENT": (HANG_UP,),
    "MESSAGE": (LATER, FULL, HANG_UP, BE_SILENT, TAKE_AND_HANG_UP, TAKE_AND_HANG_UP, TAKE_AND_BE_SILENT),
}
SELDOM = 0.15  # how much of a fault's share one that falls silent has: it holds up a whole window
REFUSED = 0.004  # what share of the messages can never be taken


class SmtpPost(Post):
    mail = "smtp"

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._draw = random.Random(seed)
        self._reached: set[str] = set()
        self._met: dict[str, str] = {}  # address → the fault that its last message met
        self._sink = SmtpSink(draw=self._next_fault, on_taken=self._take)

    @property
    def server(self) -> AbstractContextManager[Any]:
        return self._sink

    def env(self) -> dict[str, str]:
        return {"FUNNEL_MAIL": f"smtp://{self._sink.host}:{self._sink.port}"}

    def _next_fault(self, address: str, stage: Stage) -> tuple[float, str]:
        """(seconds to wait, fault) of a message at a stage; called in the server's own thread, as `_take` is."""
        self._met[address] = ""
        if not self.rate:
            return 0.0, ""
        if address in self.refused:
            return 0.0, NEVER if stage == "RCPT" else ""
        if stage == "RCPT" and address in self._reached and self._draw.random() < REFUSED:
            self.refused.add(address)
            return 0.0, NEVER
        drawn = self._draw.random() < self.rate * (1.0 if stage == "MESSAGE" else 0.2)
        fault = self._draw.choice(FAULTS[stage]) if drawn else ""
        if fault in (BE_SILENT, TAKE_AND_BE_SILENT) and self._draw.random() > SELDOM:
            fault = ""
        self._met[address] = fault
        self.faults[f"{fault} ({stage})" if fault else "none"] += bool(fault) or stage == "MESSAGE"
        return self._draw.uniform(0, 0.03) if stage == "MESSAGE" else 0.0, fault

    def _take(self, raw: Raw) -> None:
        mail = read_mail(raw.raw, now_ms(), self._met.get(raw.rcpt_tos[0], ""))
        self.taken.append(mail)
        if mail.is_lesson:
            self._reached.add(mail.to)
        self.on_mail(mail)
