"""GET /metrics: the figures of the whole service, asked of SQL at each scrape. A worker's timings: funnel/meters.py."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from funnel.core.delivery import State
from funnel.core.schedule import DAY_MS, HOUR_MS, is_zone
from funnel.store import figures, holds
from funnel.store.db import reading
from funnel.store.tables import Record
from funnel.web.operator import only_operators, redis_state
from funnel.web.visit import Visit

LATENESS_S = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
WEBHOOK_S = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 24 * 3600)
_OF_THE_DAY = f"batches settled in the last 24 hours (at most the newest {figures.SETTLED_AT_MOST:,})"


def metrics(visit: Visit) -> Response:
    """Prometheus' text format; only for operators. 503 while the database is away."""
    only_operators(visit)
    try:
        text = generate_latest(_Scrape(tuple(_families(visit))))
    except SQLAlchemyError:
        raise HTTPException(503) from None
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Scrape(NamedTuple):
    """What prometheus-client takes for a collector; nothing of it outlives the scrape."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def _families(visit: Visit) -> Iterator[Metric]:
    with reading(visit.tools.engine) as connection:
        slugs = {funnel.name: funnel.slug for _, funnel in visit.tools.current(connection).values()}
        provider = visit.site.settings.mail.partition(":")[0]
        yield from _waiting(connection, visit.now_ms)
        yield from _open(connection, visit.now_ms)
        yield from _settled(connection, visit.now_ms)
        yield from _webhook(connection, visit.now_ms)
        yield _held(connection, slugs, provider, visit.now_ms)
        yield _family(
            "funnel_suppressed_addresses",
            f"Addresses that are not mailed, by reason; {figures.SUPPRESSED_AT_MOST:,} are counted at most.",
            [({"reason": reason}, count) for reason, count in figures.suppressions(connection).items()],
        )
        unknown = sum(people for zone, people in figures.zones(connection).items() if not is_zone(zone))
        help_ = (
            f"Of the newest {figures.ZONES_AT_MOST:,} subscribers: by the funnel's time zone, for want of a known one."
        )
        yield _family("funnel_unknown_zone_subscribers", help_, [({}, unknown)])
    age_ms = redis_state(visit)["tick_age_ms"]
    ticked: Samples = [({}, age_ms / 1000)] if isinstance(age_ms, int) else []
    yield _family("funnel_worker_last_tick_age_seconds", "Since a worker last ticked; absent if Redis is.", ticked)


def _waiting(connection: Connection, now_ms: int) -> Iterator[Metric]:
    lessons = figures.backlog(connection, now_ms)
    help_ = f"Lessons that are due and not planned yet; {figures.DUE_AT_MOST:,} are counted at most."
    yield _family("funnel_due_backlog_lessons", help_, [({}, lessons.waiting)])
    yield _age("funnel_due_oldest_age_seconds", "How long the oldest of them has been due.", lessons.oldest_ms, now_ms)


def _open(connection: Connection, now_ms: int) -> Iterator[Metric]:
    found = figures.open_batches(connection)
    batches: Samples = [({"state": state}, open_.batches) for state, open_ in found.items()]
    readers: Samples = [({"state": state}, open_.recipients) for state, open_ in found.items()]
    ages: Samples = [({"state": state}, _seconds(open_.oldest_ms, now_ms)) for state, open_ in found.items()]
    yield _family("funnel_open_batches", "Batches that are not settled, by state.", batches)
    yield _family("funnel_open_batch_recipients", "Recipients planned into them.", readers)
    yield _family("funnel_open_batch_oldest_age_seconds", "Since the oldest of them was planned, or 0.", ages)


def _settled(connection: Connection, now_ms: int) -> Iterator[Metric]:
    bounds_ms = [bound * 1000 for bound in LATENESS_S]
    rows = figures.settled(connection, now_ms - DAY_MS, now_ms - HOUR_MS, bounds_ms)
    accepted = [row for row in rows if row.state == State.ACCEPTED]
    windows: Samples = [
        ({"window": "1h"}, _recipients(row for row in accepted if row.lately)),
        ({"window": "24h"}, _recipients(accepted)),
    ]
    yield _family("funnel_accepted_recipients", f"Recipients of accepted {_OF_THE_DAY}, by age.", windows)
    states: Counter[tuple[str, str]] = Counter()
    for row in rows:
        states[row.kind, row.state] += row.recipients
    yield _family(
        "funnel_settled_recipients",
        f"Recipients of {_OF_THE_DAY}, by kind and what became of the batch.",
        [({"kind": kind, "state": state}, count) for (kind, state), count in sorted(states.items())],
    )
    doubled = _recipients(row for row in rows if row.doubled)
    help_ = f"Recipients of {_OF_THE_DAY} of which two attempts are known to have been accepted."
    yield _family("funnel_duplicate_recipients", help_, [({}, doubled)])
    yield from _lateness([row for row in accepted if row.place is not None])


def _lateness(rows: Sequence[Record]) -> Iterator[Metric]:
    help_ = f"Gauge, not a counter: lateness from due to accepted over {_OF_THE_DAY}, by recipients: "
    buckets, totals = [], []
    for kind in sorted({row.kind for row in rows}):
        own = [row for row in rows if row.kind == kind]
        counts = [_recipients(row for row in own if row.place == place) for place in range(len(LATENESS_S) + 1)]
        buckets += _buckets({"kind": kind}, LATENESS_S, counts)
        totals.append(({"kind": kind}, sum(float(row.late_ms) for row in own) / 1000))
    yield _family("funnel_lateness_seconds_bucket", help_ + "how many were at most `le` late.", buckets)
    yield _family("funnel_lateness_seconds_sum", help_ + "the sum.", totals)


def _webhook(connection: Connection, now_ms: int) -> Iterator[Metric]:
    events = figures.events_waiting(connection)
    help_ = f"Events of the provider that are not handled yet; {figures.EVENTS_AT_MOST:,} are counted at most."
    yield _family("funnel_events_waiting", help_, [({}, events.waiting)])
    yield _age("funnel_events_lag_seconds", "How long the oldest of them has been waiting.", events.oldest_ms, now_ms)
    newest = figures.newest_events(connection)
    if newest:
        yield _age("funnel_events_last_age_seconds", "Since the last event came.", newest[0].received_ms, now_ms)
    delays = [(row.received_ms - row.at_ms) / 1000 for row in newest]
    edges = (float("-inf"), *WEBHOOK_S, float("inf"))
    counts = [sum(low < delay <= high for delay in delays) for low, high in pairwise(edges)]
    yield _family(
        "funnel_events_delay_seconds_bucket",
        f"Gauge, not a counter: of the newest {figures.NEWEST_EVENTS:,} events, how many took at most `le` to arrive.",
        _buckets({}, WEBHOOK_S, counts),
    )


def _held(connection: Connection, slugs: dict[str, str], provider: str, now_ms: int) -> Metric:
    """A funnel goes by its slug: its own name may tell the topic."""
    scopes = {"all": 0, f"provider:{provider}": 0, **{f"funnel:{slug}": 0 for slug in slugs.values()}}
    for hold in holds.listed(connection):
        kind, _, name = hold.scope.partition(":")
        scope = f"funnel:{slugs.get(name, 'former')}" if kind == "funnel" else hold.scope
        scopes[scope] = int(hold.until_ms is None or hold.until_ms > now_ms)
    help_ = "1 where sending is held, else 0: all of it, a provider's, or a funnel's (by its slug)."
    return _family("funnel_held", help_, [({"scope": scope}, held) for scope, held in scopes.items()])


Samples = list[tuple[dict[str, str], float]]


def _family(name: str, help_: str, samples: Samples) -> Metric:
    """A gauge with its samples, each of labels and a value."""
    family = GaugeMetricFamily(name, help_)
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family


def _age(name: str, help_: str, since_ms: int | None, now_ms: int) -> Metric:
    return _family(name, help_ + " 0 if there is none.", [({}, _seconds(since_ms, now_ms))])


def _buckets(labels: dict[str, str], bounds: Sequence[int], counts: Sequence[int]) -> Samples:
    """Cumulative, as a histogram's: `counts` has one more place than `bounds`, for what exceeds them all."""
    edges = (*(f"{bound}" for bound in bounds), "+Inf")
    return [({**labels, "le": edge}, count) for edge, count in zip(edges, accumulate(counts), strict=True)]


def _recipients(rows: Iterable[Record]) -> int:
    return sum(row.recipients for row in rows)


def _seconds(since_ms: int | None, now_ms: int) -> float:
    return 0.0 if since_ms is None else max(now_ms - since_ms, 0) / 1000
