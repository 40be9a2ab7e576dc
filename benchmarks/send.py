"""Handing over, end to end: due rows become answers, by real workers on a real database against a sink."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.bench import KINDS, Bench
from benchmarks.ceilings import FULL, QUICK
from benchmarks.cpu import cpu_seconds, peak_memory_mb
from benchmarks.service import running
from benchmarks.sinks import Sink, http_sink, smtp_sink

LONGEST_S = 300


@dataclass(frozen=True)
class Case:
    """What is measured: from `warm` recipients on, when every mail has been compiled once, until `until`."""

    provider: str
    batch: int
    workers: int
    warm: int
    until: int
    latency_ms: int = 0

    @property
    def parameters(self) -> dict[str, str | int]:
        known = {"batch": self.batch, "workers": self.workers}
        return {**known, "answer ms": self.latency_ms} if self.latency_ms else dict(known)


CASES = (
    Case("SendGrid", 200, 1, 40_000, 190_000),
    Case("SendGrid", 1000, 1, 40_000, 190_000),
    Case("SendGrid", 1, 1, 2_000, 8_000),
    Case("SendGrid", 200, 2, 40_000, 190_000),
    Case("SendGrid", 1000, 2, 40_000, 190_000, latency_ms=200),
    Case("SMTP", 50, 1, 20_000, 120_000),
    Case("SMTP", 50, 2, 20_000, 120_000),
)


def run(bench: Bench) -> None:
    for kind in KINDS:
        for case in CASES:
            if bench.quick:
                case = Case(case.provider, case.batch, case.workers, 300, 1_500, case.latency_ms)
            _measure(bench, kind, case)


def _measure(bench: Bench, kind: str, case: Case) -> None:
    with bench.copy(kind, QUICK if bench.quick else FULL) as url, _sink(case) as sink:
        env = _settings(case, sink)
        with running([["worker"]] * case.workers, url, bench.folder, env) as service:
            roots = (*service.pids, bench.server.pid) if kind == "postgresql" else service.pids
            _reach(sink, case, case.warm)
            began = (_taken(sink, case), cpu_seconds(*roots), time.perf_counter())
            _reach(sink, case, case.until)
            ended = (_taken(sink, case), cpu_seconds(*roots), time.perf_counter())
            memory = peak_memory_mb(*service.workers)
    count, cpu_s, wall_s = (after - before for after, before in zip(ended, began, strict=True))
    told = {"database": kind, **case.parameters}
    bench.report.add(f"send: {case.provider}", count / cpu_s, "recipients/CPU s", **told)
    bench.report.add(f"send: {case.provider}, by the clock", count / wall_s, "recipients/s", **told)
    bench.report.add(f"send: {case.provider}, memory of a worker", memory, "MiB at most", **told)
    if ceiling := _ceiling(bench, kind, case):
        bench.report.add(
            f"send: {case.provider} against the ceiling of its parts", 100 * count / cpu_s / ceiling, "%", **told
        )


def _settings(case: Case, sink: Sink) -> dict[str, str]:
    if case.provider == "SMTP":
        return {"FUNNEL_MAIL": f"smtp://127.0.0.1:{sink.port}"}
    return {
        "FUNNEL_MAIL": "sendgrid",
        "SENDGRID_API_KEY": "SG.bench",
        "SENDGRID_API_URL": sink.url,
        "FUNNEL_BATCH": str(case.batch),
    }


@contextmanager
def _sink(case: Case) -> Iterator[Sink]:
    with smtp_sink() if case.provider == "SMTP" else http_sink(latency_ms=case.latency_ms, counting=True) as sink:
        yield sink


def _taken(sink: Sink, case: Case) -> int:
    tally = sink.count()
    return tally.requests if case.provider == "SMTP" else tally.recipients


def _reach(sink: Sink, case: Case, count: int) -> None:
    give_up = time.perf_counter() + LONGEST_S
    while _taken(sink, case) < count:
        if time.perf_counter() > give_up:
            raise TimeoutError(f"{case}: only {_taken(sink, case)} of {count} handed over")
        time.sleep(0.05)


def _ceiling(bench: Bench, kind: str, case: Case) -> float | None:
    """What the parts alone reached in this run, if that has been measured."""
    for figure in bench.report.figures:
        same = figure.parameters.get("database") == kind and figure.parameters.get("batch", case.batch) == case.batch
        if figure.name == f"ceiling of the parts: {case.provider}" and same:
            return figure.value
    return None
