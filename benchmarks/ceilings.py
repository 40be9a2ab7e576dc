"""The ceiling of the service's parts: what each costs by itself, done as plainly as it can be."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.bench import KEYRING, Bench
from benchmarks.cpu import Meter
from benchmarks.crowd import Shape
from benchmarks.exchanges import enclosed, pipeline, post
from benchmarks.letters import mailing, own_links
from benchmarks.report import median
from benchmarks.sinks import http_sink, smtp_sink
from benchmarks.sql_common import Bare
from benchmarks.sql_postgres import Postgresql
from benchmarks.sql_sqlite import Sqlite
from funnel.keyring import NONCE_BYTES, new_key
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing, Recipient
from funnel.mail.sendgrid_body import request_body
from tests.conftest import make_tools

FULL = Shape(300_000, 200_000, past=3_000_000)
QUICK = Shape(4_000, 3_000, past=20_000)
PEOPLE = 1000
WINDOWS = 25  # of bare SQL, for as many comparisons as there are with one database, and one to warm up
BATCHES = (1, 200, 1000)
UNIT = "µs CPU per recipient"


class Part(NamedTuple):
    """Something that every recipient costs; in batches of this size, where that matters."""

    name: str
    batch: int = 0


class Ceiling:
    """What the parts cost with one database. The bare SQL is run again for every comparison, right before it: a shared
    machine may be half as fast a minute later.
    """

    def __init__(self, costs: Mapping[Part, float], sql: Callable[[], float]) -> None:
        self._costs = costs
        self._sql = sql
        self.sql: list[float] = []

    def rate(self, provider: str, batch: int) -> float:
        """How many recipients a CPU-second could bring if nothing but the parts cost anything."""
        own = {
            "SendGrid": (Part("JSON", batch), Part("HTTP exchange", batch)),
            "SMTP": (Part("joining bytes"), Part("SMTP exchange")),
        }
        self.sql.append(self._sql())
        shared = (Part("unsealing"), Part("tokens"))
        return 1e6 / (self.sql[-1] + sum(self._costs[part] for part in (*shared, *own[provider])))


@contextmanager
def ceiling(bench: Bench, kind: str) -> Iterator[Ceiling]:
    """Measures the parts of one database, and reports them."""
    repeats = 3 if bench.quick else 9
    shape = QUICK if bench.quick else FULL
    with bench.copy("sqlite", shape) as url, bench.engine(url) as engine:
        letter = mailing(make_tools(engine, KEYRING), PEOPLE, bench.now_ms)
    costs = {
        Part("joining bytes"): _joining(letter, repeats),
        Part("unsealing"): _unsealing(repeats),
        Part("tokens"): _tokens(letter, repeats),
        Part("SMTP exchange"): _smtp(letter, repeats),
        **_sendgrid(letter, repeats, 200 if bench.quick else 2000),
    }
    for part, cost in costs.items():
        known = {"batch": part.batch} if part.batch else {}
        bench.report.add(f"ceiling: {part.name}", cost, UNIT, database=kind, **known)
    with _sql(bench, kind, shape) as sql:
        sql()
        found = Ceiling(costs, sql)
        yield found
    bench.report.add("ceiling: SQL", median(found.sql), UNIT, database=kind)


def _cost(work: Callable[[], object], recipients: int, repeats: int) -> float:
    """Microseconds of this process's CPU per recipient: the median of so many times, after one to warm up."""
    work()
    costs = []
    for _ in range(repeats):
        with Meter() as meter:
            work()
        costs.append(meter.cpu_s * 1e6 / recipients)
    return median(costs)


def _joining(letter: Mailing, repeats: int) -> float:
    """The segments of a lesson with a thousand readers' own values between them, all of it ready to be joined."""
    whole = [list(_segments(to_mime(letter, one), one)) for one in letter.recipients]

    def join_all() -> None:
        for parts in whole:
            b"".join(parts)

    return _cost(join_all, len(whole), repeats)


def _segments(message: bytes, recipient: Recipient) -> Iterator[bytes]:
    own = (recipient.address, recipient.message_id, *recipient.values.values(), *recipient.headers.values())
    return iter(re.split(b"(" + b"|".join(re.escape(value.encode()) for value in own if value) + b")", message))


def _unsealing(repeats: int) -> float:
    """AES-256-GCM: each reader's key out of its wrapping, then the reader."""
    master, context = AESGCM(new_key()), bytes(32)
    sealed = [
        (master.encrypt(bytes(NONCE_BYTES), key, context), AESGCM(key).encrypt(bytes(NONCE_BYTES), bytes(70), context))
        for key in (new_key() for _ in range(PEOPLE))
    ]
    nonce = bytes(NONCE_BYTES)

    def open_all() -> None:
        for wrapped, person in sealed:
            AESGCM(master.decrypt(nonce, wrapped, context)).decrypt(nonce, person, context)

    return _cost(open_all, PEOPLE, repeats)


def _tokens(letter: Mailing, repeats: int) -> float:
    """A keyed hash of an id, written as text, for each of the mail's own links and its Message-ID."""
    count = len(own_links(letter.template)) + 1
    keyed = [hashlib.blake2b(key=bytes(32), person=bytes([use]), digest_size=18) for use in range(count)]

    def write_all() -> None:
        for id_ in range(PEOPLE):
            named = id_.to_bytes(6, "big")
            for one in keyed:
                mac = one.copy()
                mac.update(named)
                base64.b64encode(named + mac.digest())

    return _cost(write_all, PEOPLE, repeats)


def _sendgrid(letter: Mailing, repeats: int, recipients: int) -> dict[Part, float]:
    """A request of each size: its JSON from a ready payload, and its exchange from a ready body."""
    found = {}
    with http_sink() as sink:
        for size in BATCHES:
            body = request_body(replace(letter, recipients=letter.recipients[:size]))
            payload = orjson.loads(body)
            times = max(recipients // size, 20)
            whole = size * times
            found[Part("JSON", batch=size)] = _cost(partial(_dump, payload, times), whole, repeats)
            found[Part("HTTP exchange", batch=size)] = _cost(partial(post, sink, body, times), whole, repeats)
    return found


def _dump(payload: object, times: int) -> None:
    for _ in range(times):
        orjson.dumps(payload)


def _smtp(letter: Mailing, repeats: int) -> float:
    messages = [enclosed(to_mime(letter, one)) for one in letter.recipients]
    with smtp_sink() as sink:
        return _cost(lambda: pipeline(sink, messages), len(messages), repeats)


@contextmanager
def _sql(bench: Bench, kind: str, shape: Shape) -> Iterator[Callable[[], float]]:
    """Each call plans a window of due rows at once, starts and settles them in batches of up to 1,000, and returns what
    that cost, in microseconds per recipient; the server's CPU counts.
    """
    roots = [] if kind == "sqlite" else [bench.server.pid]
    with bench.copy(kind, shape) as url, bench.engine(url) as engine:
        connection: Any = engine.raw_connection()
        bare: Bare = (Sqlite if kind == "sqlite" else Postgresql)(connection.driver_connection)

        def run() -> float:
            with Meter(*roots) as meter:
                count = _carry(bare, bench.now_ms, shape.due // WINDOWS)
            return meter.cpu_s * 1e6 / count

        yield run
        connection.close()


def _carry(bare: Bare, now_ms: int, window: int) -> int:
    planned = bare.plan(now_ms, window)
    count = 0
    for batch_id, rows in planned:
        count += len(bare.start(batch_id, now_ms))
        bare.settle(batch_id, rows, now_ms)
    return count
