"""/metrics: true figures for operators only, by index however much there is, and nothing that tells the topic."""

import itertools
import re
import secrets
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Table, insert, text

from funnel.flow import holding
from funnel.runtime import LAST_TICK
from funnel.store.db import writing
from funnel.store.tables import batch, due, event, suppression
from tests.conftest import NAME, NOON_MS, Clock
from tests.test_bucket import valkey_server
from tests.web.conftest import Site, browser, opened, operator
from tests.web.shape import is_clear
from tests.world import ALICE, BOB

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]

on_both = pytest.mark.parametrize("published", ["sqlite", "postgresql"], indirect=True)
_counter = itertools.count(1)


def scrape(site: Site) -> Found:
    """(name, labels) → value of every sample, as a scraper reads them."""
    answer = operator(site.app).get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    samples = (sample for family in families for sample in family.samples)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def value(found: Found, name: str, **labels: str) -> float:
    return found[f"funnel_{name}", tuple(sorted(labels.items()))]


def store(site: Site, table: Table, *rows: dict[str, Any]) -> None:
    with writing(site.world.tools.engine) as connection:
        connection.execute(insert(table), list(rows))


def batch_row(state: str, size: int = 10, **more: Any) -> dict[str, Any]:
    common = {"uid": secrets.token_hex(16), "kind": "lesson", "funnel": NAME, "revision_id": "r", "segment": ""}
    blank = dict.fromkeys(("settled_ms", "due_ms", "seen_ms", "reason", "provider", "started_ms"))
    counted = {"planned_ms": NOON_MS, "attempt": 1, "retries": 0, "proven": 0}
    return {**common, **blank, **counted, "state": state, "size": size, **more}


def accepted(late_s: float, size: int, ago_s: float = 60, **more: Any) -> dict[str, Any]:
    at_ms = NOON_MS - int(ago_s * 1000)
    return batch_row("accepted", size, settled_ms=at_ms, due_ms=at_ms - int(late_s * 1000), **{"proven": 2, **more})


def event_row(delay_s: float, ago_s: float, handled: bool) -> dict[str, Any]:
    came_ms = NOON_MS - int(ago_s * 1000)
    own = {"batch_id": next(_counter), "position": 0, "attempt": 1, "kind": "delivered", "reason": ""}
    times = {"at_ms": came_ms - int(delay_s * 1000), "received_ms": came_ms}
    return {**own, **times, "handled_ms": NOON_MS if handled else None}


def due_row(ago_s: float) -> dict[str, Any]:
    whose = {"enrollment_id": next(_counter), "subscriber_id": 1, "pattern": "p", "pace": "as-written"}
    return {"due_ms": NOON_MS - int(ago_s * 1000), "lesson_id": 1, "turn": 1, **whose}


def test_only_operators_see_it(site: Site, clock: Clock) -> None:
    stranger = browser(site.app, client=("203.0.113.7", 40000))
    is_clear(stranger.get("/metrics"), 404, site.funnel)
    is_clear(stranger.get("/metrics", headers={"host": "127.0.0.1"}), 404, site.funnel)
    with opened(site.world.tools, clock, site.world.folder.parent, FUNNEL_TOKEN="open-sesame") as guarded:
        stranger = browser(guarded.app, client=("203.0.113.7", 40000))
        asked = {
            sent: stranger.get("/metrics", headers={"authorization": f"Bearer {sent}"})
            for sent in ("open", "open-sesame")
        }
    assert [answer.status_code for answer in asked.values()] == [404, 200]


def test_it_is_only_read(site: Site) -> None:
    before = site.dump()
    scrape(site)
    assert operator(site.app).post("/metrics").status_code in (403, 405)
    assert site.dump() == before


@on_both
def test_a_service_that_has_done_nothing_says_so(site: Site) -> None:
    found = scrape(site)
    assert set(found.values()) == {0}
    assert {scope for name, ((_, scope),) in (key for key in found if key[0] == "funnel_held")} == {
        *("all", "provider:outbox", f"funnel:{site.slug}")
    }


@on_both
def test_the_backlog_counts_what_is_due_and_not_what_will_be(site: Site) -> None:
    store(site, due, due_row(90), due_row(30), due_row(0), due_row(-1))
    found = scrape(site)
    assert value(found, "due_backlog_lessons") == 3
    assert value(found, "due_oldest_age_seconds") == 90


@on_both
def test_open_batches_are_counted_by_state(site: Site) -> None:
    rows = [batch_row("planned", 200), batch_row("planned", 7), batch_row("started", 50, lease_ms=NOON_MS)]
    for row in rows:
        store(site, batch, row)
    store(site, batch, batch_row("unknown", 9, planned_ms=NOON_MS - HOUR_MS, started_ms=NOON_MS), accepted(1, 1))
    found = scrape(site)
    counts = {state: value(found, "open_batches", state=state) for state in ("planned", "started", "unknown")}
    readers = {state: value(found, "open_batch_recipients", state=state) for state in counts}
    assert (counts, readers) == (
        {"planned": 2, "started": 1, "unknown": 1},
        {"planned": 207, "started": 50, "unknown": 9},
    )
    assert value(found, "open_batch_oldest_age_seconds", state="unknown") == 3600


@on_both
def test_lateness_weighs_every_recipient_of_the_last_day(site: Site) -> None:
    yesterday = accepted(1, 1_000, ago_s=25 * 3600)
    assumed = accepted(72 * 3600, 500, reason="assumed: no evidence in time", proven=0)
    store(
        site, batch, accepted(0.5, 100), accepted(1, 30), accepted(8, 20), accepted(2 * 86_400, 3), yesterday, assumed
    )
    store(site, batch, accepted(0.1, 4, kind="notice"), batch_row("failed", 40, settled_ms=NOON_MS, due_ms=NOON_MS))
    found = scrape(site)
    lessons = [
        value(found, "lateness_seconds_bucket", kind="lesson", le=le) for le in ("1", "2", "5", "10", "86400", "+Inf")
    ]
    assert lessons == [130, 130, 130, 150, 150, 153]
    assert value(found, "lateness_seconds_sum", kind="lesson") == 50 + 30 + 160 + 3 * 2 * 86_400
    assert value(found, "lateness_seconds_bucket", kind="notice", le="1") == 4


@on_both
def test_what_was_accepted_is_told_for_the_last_hour_and_day(site: Site) -> None:
    store(site, batch, accepted(1, 100), accepted(1, 20, ago_s=2 * 3600), accepted(1, 3, ago_s=25 * 3600))
    store(site, batch, batch_row("failed", 40, settled_ms=NOON_MS))
    found = scrape(site)
    assert [value(found, "accepted_recipients", window=window) for window in ("1h", "24h")] == [100, 120]
    assert value(found, "settled_recipients", kind="lesson", state="failed") == 40


@on_both
def test_a_duplicate_is_a_batch_of_which_two_attempts_were_accepted(site: Site) -> None:
    store(
        site,
        batch,
        *(accepted(1, size, proven=bits) for size, bits in ((1, 0), (2, 2), (4, 4), (8, 6), (16, 2**40 + 2))),
    )
    assert value(scrape(site), "duplicate_recipients") == 8 + 16


@on_both
def test_the_webhooks_lag_is_told(site: Site) -> None:
    store(
        site,
        event,
        event_row(0.5, 300, True),
        event_row(7, 120, False),
        event_row(40, 30, False),
        event_row(9e4, 20, True),
    )
    found = scrape(site)
    assert value(found, "events_waiting") == 2
    assert value(found, "events_lag_seconds") == 120
    assert value(found, "events_last_age_seconds") == 20
    delays = [value(found, "events_delay_seconds_bucket", le=le) for le in ("1", "10", "60", "86400", "+Inf")]
    assert delays == [1, 2, 3, 3, 4]


def test_what_is_held_goes_by_the_funnels_slug(site: Site, clock: Clock) -> None:
    for scope in ("all", f"funnel:{NAME}", "provider:smtp"):
        assert holding.pause(site.world.tools.engine, scope, "for lunch", clock()) is None
    found = scrape(site)
    held = [
        value(found, "held", scope=scope)
        for scope in ("all", f"funnel:{site.slug}", "provider:smtp", "provider:outbox")
    ]
    assert held == [1, 1, 1, 0]
    assert holding.resume(site.world.tools.engine, "all", clock())
    assert value(scrape(site), "held", scope="all") == 0


@on_both
def test_suppressions_are_counted_by_reason(site: Site) -> None:
    reasons = ["complaint", "bounced", "bounced"]
    rows = [
        {"address_hash": bytes([number]) * 32, "reason": reason, "at_ms": 0} for number, reason in enumerate(reasons)
    ]
    store(site, suppression, *rows)
    found = scrape(site)
    assert [value(found, "suppressed_addresses", reason=reason) for reason in ("complaint", "bounced")] == [1, 2]


def test_nothing_tells_who_reads_or_what_about(site: Site, clock: Clock) -> None:
    for address, pattern in ((ALICE, "freeze"), (BOB, "fawn")):
        site.other().join(address, pattern)
    holding.pause(site.world.tools.engine, f"funnel:{NAME}", "about fawn", clock())
    told = operator(site.app).get("/metrics").text.lower()
    assert 'funnel_accepted_recipients{window="24h"} 4.0' in told
    words = {NAME, *site.funnel.patterns, *re.split(r"\W+", f"{ALICE} {BOB}"), "erotic", "survival"} - {
        "org",
        "example",
    }
    lessons = {lesson.key for pattern in site.funnel.patterns.values() for lesson in pattern.lessons}
    assert [word for word in words | lessons if re.search(rf"\b{word}\b", told)] == []


def test_the_last_tick_is_told_where_there_is_redis(site: Site, clock: Clock) -> None:
    assert ("funnel_worker_last_tick_age_seconds", ()) not in scrape(site)
    home = site.world.folder.parent
    with (
        valkey_server() as url,
        redis.Redis.from_url(url) as client,
        opened(site.world.tools, clock, home, REDIS_URL=url) as told,
    ):
        assert ("funnel_worker_last_tick_age_seconds", ()) not in scrape(told)
        client.set(LAST_TICK, clock() - 2_500)
        assert value(scrape(told), "worker_last_tick_age_seconds") == 2.5


def test_without_its_database_it_answers_503(site: Site) -> None:
    with writing(site.world.tools.engine) as connection:
        connection.execute(text("DROP TABLE hold"))
    assert operator(site.app).get("/metrics").status_code == 503
