"""What planning 1,000 due lessons costs out of 10 thousand, 1 million and 10 million enrollments."""

from dataclasses import replace

from sqlalchemy import func, select, update

from benchmarks.bench import KEYRING, KINDS, Bench
from benchmarks.cpu import Meter
from benchmarks.crowd import Shape
from benchmarks.report import median
from funnel.core.delivery import State
from funnel.flow import plan
from funnel.flow.tools import Tools
from funnel.store.db import writing
from funnel.store.tables import batch
from tests.conftest import make_tools

DUE = 1_000
ROUNDS = 9  # the first one warms up
SPREAD_MS = 60_000
MANY = 10_000_000
KEPT_AT_MOST = 3_000_000  # past deliveries of people that nobody looks at only cost time to seed


def run(bench: Bench) -> None:
    sizes = (5_000, 20_000) if bench.quick else (10_000, 1_000_000, MANY)
    for kind in KINDS:
        smallest = 0.0
        for size in sizes:
            shape = _shape(size, bench)
            cost = _report(bench, kind, shape, {})
            smallest = smallest or cost
            known = {"database": kind, "enrollments": size}
            bench.report.add("plan: cost against the smallest", cost / smallest, "times", **known)
    _report(bench, "postgresql", replace(_shape(sizes[1], bench), scattered=True), {"due rows": "scattered"})


def _shape(size: int, bench: Bench) -> Shape:
    due = 100 if bench.quick else DUE
    moved_on = min(1.0, KEPT_AT_MOST / (3 * size))
    return Shape(size, due, ROUNDS, SPREAD_MS, moved_on=moved_on, scattered=False, sealed=False)


def _report(bench: Bench, kind: str, shape: Shape, how: dict[str, str | int]) -> float:
    """Seeds, measures and reports. Returns the CPU seconds of one planning."""
    url, seeded = bench.seeded(kind, shape)
    known: dict[str, str | int] = {"database": kind, "enrollments": shape.readers, **how}
    bench.report.add("plan: seeding", seeded.wall_s, "s", **known, deliveries=seeded.deliveries)
    cost, rate = _measure(bench, url, shape)
    bench.report.add("plan: cost", cost * 1e6 / shape.due, "µs CPU per lesson", **known)
    bench.report.add("plan: speed", rate, "rows/s", **known)
    bench.forget(kind, shape)
    return cost


def _measure(bench: Bench, url: str, shape: Shape) -> tuple[float, float]:
    """(CPU seconds of one planning, lessons planned per second of the clock): medians over the rounds.

    The CPU is this process's and that of the server processes it is connected to.
    """
    costs, rates = [], []
    with bench.engine(url) as engine:
        tools = make_tools(engine, KEYRING)
        for turn in range(ROUNDS):
            now_ms = bench.now_ms + turn * SPREAD_MS
            backends = bench.server.backends(url) if engine.dialect.name == "postgresql" else []
            with Meter(*backends) as meter:
                plan.plan(tools, now_ms)
            planned = _finish(tools)
            assert planned == shape.due, f"{planned} planned"
            costs.append(meter.cpu_s)
            rates.append(planned / meter.wall_s)
    return median(costs[1:]), median(rates[1:])


def _finish(tools: Tools) -> int:
    """Closes what was planned, so that the next planning finds no more than this one did. Returns how many lessons."""
    with writing(tools.engine) as connection:
        planned = batch.c.state == State.PLANNED
        count = connection.scalar(select(func.sum(batch.c.size)).where(planned))
        connection.execute(update(batch).where(planned).values(state=State.ACCEPTED))
        return int(count or 0)
