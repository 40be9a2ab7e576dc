"""What all web processes and workers share about who knocks: how often, how many, and with which proof of work.

Redis holds it, under keyed hashes that expire; no address of a visitor or of a reader is in it. While Redis is away
each process counts for itself: the doors stay shut to floods, and open to people.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar, cast

import redis

from funnel import bucket
from funnel.core.domains import LARGE
from funnel.core.limits import (
    FAST_MS,
    HIGH,
    LOW,
    SLOW_MS,
    TOO_OLD_MS,
    USUAL_LIMITS,
    FormLimits,
    Level,
    Tide,
    whole,
)
from funnel.core.network import is_here, network_of
from funnel.core.pace import Bucket

TIMEOUT_S = 0.25  # somebody is waiting for a page
AWAY_MS = 5_000  # how long Redis is left alone that did not answer
MOST_HELD = 10_000
TIDE_MS = 2_000  # a page may be shown by a tide that is that old
_R = TypeVar("_R")

# KEYS: the tide. ARGV: now, arrivals, usual rate per ms, then FAST_MS, SLOW_MS, HIGH, LOW. See core/limits.py, Tide.
_RISE = """
local t = redis.call('HMGET', KEYS[1], 'fast', 'slow', 'at', 'high')
local now, arrivals, at, high = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(t[3] or 0), t[4] == '1'
local gone = math.max(now - at, 0)
local fast = (t[1] or 0) * math.exp(-gone / ARGV[4]) + arrivals / ARGV[4]
local slow = (t[2] or 0) * math.exp(-gone / ARGV[5]) + (high and 0 or arrivals / ARGV[5])
high = fast > (high and ARGV[7] or ARGV[6]) * math.max(slow, tonumber(ARGV[3]))
local said = {string.format('%.17g', fast), string.format('%.17g', slow), math.max(now, at), high and '1' or '0'}
redis.call('HSET', KEYS[1], 'fast', said[1], 'slow', said[2], 'at', said[3], 'high', said[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5] * 4)
return said
"""


class Doors:
    """Without `client` everything is counted in this process."""

    def __init__(self, client: redis.Redis | None = None, key: bytes = b"", limits: FormLimits = USUAL_LIMITS) -> None:
        self.limits = limits
        self._client = client
        self._key = key
        self._take = client.register_script(bucket.TAKE) if client else None
        self._rise = client.register_script(_RISE) if client else None
        self._held = _Held()
        self._away_until_ms = 0
        self._tide = Tide()

    def knock(self, client: str, now_ms: int) -> int:
        """0 when this visitor may send a form now, else the milliseconds to wait."""
        wanted = {"all": whole(self.limits.all)}
        if not is_here(client):
            wanted[f"visitor:{self._hidden(network_of(client))}"] = whole(self.limits.visitor)
        return self._shared(now_ms, lambda: self._take_shared(wanted, now_ms), lambda: self._held.take(wanted, now_ms))

    def may_mail(self, domain: str, now_ms: int) -> bool:
        """Whether another confirm mail may go to this domain, in lower case."""
        if domain in LARGE:
            return True
        wanted = {f"domain:{self._hidden(domain)}": whole(self.limits.domain)}
        return not self._shared(
            now_ms, lambda: self._take_shared(wanted, now_ms), lambda: self._held.take(wanted, now_ms)
        )

    def arrive(self, now_ms: int) -> None:
        """Counts a sign-up."""
        self._tide = self._look(now_ms, 1)

    def is_crowded(self, now_ms: int) -> bool:
        """Whether there are ten times the usual sign-ups: then each must show some work."""
        if not 0 <= now_ms - self._tide.at_ms < TIDE_MS:
            self._tide = self._look(now_ms, 0)
        return self._tide.high

    def spend(self, proof: str, now_ms: int) -> bool:
        """Whether this proof of work is shown for the first time."""
        name = f"proof:{self._hidden(proof)}"

        def shared() -> bool:
            assert self._client is not None
            return bool(self._client.set(f"funnel:door:{name}", b"", px=TOO_OLD_MS, nx=True))

        return self._shared(now_ms, shared, lambda: self._held.first(name))

    def close(self) -> None:
        if self._client:
            self._client.close()

    def _look(self, now_ms: int, arrivals: int) -> Tide:
        usual = self.limits.usual

        def shared() -> Tide:
            assert self._rise is not None
            args = [now_ms, arrivals, usual.count / usual.per_ms, FAST_MS, SLOW_MS, HIGH, LOW]
            fast, slow, at, high = cast(list[bytes], self._rise(keys=["funnel:door:tide"], args=args))
            return Tide(float(fast), float(slow), int(at), high == b"1")

        return self._shared(now_ms, shared, lambda: self._tide.at(now_ms, usual, arrivals))

    def _take_shared(self, wanted: dict[str, Bucket], now_ms: int) -> int:
        assert self._take is not None
        args: list[Any] = [now_ms * 1000, "together"]
        for each in wanted.values():
            args += [each.rate.count, each.rate.per_ms * 1000, each.capacity, 1]
        answer: list[int] = self._take(keys=[f"funnel:door:{name}" for name in wanted], args=args)
        return 0 if answer[0] else max(max(answer[1::2]), 1)

    def _shared(self, now_ms: int, ask: Callable[[], _R], alone: Callable[[], _R]) -> _R:
        """What Redis says, or what this process knows by itself."""
        if self._client is None or now_ms < self._away_until_ms:
            return alone()
        try:
            return ask()
        except (redis.RedisError, OSError):
            self._away_until_ms = now_ms + AWAY_MS
            return alone()

    def _hidden(self, text: str) -> str:
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=16).hexdigest()


class _Held:
    """What one process counts by itself; of very many, those seen last."""

    def __init__(self) -> None:
        self._levels: OrderedDict[str, Level] = OrderedDict()
        self._lock = Lock()

    def take(self, wanted: dict[str, Bucket], now_ms: int) -> int:
        """Takes one out of every bucket, or out of none; then the milliseconds to wait."""
        with self._lock:
            found = {
                name: self._levels.get(name, Level(each.capacity, now_ms)).take(each, now_ms)
                for name, each in wanted.items()
            }
            wait_ms = max(wait for _, wait in found.values())
            for name, (level, _) in found.items():
                if not wait_ms:
                    self._keep(name, level)
            return wait_ms

    def first(self, name: str) -> bool:
        with self._lock:
            known = name in self._levels
            self._keep(name, Level(0, 0))
            return not known

    def _keep(self, name: str, level: Level) -> None:
        self._levels[name] = level
        self._levels.move_to_end(name)
        if len(self._levels) > MOST_HELD:
            self._levels.popitem(last=False)
