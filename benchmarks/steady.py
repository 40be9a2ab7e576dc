"""Whether a worker's memory stays flat while it sends a million mails."""

import statistics

from benchmarks.bench import Bench
from benchmarks.ceilings import FULL, QUICK
from benchmarks.cpu import memory_mb
from benchmarks.rounds import Rounds
from benchmarks.send import settings
from benchmarks.service import running
from benchmarks.sinks import http_sink

MILLION = 1_000_000
EVERY = 100_000
DUE = 50_000
BATCH = 200


def run(bench: Bench) -> None:
    total, every, due = (2_000, 500, 500) if bench.quick else (MILLION, EVERY, DUE)
    known: dict[str, str | int] = {"database": "sqlite", "batch": BATCH}
    sizes: list[tuple[int, float]] = []
    peak = 0.0
    with (
        bench.copy("sqlite", QUICK if bench.quick else FULL) as url,
        bench.engine(url) as engine,
        http_sink() as sink,
    ):
        rounds = Rounds(engine)
        with running([["worker"]], url, bench.folder, settings("SendGrid", sink, BATCH)) as service:
            for sent in range(due, total + 1, due):
                rounds.run(service, due)
                peak = max(peak, memory_mb(service.workers[0]))
                if sent % every == 0:
                    sizes.append((sent, memory_mb(service.workers[0])))
                    bench.report.add("steady: a worker's memory", sizes[-1][1], "MiB", **known, sends=sent)
    # The first hundred thousand fill the caches.
    slope = statistics.linear_regression(*zip(*sizes[1:], strict=True)).slope
    bench.report.add("steady: growth after the first of these", slope * MILLION, "MiB per million sends", **known)
    bench.report.add("steady: a worker's memory, the most after any round", peak, "MiB", **known, sends=total)
