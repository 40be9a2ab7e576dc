"""The doctor against healthy and broken services: every trouble is named, with what to do, and nobody is exposed."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from sqlalchemy import Table, insert, select, update

from funnel.core.delivery import Unknowns
from funnel.flow import holding, sweep
from funnel.flow.doctor import Around, Finding, Level, evidence, examine, span
from funnel.flow.holding import Breaker
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.mail.check import Answer
from funnel.runtime import Runtime
from funnel.store.db import open_engine, reading, writing
from funnel.store.tables import batch, due, event, metadata, poll
from tests.conftest import NAME, NOON_MS
from tests.databases import Databases
from tests.test_bucket import valkey_server
from tests.web.test_metrics import accepted, batch_row, due_row, event_row
from tests.world import ALICE, BOB, World

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
TICK = "tick"
OK, WARN, BAD = Level


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with valkey_server() as url:
        yield url


def around(redis_url: str | None = None, **more: Any) -> Around:
    return Around(redis_url, TICK, **{"provider": lambda: Answer(True, "takes our mail"), "webhook": True, **more})


def look(tools: Tools, now_ms: int = NOON_MS, surroundings: Around | None = None) -> list[Finding]:
    return list(examine(tools, surroundings or around(), now_ms))


def about(what: str, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.what == what]


def the(what: str, findings: list[Finding]) -> Finding:
    [found] = about(what, findings)
    return found


def store(tools: Tools, table: Table, *rows: dict[str, Any]) -> None:
    with writing(tools.engine) as connection:
        for row in rows:
            connection.execute(insert(table).values(row))


def by_webhook(tools: Tools, name: str = "sendgrid") -> Tools:
    return dataclasses.replace(tools, unknowns=Unknowns.EVIDENCE, breaker=Breaker(name))


def by_policy(tools: Tools) -> Tools:
    return dataclasses.replace(tools, unknowns=Unknowns.POLICY, breaker=Breaker("smtp"))


def test_a_healthy_service_needs_nothing(world: World, valkey: str) -> None:
    world.clock.now_ms = Runtime.now_ms()
    world.join_all(ALICE, BOB)
    world.work()
    with redis.Redis.from_url(valkey) as client:
        client.set(TICK, Runtime.now_ms() - 1000)
    found = look(world.tools, Runtime.now_ms(), around(valkey))
    assert [finding for finding in found if finding.level != OK or finding.do] == []
    assert {"database", "clock", "schema", "redis", "worker", "provider", "keyring"} <= {each.what for each in found}
    assert the("lateness", found).says.startswith("of 4 sent in the last 24 h: 100 % within 1 min")


def test_it_changes_nothing_and_exposes_nobody(world: World) -> None:
    world.join(ALICE, name="Aurelia")
    store(
        world.tools,
        batch,
        batch_row("unknown", 3, started_ms=NOON_MS, provider="smtp", revision_id=world.revision_id()),
    )

    def dump() -> list[Any]:
        with reading(world.tools.engine) as connection:
            return [connection.execute(select(table)).all() for table in metadata.sorted_tables]

    before = dump()
    told = " ".join(f"{each.says} {each.do}" for each in look(by_policy(world.tools))).lower()
    assert dump() == before
    assert [word for word in (ALICE, "alice", "aurelia", "freeze") if word in told] == []


def test_a_database_that_is_away_is_told_and_the_rest_still_looked_at(tools: Tools) -> None:
    gone = dataclasses.replace(tools, engine=open_engine("postgresql://nobody@127.0.0.1:1/none"))
    found = look(gone)
    assert (the("database", found).level, the("provider", found).level) == (BAD, OK)
    assert about("keyring", found) == []
    assert "nobody" not in the("database", found).says


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_schema_that_is_not_ours_is_told(tools: Tools, databases: Databases, kind: str) -> None:
    empty = open_engine(databases.empty(kind))
    found = look(dataclasses.replace(tools, engine=empty))
    empty.dispose()
    assert the("schema", found).level == BAD
    assert "funnel migrate" in the("schema", found).do


@pytest.mark.parametrize(("skew_ms", "level"), [(0, OK), (-10_000, BAD), (10_000, BAD)])
def test_a_clock_that_is_off_is_told(tools: Tools, skew_ms: int, level: Level) -> None:
    assert the("clock", look(tools, Runtime.now_ms() + skew_ms)).level == level


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1/0", "unix:///nowhere.sock", "nonsense"])
def test_a_missing_redis_is_told(tools: Tools, url: str | None) -> None:
    found = look(tools, NOON_MS, around(url))
    assert (the("redis", found).level, about("worker", found)) == (BAD, [])


@pytest.mark.parametrize(
    ("age_ms", "level"), [(None, BAD), (0, OK), (10_000, OK), (30_000, WARN), (61_000, BAD), (-5_000, OK)]
)
def test_a_worker_that_does_not_tick_is_told(tools: Tools, valkey: str, age_ms: int | None, level: Level) -> None:
    with redis.Redis.from_url(valkey) as client:
        client.delete(TICK)
        if age_ms is not None:
            client.set(TICK, NOON_MS - age_ms)
    assert the("worker", look(tools, NOON_MS, around(valkey))).level == level


def test_a_keyring_that_opens_nothing_is_told(world: World) -> None:
    world.join(ALICE)
    assert the("keyring", look(world.tools)).level == OK
    other = dataclasses.replace(world.tools, keyring=Keyring({1: bytes(32)}))
    newer = dataclasses.replace(world.tools, keyring=Keyring({2: bytes(range(32))}))
    assert [the("keyring", look(tools)).level for tools in (other, newer)] == [BAD, BAD]


def test_what_the_provider_refuses_is_told(tools: Tools) -> None:
    refuses = around(provider=lambda: Answer(False, "refuses the key", "Set another."))
    assert the("provider", look(tools, NOON_MS, refuses)) == Finding(BAD, "provider", "refuses the key", "Set another.")


def test_holds_are_told_with_the_way_to_end_them(tools: Tools) -> None:
    engine = tools.engine
    holding.pause(engine, "all", "for lunch", NOON_MS - HOUR_MS)
    holding.pause(engine, f"funnel:{NAME}", "volume: planned 9000, forecast 10 in this hour", NOON_MS)
    with writing(engine) as connection:
        for name, reason, until_ms in (("smtp", "failing", NOON_MS + HOUR_MS), ("sendgrid", "busy", NOON_MS - 1)):
            row = {"since_ms": NOON_MS, "until_ms": until_ms, "strikes": 1, "reason": f"the provider is {reason}"}
            connection.execute(insert(metadata.tables["hold"]).values(scope=f"provider:{name}", **row))
    found = {finding.says.partition(": ")[0]: finding for finding in about("held", look(tools))}
    levels = {name: finding.level for name, finding in found.items()}
    assert levels == {"all sending": WARN, f"funnel:{NAME}": BAD, "provider:smtp": BAD, "provider:sendgrid": WARN}
    assert "until a person resumes it" in found["all sending"].says
    assert "one batch goes first" in found["provider:sendgrid"].says
    assert found[f"funnel:{NAME}"].do.startswith(f"`funnel resume {NAME}`")
    assert found["provider:smtp"].do.startswith("`funnel resume provider:smtp`")


@pytest.mark.parametrize(("age_s", "level"), [(1, OK), (400, WARN), (7 * 3600, BAD)])
def test_a_backlog_is_told_by_its_age(tools: Tools, age_s: int, level: Level) -> None:
    store(tools, due, due_row(age_s), due_row(-10))
    found = the("backlog", look(tools))
    assert (found.level, found.says.startswith("1 lessons due")) == (level, True)


def test_mail_that_comes_late_is_told(tools: Tools) -> None:
    store(tools, batch, accepted(1, 90), accepted(1000, 10))
    found = the("lateness", look(tools))
    assert found.level == WARN
    assert found.says == "of 100 sent in the last 24 h: 90 % within 1 min, 90 % within 5 min, 100 % within 1 h"


def test_an_unknown_batch_waits_for_a_person_where_nothing_else_can_tell(world: World) -> None:
    row = batch_row("unknown", 40, provider="smtp", started_ms=NOON_MS - HOUR_MS, revision_id=world.revision_id())
    store(world.tools, batch, row)
    found = the("unknown", look(by_policy(world.tools)))
    assert found.level == BAD
    assert f"funnel unknown resend {row['uid']}" in found.do
    assert "40 recipients" in found.says


def test_many_unknown_batches_still_fit_on_a_screen(world: World) -> None:
    rows = [
        batch_row("unknown", provider="smtp", started_ms=NOON_MS - 1, revision_id=world.revision_id())
        for _ in range(25)
    ]
    store(world.tools, batch, *rows)
    found = about("unknown", look(by_policy(world.tools)))
    assert (len(found), found[-1].says) == (11, "15 more")


def heard(provider: str, started_ms: int) -> dict[str, Any]:
    return accepted(1, 1, provider=provider, started_ms=started_ms, seen_ms=started_ms + 1)


@pytest.mark.parametrize(
    ("age_h", "neighbors", "resent", "waits"),
    [
        (1, True, 0, False),
        (1, False, 0, False),
        (7, True, 0, False),
        (7, False, 0, True),
        (1, True, 1, True),
    ],
)
def test_what_the_sweep_will_settle_waits_for_nobody(
    world: World, age_h: int, neighbors: bool, resent: int, waits: bool
) -> None:
    tools = by_webhook(world.tools)
    started_ms = NOON_MS - age_h * HOUR_MS
    row = batch_row(
        "unknown", provider="sendgrid", started_ms=started_ms, resent=resent, revision_id=world.revision_id()
    )
    store(tools, batch, row)
    if neighbors:
        store(tools, batch, heard("sendgrid", started_ms - 1000), heard("sendgrid", started_ms + 1000))
    with reading(tools.engine) as connection:
        [stored] = sweep.unknown_batches(connection)
        assert evidence(connection, tools, stored, NOON_MS)[1] == waits
    assert the("unknown", look(tools)).level == (BAD if waits else WARN)
    # What it says of the sweep is what the sweep does.
    again = "handed over once more" in the("unknown", look(tools)).says
    sweep.sweep(tools, NOON_MS)
    with reading(tools.engine) as connection:
        [state] = connection.scalars(select(batch.c.state).where(batch.c.uid == row["uid"]))
    assert state == ("planned" if again else "unknown")


def test_what_counted_as_sent_without_any_evidence_stays_in_sight_for_a_week(world: World) -> None:
    old = {"provider": "smtp", "revision_id": world.revision_id(), "started_ms": NOON_MS - 73 * HOUR_MS}
    store(world.tools, batch, batch_row("unknown", 40, **old), batch_row("unknown", 2, **old))
    tools = by_policy(world.tools)
    sweep.sweep(tools, NOON_MS)
    found = the("unknown", look(tools))
    assert (found.level, "2 batches with 42 recipients" in found.says) == (BAD, True)
    assert the("unknown", look(tools, NOON_MS + 8 * DAY_MS)).level == OK


def test_what_may_be_repeated_is_no_trouble(world: World) -> None:
    store(
        world.tools, batch, batch_row("unknown", provider="outbox", started_ms=NOON_MS, revision_id=world.revision_id())
    )
    assert the("unknown", look(world.tools)).level == WARN


def test_a_webhook_is_looked_for_only_where_the_provider_has_one(tools: Tools) -> None:
    assert about("webhook", look(by_policy(tools))) == []
    assert the("webhook", look(by_webhook(tools), NOON_MS, around(webhook=False))).level == WARN
    assert the("webhook", look(by_webhook(tools))).level == OK


def test_a_webhook_that_is_silent_is_told(tools: Tools) -> None:
    store(tools, batch, accepted(1, 100, ago_s=3600, provider="sendgrid"))
    found = the("webhook", look(by_webhook(tools)))
    assert (found.level, "no event ever" in found.says) == (BAD, True)
    with writing(tools.engine) as connection:
        connection.execute(update(batch).values(seen_ms=NOON_MS))
    assert the("webhook", look(by_webhook(tools))).level == OK


def test_a_webhook_may_take_its_time_before_it_is_called_silent(tools: Tools) -> None:
    store(tools, batch, accepted(1, 100, ago_s=60, provider="sendgrid"))
    assert the("webhook", look(by_webhook(tools))).level == OK


def test_events_that_nobody_handles_are_told(tools: Tools) -> None:
    store(tools, event, event_row(1, 3600, handled=False), event_row(1, 5, handled=True))
    found = the("webhook", look(by_webhook(tools)))
    assert (found.level, found.says) == (WARN, "last event 5 s ago; 1 wait, the oldest for 1 h")


def test_the_polls_of_the_suppression_lists_are_told(tools: Tools) -> None:
    assert the("suppressions", look(by_webhook(tools))).level == WARN
    pages = {"since_ms": 0, "offset": 500, "found": 7}
    ends = {"bounces": NOON_MS - DAY_MS, "blocks": NOON_MS - 3 * DAY_MS, "unsubscribes": None}
    store(tools, poll, *({"list": name, "finished_ms": end, **pages} for name, end in ends.items()))
    levels = {each.says.partition(":")[0]: each.level for each in about("suppressions", look(by_webhook(tools)))}
    assert levels == {"bounces": OK, "blocks": WARN, "unsubscribes": WARN}


@pytest.mark.parametrize(
    ("length_ms", "said"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59_999, "59 s"),
        (MINUTE_MS, "1 min"),
        (90_000, "90 s"),
        (5 * MINUTE_MS, "5 min"),
        (HOUR_MS, "1 h"),
        (36 * HOUR_MS, "36 h"),
        (3 * DAY_MS, "3 days"),
    ],
)
def test_a_length_of_time_is_told_in_a_unit_that_fits(length_ms: int, said: str) -> None:
    assert span(length_ms) == said
