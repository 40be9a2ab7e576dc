"""The doctor: what an operator should know, a line each, with what to do about it. It looks, and changes nothing."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

import redis
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from funnel.core.delivery import State, Unknowns
from funnel.core.schedule import DAY_MS, HOUR_MS, is_zone
from funnel.flow import people
from funnel.flow.sweep import ASSUMED, RESEND, unknown_batches
from funnel.flow.tools import Tools
from funnel.keyring import Outdated, Unreadable
from funnel.mail.check import Answer
from funnel.store import batches, figures, holds, subscribers
from funnel.store.db import is_current, reading
from funnel.store.db import now_ms as database_now_ms
from funnel.store.tables import Record

SECOND_MS, MINUTE_MS = 1_000, 60_000
LARGEST_SKEW_MS = 2 * SECOND_MS  # with more, a worker takes no work
SILENCE_MS = 30 * MINUTE_MS
PUNCTUAL_MS = 5 * MINUTE_MS
PUNCTUAL_SHARE = 0.95
SHOWN = 10
ASSUMED_SHOWN_MS = 7 * DAY_MS
ALARMS = ("volume:", "double:")


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """`what` was looked at, what it `says`, and what to `do`, which is empty where nothing needs doing."""

    level: Level
    what: str
    says: str
    do: str = ""


@dataclass(frozen=True)
class Around:
    """What there is beside the tools: Redis and its key of the last tick, the provider, whether a webhook has a key."""

    redis_url: str | None
    tick_key: str
    provider: Callable[[], Answer]
    webhook: bool


def examine(tools: Tools, around: Around, now_ms: int) -> Iterator[Finding]:
    """Everything, in the order in which mail depends on it."""
    usable = yield from _database(tools, now_ms)
    yield from _redis(around, now_ms)
    answer = around.provider()
    yield Finding(Level.OK if answer.ok else Level.BAD, "provider", answer.says, answer.do)
    if not usable:
        return
    try:
        with reading(tools.engine) as connection:
            yield from _books(connection, tools, around, now_ms)
    except SQLAlchemyError as error:
        yield _away(error)


def _books(connection: Connection, tools: Tools, around: Around, now_ms: int) -> Iterator[Finding]:
    yield _keys(connection, tools)
    yield from _holds(connection, now_ms)
    yield _backlog(connection, now_ms)
    yield _lateness(connection, now_ms)
    yield _zones(connection)
    yield from _unknown(connection, tools, now_ms)
    if tools.unknowns == Unknowns.EVIDENCE:
        yield _webhook(connection, tools, around, now_ms)
        yield from _polls(connection, now_ms)


def _database(tools: Tools, now_ms: int) -> Generator[Finding, None, bool]:
    """Returns whether there are books to look into."""
    try:
        with reading(tools.engine) as connection:
            skew_ms = database_now_ms(connection) - now_ms
            current = is_current(connection)
    except SQLAlchemyError as error:
        yield _away(error)
        return False
    yield Finding(Level.OK, "database", f"{tools.engine.dialect.name} answers")
    if abs(skew_ms) > LARGEST_SKEW_MS:
        says, do = (
            f"this machine's is {span(abs(skew_ms))} off the database's",
            "Set both by NTP; until then no worker works.",
        )
        yield Finding(Level.BAD, "clock", says, do)
    else:
        yield Finding(Level.OK, "clock", "agrees with the database's")
    if not current:
        yield Finding(Level.BAD, "schema", "is not the one this code was written for", "Run `funnel migrate`.")
        return False
    yield Finding(Level.OK, "schema", "is current")
    return True


def _away(error: Exception) -> Finding:
    do = "Start it, or set DATABASE_URL to where it is."
    return Finding(Level.BAD, "database", f"does not answer ({type(error).__name__})", do)


def _redis(around: Around, now_ms: int) -> Iterator[Finding]:
    if not around.redis_url:
        yield Finding(Level.BAD, "redis", "there is none", "Run `funnel up`, which brings its own, or set REDIS_URL.")
        return
    try:
        with redis.Redis.from_url(around.redis_url, socket_timeout=2, socket_connect_timeout=2) as client:
            last = cast(bytes | None, client.get(around.tick_key))
    except (redis.RedisError, OSError, ValueError) as error:
        do = "Start it, or set REDIS_URL to where it is. Nothing is lost; mail waits."
        yield Finding(Level.BAD, "redis", f"does not answer ({type(error).__name__})", do)
        return
    yield Finding(Level.OK, "redis", "answers")
    if last is None or not last.isdigit():
        yield Finding(Level.BAD, "worker", "has not ticked since Redis began", "Run `funnel worker`.")
        return
    age_ms = max(now_ms - int(last), 0)
    late = Level.OK if age_ms <= 10 * SECOND_MS else Level.WARN if age_ms <= MINUTE_MS else Level.BAD
    do = "" if late == Level.OK else "Is a worker running? Its log says what keeps it."
    yield Finding(late, "worker", f"last ticked {span(age_ms)} ago", do)


def _keys(connection: Connection, tools: Tools) -> Finding:
    """The first and the last subscriber's seals are opened, and what is in them forgotten."""
    rows = subscribers.sealed_by_id(connection, figures.ends_of_keys(connection))
    try:
        for row in rows:
            key = tools.keyring.unwrap(row.version, row.wrapped, row.address_hash)
            people.open_person(key, row.address_hash, row.sealed)
    except (Unreadable, Outdated):
        do = "Put back the FUNNEL_KEYS, or the keyring file, that they signed up with: nobody can be mailed without it."
        return Finding(Level.BAD, "keyring", "does not open what is in the database", do)
    says = "opens what is in the database" if rows else "is whole; nobody has signed up yet"
    return Finding(Level.OK, "keyring", says)


def _holds(connection: Connection, now_ms: int) -> Iterator[Finding]:
    rows = holds.listed(connection)
    for row in rows:
        alarm = row.until_ms is not None or row.reason.startswith(ALARMS)
        level = Level.BAD if alarm and not row.reason.endswith("busy") else Level.WARN
        until = "until a person resumes it" if row.until_ms is None else f"until {moment(row.until_ms)}"
        if row.until_ms is not None and row.until_ms <= now_ms:
            until = "one batch goes first to see"
        what = {holds.EVERYTHING: "all sending"}.get(row.scope, row.scope)
        name = "" if row.scope == holds.EVERYTHING else " " + row.scope.removeprefix("funnel:")
        says = f"{what}: {row.reason} (since {moment(row.since_ms)}, {until})"
        yield Finding(level, "held", says, f"`funnel resume{name}` once its reason is gone.")
    if not rows:
        yield Finding(Level.OK, "held", "nothing")


def _backlog(connection: Connection, now_ms: int) -> Finding:
    lessons, open_ = figures.backlog(connection, now_ms), figures.open_batches(connection)
    way = f"{open_[State.PLANNED].recipients:,} planned, {open_[State.STARTED].recipients:,} with the provider"
    if not lessons.waiting:
        return Finding(Level.OK, "backlog", f"nothing waits; {way}")
    age_ms = now_ms - (lessons.oldest_ms or now_ms)
    level = Level.OK if age_ms <= PUNCTUAL_MS else Level.WARN if age_ms <= 6 * HOUR_MS else Level.BAD
    most = "at least " if lessons.waiting >= figures.DUE_AT_MOST else ""
    do = "" if level == Level.OK else "See what is held, the worker, and FUNNEL_RATE and its kin."
    return Finding(level, "backlog", f"{most}{lessons.waiting:,} lessons due, the oldest for {span(age_ms)}; {way}", do)


def _lateness(connection: Connection, now_ms: int) -> Finding:
    bounds = (MINUTE_MS, PUNCTUAL_MS, HOUR_MS)
    found = figures.settled(connection, now_ms - DAY_MS, now_ms - HOUR_MS, bounds)
    known = [row for row in found if row.place is not None]
    total = sum(row.recipients for row in known)
    if not total:
        return Finding(Level.OK, "lateness", "nothing was sent in the last 24 h")
    shares = [sum(row.recipients for row in known if row.place <= place) / total for place in range(len(bounds))]
    parts = (f"{math.floor(100 * part)} % within {span(end)}" for part, end in zip(shares, bounds, strict=True))
    level, do = Level.OK, ""
    if shares[1] < PUNCTUAL_SHARE:
        level, do = Level.WARN, "More workers, a higher FUNNEL_RATE, or larger batches."
    return Finding(level, "lateness", f"of {total:,} sent in the last 24 h: {', '.join(parts)}", do)


def _zones(connection: Connection) -> Finding:
    found = figures.zones(connection)
    people, unknown = sum(found.values()), sum(count for zone, count in found.items() if not is_zone(zone))
    most = "the newest " if people == figures.ZONES_AT_MOST else ""
    says = f"{unknown:,} of {most}{people:,} subscribers have no known time zone: their funnel's counts"
    return Finding(Level.OK, "zones", says)


def _unknown(connection: Connection, tools: Tools, now_ms: int) -> Iterator[Finding]:
    rows = unknown_batches(connection)
    for row in rows[:SHOWN]:
        says, waits = evidence(connection, tools, row, now_ms)
        about = f"{row.uid}: {row.size} recipients, since {moment(row.started_ms)}; {says}"
        do = f"Decide: `funnel unknown sent {row.uid}`, or `funnel unknown resend {row.uid}`." if waits else ""
        yield Finding(Level.BAD if waits else Level.WARN, "unknown", about, do)
    if len(rows) > SHOWN:
        yield Finding(Level.BAD, "unknown", f"{len(rows) - SHOWN} more", "`funnel unknown` lists them all.")
    assumed = figures.settled_for(connection, ASSUMED, now_ms - ASSUMED_SHOWN_MS)
    if assumed.batches:
        many = f"{assumed.batches:,} batches with {assumed.recipients:,} recipients"
        says = f"{many} counted as sent in the last {span(ASSUMED_SHOWN_MS)}, though nobody can tell whether they were"
        yield Finding(Level.BAD, "unknown", says, "Look into the provider's log, and why nobody decided in time.")
    if not rows and not assumed.batches:
        yield Finding(Level.OK, "unknown", "none")


def evidence(connection: Connection, tools: Tools, row: Record, now_ms: int) -> tuple[str, bool]:
    """What is known of an unknown batch, and whether it waits for a person."""
    end = f"counts as sent from {moment(row.started_ms + tools.patience.doubt_ms)} on"
    unknowns = tools.unknowns if row.provider == tools.provider else Unknowns.POLICY
    if unknowns == Unknowns.REPEAT:
        return "handed over again at the next tick, which changes nothing", False
    if row.resent:
        return f"in doubt for the second time; {end}", True
    if unknowns == Unknowns.POLICY:
        if tools.funnel(connection, row.revision_id).unknown == RESEND:
            return "handed over once more at the next tick, as its funnel declares", False
        return f"its provider tells nothing later, and its funnel declares to hold; {end}", True
    judged_ms = row.started_ms + tools.patience.silence_ms
    if now_ms < judged_ms:
        return f"no event of it yet; its silence is judged at {moment(judged_ms)}", False
    if batches.heard_around(connection, row):
        return "the webhook told of its neighbors and not of it: handed over once more at the next tick", False
    return f"the webhook did not tell of both its neighbors, so its silence means nothing; {end}", True


def _webhook(connection: Connection, tools: Tools, around: Around, now_ms: int) -> Finding:
    if not around.webhook:
        says = "SENDGRID_WEBHOOK_KEY is not set: bounces and complaints are known once a day, doubts stay doubts"
        return Finding(Level.WARN, "webhook", says, "Switch the signed event webhook on and set its public key.")
    newest = figures.newest_events(connection, 1)
    last = f"last event {span(now_ms - newest[0].received_ms)} ago" if newest else "no event ever"
    accepted, seen = figures.heard_of(connection, tools.provider, now_ms - DAY_MS, now_ms - SILENCE_MS)
    if accepted and not seen:
        says = f"silent: {last}, though {accepted:,} batches were accepted in the last 24 h"
        do = "Compare its address and key with the provider's settings; `processed` events must be on."
        return Finding(Level.BAD, "webhook", says, do)
    waiting = figures.events_waiting(connection)
    lag_ms = now_ms - (waiting.oldest_ms or now_ms)
    behind = lag_ms > PUNCTUAL_MS
    says = f"{last}; {waiting.waiting:,} wait" + (f", the oldest for {span(lag_ms)}" if waiting.waiting else "")
    return Finding(Level.WARN if behind else Level.OK, "webhook", says, "Is a worker running?" if behind else "")


def _polls(connection: Connection, now_ms: int) -> Iterator[Finding]:
    rows = figures.polls(connection)
    for row in rows:
        at_ms = row.finished_ms
        old = at_ms is None or at_ms < now_ms - 2 * DAY_MS
        last = "never read to its end" if at_ms is None else f"read {span(now_ms - at_ms)} ago"
        says = f"{row.list}: {last}; now at {row.offset:,}, {row.found:,} of them ours"
        do = "`funnel suppressions pull` reads them now." if old else ""
        yield Finding(Level.WARN if old else Level.OK, "suppressions", says, do)
    if not rows:
        says, do = "the provider's lists have never been read", "`funnel suppressions pull` reads them now."
        yield Finding(Level.WARN, "suppressions", says, do)


def moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def span(length_ms: int) -> str:
    """A length of time in the largest unit of which it has two, or exactly one: 90 s, 5 min, 1 h, 36 h, 4 days."""
    for unit_ms, name in ((DAY_MS, "days"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if length_ms >= 2 * unit_ms or (length_ms == unit_ms and unit_ms != DAY_MS):
            return f"{length_ms // unit_ms} {name}"
    return f"{max(length_ms, 0) // SECOND_MS} s"
