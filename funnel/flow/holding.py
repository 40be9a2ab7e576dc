"""Pause and resume, and the breaker that leaves a provider alone while it answers badly."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Engine

from funnel.core import pace
from funnel.core.delivery import Health
from funnel.flow import watch
from funnel.store import holds, revisions
from funnel.store.db import writing
from funnel.store.holds import EVERYTHING
from funnel.store.tables import Record

PROVIDERS = ("outbox", "sendgrid", "smtp")
PROBE_MS = 60_000  # the one batch that goes first has its answer by then; if not, another one goes


class Gate(StrEnum):
    """Whether batches go to a provider."""

    OPEN = "open"
    HALF_OPEN = "half-open"  # one batch goes first; its answer decides
    SHUT = "shut"


@dataclass(frozen=True)
class Held:
    """What is not sent now."""

    everything: bool
    funnels: frozenset[str]
    providers: Mapping[str, Gate]

    def provider(self, name: str) -> Gate:
        return Gate.SHUT if self.everything else self.providers.get(name, Gate.OPEN)


def current(connection: Connection, now_ms: int) -> Held:
    """What is held now; a handful of rows at most."""
    rows = holds.listed(connection)
    named = {row.scope: _gate(row, now_ms) for row in rows}
    return Held(
        everything=named.get(EVERYTHING) == Gate.SHUT,
        funnels=frozenset(name for name, gate in _inside(named, "funnel:") if gate == Gate.SHUT),
        providers=dict(_inside(named, "provider:")),
    )


def pause(engine: Engine, scope: str, reason: str, now_ms: int) -> str | None:
    """Holds "all", "funnel:<name>" or "provider:<name>" until somebody resumes it. Else a sentence: why not."""
    with writing(engine) as connection:
        refusal = _refusal(connection, scope)
        if refusal is None:
            holds.put(connection, scope, reason, now_ms)
        return refusal


def resume(engine: Engine, scope: str, now_ms: int) -> bool:
    """Ends a hold, whoever asked for it. False when there was none.

    What waits in a funnel that is resumed becomes its forecast: the watch has been overruled for what it saw.
    """
    with writing(engine) as connection:
        removed = holds.remove(connection, scope)
        if removed and scope.startswith("funnel:"):
            watch.begin_anew(connection, scope.removeprefix("funnel:"), now_ms)
        return removed


class Breaker:
    """One worker's ear for its provider. For one thread at a time; all workers share the hold that it writes."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self._scope = holds.provider_scope(provider)
        self._in_a_row = 0
        self._held = False
        self._probing = False

    def admits(self, connection: Connection, held: Held, now_ms: int) -> bool:
        """Whether a batch may be started, asked in the transaction that starts it. `held` is what is held now.

        Half-open, it says yes once, to one worker, whose next answer decides; without one, once more after PROBE_MS.
        """
        self._held = self.provider in held.providers
        gate = held.provider(self.provider)
        if gate != Gate.HALF_OPEN:
            return gate == Gate.OPEN
        claimed = holds.claim(connection, self._scope, now_ms, now_ms + PROBE_MS)
        self._probing = self._probing or claimed
        return claimed

    def listen(self, engine: Engine, health: Health, retry_ms: int, now_ms: int) -> bool:
        """Hears how an answer speaks of the provider; `retry_ms` is the wait that a busy one asked for.

        True when this shut the gate. Costs nothing while all is well.
        """
        if health == Health.UNASKED:
            return False
        self._in_a_row = self._in_a_row + 1 if health in pace.PATIENCE else 0
        if health == Health.FINE:
            self._lift(engine, now_ms)
            return False
        if pace.hold_ms(health, self._in_a_row, int(self._held), retry_ms) is None:
            return False
        with writing(engine) as connection:
            return self._hold(connection, health, retry_ms, now_ms)

    def _lift(self, engine: Engine, now_ms: int) -> None:
        """Late answers to what was sent before the hold say nothing about now: only the probe's ends it early."""
        if not self._held:
            return
        with writing(engine) as connection:
            lifted = holds.lift(connection, self._scope, None if self._probing else now_ms)
        self._held, self._probing = self._held and not lifted, False

    def _hold(self, connection: Connection, health: Health, retry_ms: int, now_ms: int) -> bool:
        row = holds.by_scope(connection, self._scope, lock=True)
        if row and row.until_ms is None:
            return False
        strikes = row.strikes if row else 0
        shut = row is not None and row.until_ms > now_ms and not self._probing
        # What was under way when the gate shut may make that hold longer, but is no strike of its own.
        held_ms = pace.hold_ms(health, self._in_a_row, max(strikes - 1, 0) if shut else strikes, retry_ms)
        if held_ms is None:
            return False
        until_ms = max(now_ms + held_ms, row.until_ms) if row and shut else now_ms + held_ms
        strikes = max(strikes, 1) if shut or health == Health.BUSY else strikes + 1
        holds.put_until(connection, self._scope, f"the provider is {health}", now_ms, until_ms, strikes)
        self._in_a_row, self._held, self._probing = 0, True, False
        return not shut


def _gate(row: Record, now_ms: int) -> Gate:
    return Gate.SHUT if row.until_ms is None or row.until_ms > now_ms else Gate.HALF_OPEN


def _inside(named: Mapping[str, Gate], kind: str) -> list[tuple[str, Gate]]:
    return [(scope.removeprefix(kind), gate) for scope, gate in named.items() if scope.startswith(kind)]


def _refusal(connection: Connection, scope: str) -> str | None:
    kind, _, name = scope.partition(":")
    if scope == EVERYTHING:
        return None
    if kind not in ("funnel", "provider"):
        return "Pause all, funnel:<name> or provider:<name>."
    known = PROVIDERS if kind == "provider" else tuple(sorted(revisions.current(connection)))
    return None if name in known else f"There is no such {kind}. Known: {', '.join(known) or 'none'}."
