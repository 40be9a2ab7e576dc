"""The operator, who pauses the funnel now and then: what had been planned by then is unplanned, and planned anew."""

import time

from sqlalchemy import Engine, select

from funnel.core.delivery import Kind, State
from funnel.flow import holding
from funnel.store.db import reading
from funnel.store.holds import funnel_scope
from funnel.store.tables import batch
from tests.chaos.journal import now_ms

EVERY_S, LONGEST_S = 12.0, 8.0


class Operator:
    def __init__(self, engine: Engine, funnel: str) -> None:
        self.pauses = 0
        self._engine = engine
        self._scope = funnel_scope(funnel)
        self._paused_at: float | None = None
        self._next = time.monotonic() + EVERY_S

    def look(self) -> None:
        """Pauses when it is time to and something has been planned; until that has gone. Both may fail."""
        now = time.monotonic()
        if self._paused_at is not None:
            if now > self._paused_at + LONGEST_S or not self._anything_planned():
                self.resume()
        elif now > self._next and self._anything_planned():
            holding.pause(self._engine, self._scope, "chaos", now_ms())
            self._paused_at = now
            self.pauses += 1

    def resume(self) -> None:
        if self._paused_at is not None:
            holding.resume(self._engine, self._scope, now_ms())
            self._paused_at, self._next = None, time.monotonic() + EVERY_S

    def _anything_planned(self) -> bool:
        planned = (batch.c.state == State.PLANNED) & (batch.c.kind == Kind.LESSON) & batch.c.started_ms.is_(None)
        with reading(self._engine) as connection:
            return connection.scalar(select(batch.c.id).where(planned).limit(1)) is not None
