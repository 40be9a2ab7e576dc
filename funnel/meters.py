"""A worker's own meters: how long its steps take and what providers answer, served on a port of this machine.

Counting costs a few microseconds a batch, so it is done whether or not anybody asks.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from types import TracebackType
from typing import Literal, get_args
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from funnel.core.delivery import State

Step = Literal["plan", "start", "settle", "tick"]

HERE = "127.0.0.1"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
MOST_ANSWERS = 60
_CLASS = re.compile(r"[a-z][a-z _-]{0,23}")

log = structlog.get_logger()


class Meters:
    """One worker's. Labels are closed sets of ours: no id, no name, nothing that a provider wrote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory and CPU
        steps = self._histogram("funnel_step_seconds", "Time of a worker's steps.", "step")
        self._steps: dict[Step, Histogram] = {step: steps.labels(step) for step in get_args(Step)}
        help_ = "Time a provider took to answer a batch, by the batch's fate and the kind of answer."
        self._answers = self._histogram("funnel_hand_over_seconds", help_, "provider", "fate", "answer")
        self._answer_of: dict[tuple[str, str, str], Histogram] = {}
        help_ = "Recipients that a provider has answered for, by fate."
        recipients = Counter("funnel_handed_over_recipients", help_, ["fate"], registry=self.registry)
        self._recipients = {state: recipients.labels(state) for state in State}
        self._in_flight = Gauge("funnel_batches_in_flight", "Batches a provider now has.", registry=self.registry)
        self._server: WSGIServer | None = None

    def time(self, step: Step) -> "_Stopwatch":
        """Measures what happens inside `with`, faults included."""
        return _Stopwatch(self._steps[step])

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Counts a batch as with the provider, inside `with`."""
        self._in_flight.inc()
        try:
            yield
        finally:
            self._in_flight.dec()

    def answered(self, provider: str, fate: State, answer: str, seconds: float, recipients: int) -> None:
        """A provider's answer to a batch after `seconds`: its shared fate, and how many recipients have that one.

        `answer` is a class of our own (a Health, say), lower case; anything else counts as "other".
        """
        key = (provider, fate, answer)
        (self._answer_of.get(key) or self._answer(key)).observe(seconds)
        self._recipients[fate].inc(recipients)

    def differed(self, fate: State, recipients: int) -> None:
        """Recipients of a batch whose fate was not the shared one."""
        self._recipients[fate].inc(recipients)

    def serve(self, port: int) -> int | None:
        """Serves GET /metrics on this machine only, from a thread. Returns the port (0 picks one), or None if taken."""
        try:
            self._server, _ = start_http_server(port, HERE, self.registry)
        except OSError as error:
            # Another worker of this machine has it; sending matters more.
            log.warning("meters are not served", port=port, fault=type(error).__name__)
            return None
        return self._server.server_port

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, key: tuple[str, str, str]) -> Histogram:
        """The histogram of these labels; what comes from no closed set shares one, so that labels never grow."""
        provider, fate, answer = key
        if not _CLASS.fullmatch(answer) or len(self._answer_of) >= MOST_ANSWERS:
            return self._answers.labels(provider, fate, "other")
        return self._answer_of.setdefault(key, self._answers.labels(provider, fate, answer))

    def _histogram(self, name: str, help_: str, *labels: str) -> Histogram:
        return Histogram(name, help_, labels, buckets=SECONDS, registry=self.registry)


class _Stopwatch:
    __slots__ = ("_histogram", "_since")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def __enter__(self) -> None:
        self._since = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._histogram.observe(perf_counter() - self._since)
