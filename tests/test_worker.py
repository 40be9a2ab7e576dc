"""The worker's jobs, with real threads and a real database: no answer of a provider is thrown away."""

import asyncio
import dataclasses
import threading
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from funnel import settings, worker
from funnel.core.delivery import ACCEPTED, Report, State, Unknowns
from funnel.flow import plan, send
from funnel.flow.compose import compose_lesson
from funnel.flow.tools import Tools
from funnel.mail.provider import Mailing
from funnel.runtime import Runtime
from funnel.store.tables import batch
from tests.conftest import Clock
from tests.world import ALICE, BOB, World


class Gate:
    """A provider that answers when it is told to."""

    name, batch_size, unknowns = "smtp", 50, Unknowns.HOLD

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.handed: list[str] = []

    def hand_over(self, mailing: Mailing) -> Report:
        self.reached.set()
        assert self.open.wait(30)
        self.handed.append(mailing.uid)
        return Report(ACCEPTED)

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture
def world(tools: Tools, tmp_path: Any) -> World:
    """With the machine's own clock, which the worker reads."""
    return World(dataclasses.replace(tools, batch_size=1), Clock(Runtime.now_ms()), tmp_path / "outbox")


def lesson_batches(world: World, *addresses: str) -> list[int]:
    world.join_all(*addresses)
    plan.plan(world.tools, world.clock())
    return [row.id for row in world.rows(batch) if row.kind == "lesson"]


def hands(world: World, provider: Gate, lease_ms: int = 15_000) -> worker.Hands:
    tools = dataclasses.replace(world.tools, lease_ms=lease_ms, repeat_unknowns=False)
    return worker.Hands(Runtime(settings.load({}), tools, provider))


def states(world: World) -> list[str]:
    return [row.state for row in world.rows(batch) if row.kind == "lesson"]


def test_an_answer_counts_though_its_job_was_cut_off(world: World) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    busy = hands(world, gate)

    async def cut_off() -> None:
        job = asyncio.create_task(worker.send_batches({"hands": busy}, ids))
        await asyncio.to_thread(gate.reached.wait, 30)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        gate.open.set()
        await asyncio.gather(*busy.busy)

    asyncio.run(cut_off())
    assert states(world) == [State.ACCEPTED]


def test_an_answer_counts_though_the_lease_could_not_be_renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE), Gate()
    busy = hands(world, gate, lease_ms=600)

    def away(*_: object) -> bool:
        gate.open.set()
        raise OperationalError("SELECT 1", {}, Exception("the database is away for a moment"))

    monkeypatch.setattr(send, "renew", away)
    asyncio.run(worker.send_batches({"hands": busy}, ids))
    assert states(world) == [State.ACCEPTED]


def test_a_batch_that_cannot_be_built_keeps_nobody_else_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, gate = lesson_batches(world, ALICE, BOB), Gate()
    gate.open.set()
    compose = compose_lesson

    def broken(tools: Any, funnel: Any, row: Any) -> Any:
        if row.id == ids[0]:
            raise RuntimeError("a layout that does not render")
        return compose(tools, funnel, row)

    monkeypatch.setattr(send, "compose_lesson", broken)
    asyncio.run(worker.send_batches({"hands": hands(world, gate)}, ids))
    assert states(world) == [State.PLANNED, State.ACCEPTED]
