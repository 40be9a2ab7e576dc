"""The event webhook: what taking signed events costs the web process, and what applying them costs the worker."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import urllib3
from sqlalchemy import Engine, select

from benchmarks.bench import KEYRING, KINDS, Bench
from benchmarks.ceilings import FULL, QUICK
from benchmarks.cpu import Meter, cpu_seconds
from benchmarks.latency import wait_for_web, web_settings
from benchmarks.report import median
from benchmarks.service import Service, running
from funnel.flow import events
from funnel.store.db import reading
from funnel.store.tables import batch
from tests.conftest import make_tools
from tests.fakes.webhook import Signer, dump, event

SIZES = (100, 1000)
WAVES = 5  # the first one warms up
BATCHES = 40  # whose events come mixed
UNIT = "events/CPU s"
# What becomes of a delivery after it was processed; the rest is delivered.
FATES = (("bounce", 0.003), ("spamreport", 0.001), ("deferred", 0.03))


class Wave(NamedTuple):
    """Events per CPU second: of being taken in, in bodies of so many, and of being applied."""

    taken: float
    applied: float


def run(bench: Bench) -> None:
    for kind in KINDS:
        for size in SIZES:
            waves = _measure(bench, kind, size)
            known: dict[str, str | int] = {"database": kind, "events a request": size}
            bench.report.add("webhook: events taken", median(wave.taken for wave in waves), UNIT, **known)
            bench.report.add("webhook: events applied", median(wave.applied for wave in waves), UNIT, **known)


def _measure(bench: Bench, kind: str, size: int) -> list[Wave]:
    signer, (web, env) = Signer(), web_settings()
    env |= {"FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "SG.bench", "SENDGRID_WEBHOOK_KEY": signer.public}
    with (
        bench.copy(kind, QUICK if bench.quick else FULL) as url,
        bench.engine(url) as engine,
        running([["web"]], url, bench.folder, env) as service,
        urllib3.PoolManager(maxsize=1, retries=False) as provider,
    ):
        wait_for_web(provider, web)
        server = [bench.server.pid] if kind == "postgresql" else []
        chance = random.Random(size)

        def post(body: bytes) -> None:
            headers = signer.headers(body, _now_ms())
            answer = provider.request("POST", f"{web}/hooks/sendgrid", body=body, headers=headers)
            assert answer.status == 200, answer.status

        waves = []
        for uids in _waves(engine, 8 if bench.quick else BATCHES, chance):
            told = list(_events(uids, chance))
            bodies = [dump(*told[start : start + size]) for start in range(0, len(told), size)]
            taken = _post(bodies, post, service, server)
            waves.append(Wave(len(told) / taken, len(told) / _apply(engine, len(told), server)))
        return waves[1:]


def _waves(engine: Engine, count: int, chance: random.Random) -> Iterator[list[tuple[str, int]]]:
    """(uid, size) of so many past batches, WAVES times; none comes twice."""
    with reading(engine) as connection:
        rows = [(row.uid, row.size) for row in connection.execute(select(batch.c.uid, batch.c.size))]
    chosen = chance.sample(rows, WAVES * count)
    return (chosen[start : start + count] for start in range(0, len(chosen), count))


def _events(uids: Sequence[tuple[str, int]], chance: random.Random) -> Iterator[dict[str, Any]]:
    """Everything that becomes of these batches, in random order."""
    told = []
    for uid, size in uids:
        for position in range(size):
            kinds = ["processed", *_fate(chance.random())]
            told += [event(uid, position, kind, _now_ms()) for kind in kinds]
    chance.shuffle(told)
    return iter(told)


def _fate(drawn: float) -> tuple[str, ...]:
    for kind, share in FATES:
        if drawn < share:
            return (kind,) if kind == "bounce" else (kind, "delivered")
        drawn -= share
    return ("delivered",)


def _post(bodies: Sequence[bytes], post: Callable[[bytes], None], service: Service, server: Sequence[int]) -> float:
    """CPU seconds of the web process and the database's server."""
    before = cpu_seconds(*service.workers, *server)
    for body in bodies:
        post(body)
    return cpu_seconds(*service.workers, *server) - before


def _apply(engine: Engine, count: int, server: Sequence[int]) -> float:
    """CPU seconds of applying all of them, as the worker does, and the database's server."""
    tools = make_tools(engine, KEYRING)
    done = 0
    with Meter(*server) as meter:
        while some := events.apply(tools, _now_ms()):
            done += some
    assert done == count, f"{done} of {count} events applied"
    return meter.cpu_s


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
