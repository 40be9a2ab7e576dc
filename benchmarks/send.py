"""Handing over, end to end: due rows become accepted lessons, by real workers on a real database against a sink."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from benchmarks.bench import KINDS, Bench
from benchmarks.ceilings import FULL, QUICK, Ceiling, ceiling
from benchmarks.cpu import memory_mb
from benchmarks.report import median
from benchmarks.rounds import Round, Rounds
from benchmarks.service import Service, running
from benchmarks.sinks import Sink, http_sink, smtp_sink
from tests.conftest import BASE_URL


@dataclass(frozen=True)
class Case:
    """What is measured: `due` readers in each of `rounds`, after `warm_ups` of `warm` readers."""

    provider: str
    batch: int
    workers: int
    warm: int
    due: int
    latency_ms: int = 0
    connections: int = 0  # to an SMTP server; 0: as many as by default
    warm_ups: int = 4  # every worker compiles every mail once, and each of these leaves some to the others
    rounds: int = 3

    @property
    def parameters(self) -> dict[str, str | int]:
        known = {"batch": self.batch, "workers": self.workers}
        special = {"answer ms": self.latency_ms, "connections": self.connections}
        return {**known, **{name: value for name, value in special.items() if value}}


CASES = (
    Case("SendGrid", 1, 1, 1_000, 3_000),
    Case("SendGrid", 200, 1, 5_000, 60_000),
    Case("SendGrid", 1000, 1, 5_000, 60_000),
    Case("SendGrid", 200, 2, 5_000, 60_000),
    Case("SendGrid", 1000, 2, 5_000, 180_000, latency_ms=200),  # as in life, the beginning is not most of it
    Case("SMTP", 50, 1, 5_000, 30_000),
    Case("SMTP", 50, 2, 5_000, 30_000),
    Case("SMTP", 50, 1, 5_000, 30_000, connections=12),
)


def run(bench: Bench) -> None:
    for kind in KINDS:
        with ceiling(bench, kind) as limit:
            for case in CASES:
                if bench.quick:
                    case = replace(case, warm=100, due=300, warm_ups=1, rounds=1)
                _measure(bench, kind, case, limit)


def _measure(bench: Bench, kind: str, case: Case, limit: Ceiling) -> None:
    server = bench.server.pid if kind == "postgresql" else None
    with (
        bench.copy(kind, QUICK if bench.quick else FULL) as url,
        bench.engine(url) as engine,
        sink_of(case.provider, case.latency_ms) as sink,
    ):
        rounds = Rounds(engine)
        known = settings(case.provider, sink, case.batch, case.connections)
        with running([["worker"]] * case.workers, url, bench.folder, known) as told:
            for _ in range(case.warm_ups):
                rounds.run(told, case.warm, server)
            found = [
                (limit.rate(case.provider, case.batch), rounds.run(told, case.due, server)) for _ in range(case.rounds)
            ]
            _check(sink, case)
            _report(bench, kind, case, found, told)


def _report(bench: Bench, kind: str, case: Case, found: Sequence[tuple[float, Round]], service: Service) -> None:
    name, known = f"send: {case.provider}", {"database": kind, **case.parameters}
    limits, rounds = zip(*found, strict=True)
    rates = [each.count / each.cpu_s for each in rounds]
    bench.report.add(name, median(rates), "recipients/CPU s", **known)
    bench.report.add(
        f"{name}, by the clock", median(each.count / each.wall_s for each in rounds), "recipients/s", **known
    )
    for part in rounds[0].parts:
        cost = median(each.parts[part] * 1e6 / each.count for each in rounds)
        bench.report.add(f"{name}, {part}", cost, "µs CPU per recipient", **known)
    bench.report.add(f"{name}, a worker's memory", max(map(memory_mb, service.workers)), "MiB", **known)
    bench.report.add(f"{name}, ceiling of its parts", median(limits), "recipients/CPU s", **known)
    shares = [100 * rate / most for rate, most in zip(rates, limits, strict=True)]
    bench.report.add(f"{name} against that ceiling", median(shares), "%", **known)


def settings(provider: str, sink: Sink, batch: int, connections: int = 0) -> dict[str, str]:
    """What the service is told of its provider, which `sink` plays."""
    shared = {"FUNNEL_BASE_URL": BASE_URL, "FUNNEL_BATCH": str(batch)}
    if connections:
        shared["FUNNEL_SMTP_CONNECTIONS"] = str(connections)
    if provider == "SMTP":
        return {**shared, "FUNNEL_MAIL": sink.url}
    return {**shared, "FUNNEL_MAIL": "sendgrid", "SENDGRID_API_KEY": "SG.bench", "SENDGRID_API_URL": sink.url}


@contextmanager
def sink_of(provider: str, latency_ms: int = 0) -> Iterator[Sink]:
    with smtp_sink() if provider == "SMTP" else http_sink(latency_ms=latency_ms) as sink:
        yield sink


def _check(sink: Sink, case: Case) -> None:
    """Nothing was accepted that the sink has not taken."""
    count = case.warm_ups * case.warm + case.rounds * case.due
    least = count if case.provider == "SMTP" else count // case.batch
    if sink.count().requests < least:
        raise AssertionError(f"{case}: the sink has taken {sink.count()} only")
