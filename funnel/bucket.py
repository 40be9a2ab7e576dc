"""What all workers share through Redis: token buckets that set the pace, and marks of what was handed over.

Redis holds hints here as everywhere. Without it the buckets give nothing: mail waits. The marks see nothing: they are
the second line, and SQL is the first. Domains and addresses are in it only as keyed hashes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import redis

from funnel.core.pace import OTHERS, Bucket, Pace, Rate, Unpaced, bucket, warm_up_bucket, warm_up_limit
from funnel.core.schedule import DAY_MS

TIMEOUT_S = 2.0
AWAY_WAIT_MS = 5_000
MARKS_KEPT_S = 2 * DAY_MS // 1000
READ_SIZE = 4_096  # bytes that each connection keeps for answers, one for each thread that hands over
MARKS_AT_ONCE = 1_000  # Lua passes a few thousand values to a command, not more

# KEYS: buckets. ARGV: µs since the epoch ('' for the server's own clock), 'together' (every bucket grants the same) or
# 'apart', then for each bucket: count, per µs, capacity, wanted (less than nothing fills it). A bucket that is not
# there is full; what is above the brim is lost when it is next looked at. Levels count in tokens × per µs: whole
# numbers below 2^53, so that nothing is ever rounded.
# Returns for each bucket: granted, ms until the rest may go or the bucket is full.
TAKE = """
local clock = redis.call('TIME')
local now = tonumber(ARGV[1]) or clock[1] * 1000000 + clock[2]
local buckets, least = {}, math.huge
for i, key in ipairs(KEYS) do
  local at = 4 * i - 1
  local b = {count = tonumber(ARGV[at]), per = tonumber(ARGV[at + 1]), wanted = tonumber(ARGV[at + 3])}
  b.full = ARGV[at + 2] * b.per
  b.level = b.full
  local held = redis.call('HMGET', key, 'level', 'at')
  if held[1] then
    b.level = math.min(b.full, held[1] + math.max(0, now - held[2]) * b.count)
  end
  b.granted = math.min(b.wanted, math.floor(b.level / b.per))
  least = math.min(least, b.granted)
  buckets[i] = b
end
local answer = {}
for i, key in ipairs(KEYS) do
  local b = buckets[i]
  if ARGV[2] == 'together' then b.granted = least end
  local level = b.level - b.granted * b.per
  redis.call('HSET', key, 'level', level, 'at', now)
  redis.call('PEXPIRE', key, math.ceil(b.full / b.count / 1000) + 60000)
  local lacking = math.min((b.wanted - b.granted) * b.per, b.full) - level
  answer[2 * i - 1] = b.granted
  answer[2 * i] = b.wanted > b.granted and math.max(math.ceil(lacking / b.count / 1000), 1) or 0
end
return answer
"""

# KEYS: today's hash and yesterday's. ARGV: seconds to keep, then tag, delivery, tag, delivery …
# Returns delivery, other delivery, … where another one stood; from now on the newer one stands.
_MARK = """
local tags, found = {}, {}
for i = 2, #ARGV, 2 do tags[i / 2] = ARGV[i] end
local today = redis.call('HMGET', KEYS[1], unpack(tags))
local before = redis.call('HMGET', KEYS[2], unpack(tags))
for i = 1, #tags do
  local other, own = today[i] or before[i], ARGV[2 * i + 1]
  if other and other ~= own then
    found[#found + 1] = own
    found[#found + 1] = other
  end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return found
"""


def connect(url: str, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """A client for `url` that gives up soon; connects when first used."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, socket_read_size=READ_SIZE
    )


def pace(
    client: redis.Redis,
    key: bytes,
    rate: Rate | None = None,
    domain_rates: Mapping[str, Rate] | None = None,
    warm_up_ms: int | None = None,
) -> Pace:
    """The pace that these limits set; without any, one that never asks Redis."""
    if rate or domain_rates or warm_up_ms is not None:
        return Buckets(client, key, rate, domain_rates or {}, warm_up_ms)
    return Unpaced()


class Buckets:
    """The pace of all workers. `warm_up_ms`: when the sender's first day began. `key` makes domains unreadable.

    `now_us` is for tests: a clock instead of Redis' own, which makes that of the workers' machines matter to nobody.
    """

    def __init__(
        self,
        client: redis.Redis,
        key: bytes,
        rate: Rate | None,
        domain_rates: Mapping[str, Rate],
        warm_up_ms: int | None,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._key = key
        self._rate = rate
        self._domain_rates = domain_rates
        self._warm_up_ms = warm_up_ms
        self._now_us = now_us
        self._take = client.register_script(TAKE)

    def take(self, wanted: int) -> int:
        """See Pace. 0 without Redis."""
        if wanted <= 0:
            return 0
        try:
            return self._together(wanted)
        except (redis.RedisError, OSError):
            return 0

    def give_back(self, count: int) -> None:
        """See Pace. Lost without Redis: that much less goes."""
        if count <= 0:
            return
        try:
            self._together(-count)
        except (redis.RedisError, OSError):
            return

    def take_domains(self, wanted: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """See Pace. (0, AWAY_WAIT_MS) for every limited domain without Redis."""
        limited = {name: rate for name in wanted if (rate := self._rate_of(name))}
        if not limited:
            return {}
        buckets = {self._domain_key(name): bucket(rate) for name, rate in limited.items()}
        try:
            answer = self._ask("apart", buckets, [wanted[name] for name in limited])
        except (redis.RedisError, OSError):
            return dict.fromkeys(limited, (0, AWAY_WAIT_MS))
        return dict(zip(limited, zip(answer[::2], answer[1::2], strict=True), strict=True))

    def _together(self, wanted: int) -> int:
        buckets = {"all": bucket(self._rate)} if self._rate else {}
        limit = self._warm_up_limit()
        if limit is not None:
            buckets["warm-up"] = warm_up_bucket(limit)
        if not buckets:
            return wanted
        return self._ask("together", buckets, [wanted] * len(buckets))[0]

    def _ask(self, how: str, buckets: Mapping[str, Bucket], wanted: Sequence[int]) -> list[int]:
        keys, args = [], [self._now_us() if self._now_us else "", how]
        for (name, held), count in zip(buckets.items(), wanted, strict=True):
            # The unit is part of the name: a level counts in it.
            keys.append(f"funnel:pace:{name}:{held.rate.per_ms}")
            args += [held.rate.count, held.rate.per_ms * 1000, held.capacity, count]
        answer: list[int] = self._take(keys=keys, args=args)
        return answer

    def _warm_up_limit(self) -> int | None:
        if self._warm_up_ms is None:
            return None
        now_ms = self._now_us() // 1000 if self._now_us else _time_ms(self._client)
        return warm_up_limit((now_ms - self._warm_up_ms) // DAY_MS)

    def _rate_of(self, domain: str) -> Rate | None:
        return self._domain_rates.get(domain) or self._domain_rates.get(OTHERS)

    def _domain_key(self, domain: str) -> str:
        return "domain:" + hashlib.blake2b(domain.encode(), key=self._key, digest_size=16).hexdigest()


class Marks:
    """Which delivery of a lesson went to an address, by opaque tags; kept for a day at least and two at most."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._mark = client.register_script(_MARK)

    def others(self, lesson: str, tags: Mapping[bytes, int], now_ms: int) -> dict[int, int]:
        """Marks deliveries by their tags. Returns delivery → the other one that has left its mark on that tag.

        One round trip for a batch. Nothing is found without Redis.
        """
        day = now_ms // DAY_MS
        keys = [_marks_of(lesson, day), _marks_of(lesson, day - 1)]
        flat: list[bytes | int] = [part for pair in tags.items() for part in pair]
        found: list[Any] = []
        try:
            for start in range(0, len(flat), 2 * MARKS_AT_ONCE):
                found += self._mark(keys=keys, args=[MARKS_KEPT_S, *flat[start : start + 2 * MARKS_AT_ONCE]])
        except (redis.RedisError, OSError):
            return {}
        return {int(own): int(other) for own, other in zip(found[::2], found[1::2], strict=True)}

    def forget(self, tags: Mapping[str, bytes], now_ms: int) -> bool:
        """Takes the marks of these tags off, lesson → tag. False when Redis does not answer."""
        day = now_ms // DAY_MS
        try:
            for lesson, tag in tags.items():
                for each in (day, day - 1):
                    self._client.hdel(_marks_of(lesson, each), tag)  # type: ignore[arg-type]  # any field is bytes
        except (redis.RedisError, OSError):
            return False
        return True


def _marks_of(lesson: str, day: int) -> str:
    return f"funnel:marks:{lesson}:{day}"


def _time_ms(client: redis.Redis) -> int:
    seconds, micros = cast(tuple[int, int], client.time())
    return int(seconds) * 1000 + int(micros) // 1000
