"""How often forms may be sent, and when there are so many that it must be a machine."""

import hashlib
from dataclasses import dataclass
from math import ceil, exp

from funnel.core.pace import MINUTE_MS, Bucket, Rate
from funnel.core.schedule import DAY_MS, HOUR_MS

FAST_MS = 5 * MINUTE_MS  # over which the sign-ups of now are averaged
SLOW_MS = 7 * DAY_MS  # and those that are usual
HIGH, LOW = 10, 5  # times the usual: when a burst begins, and when it is over

# What a page asks of its visitor before a sign-up counts.
TOO_FAST_MS = 2_000  # nobody reads, types and ticks within that time
TOO_OLD_MS = 12 * HOUR_MS
WORK_BITS = 17  # a second of a phone's time
WAIT_MS = 30_000  # instead of the work, for browsers without scripts


def shows_work(stamp: str, nonce: str) -> bool:
    """Whether somebody has looked for this nonce: SHA-256 of "stamp:nonce" begins with WORK_BITS zeros."""
    digest = hashlib.sha256(f"{stamp}:{nonce}".encode()).digest()
    return not int.from_bytes(digest, "big") >> (len(digest) * 8 - WORK_BITS)


@dataclass(frozen=True)
class FormLimits:
    """`visitor` and `all` limit the forms that make us send mail; below `usual` sign-ups there is never a burst.

    `domain` limits the confirm mails to each domain but those of the large mailbox providers.
    """

    visitor: Rate
    all: Rate
    usual: Rate
    domain: Rate


USUAL_LIMITS = FormLimits(
    visitor=Rate(60, HOUR_MS), all=Rate(600, MINUTE_MS), usual=Rate(2, MINUTE_MS), domain=Rate(60, HOUR_MS)
)


def whole(rate: Rate) -> Bucket:
    """What a rate gives in its time may come at once: people come in waves."""
    return Bucket(rate, rate.count)


@dataclass(frozen=True)
class Level:
    """What was in a bucket at a moment."""

    tokens: float
    at_ms: int

    def take(self, bucket: Bucket, now_ms: int) -> tuple["Level", int]:
        """The level once one is taken, and 0; or the level as it is, and the milliseconds until there is one."""
        per_ms = bucket.rate.count / bucket.rate.per_ms
        tokens = min(bucket.capacity, self.tokens + max(now_ms - self.at_ms, 0) * per_ms)
        if tokens >= 1:
            return Level(tokens - 1, now_ms), 0
        return Level(tokens, now_ms), max(ceil((1 - tokens) / per_ms), 1)


@dataclass(frozen=True)
class Tide:
    """Sign-ups a millisecond: lately (`fast`) and usually (`slow`). `high` while there is a burst."""

    fast: float = 0.0
    slow: float = 0.0
    at_ms: int = 0
    high: bool = False

    def at(self, now_ms: int, usual: Rate, arrivals: int = 0) -> "Tide":
        """The tide at a moment, once so many have arrived. A burst does not become what is usual."""
        gone = max(now_ms - self.at_ms, 0)
        fast = self.fast * exp(-gone / FAST_MS) + arrivals / FAST_MS
        slow = self.slow * exp(-gone / SLOW_MS) + (0 if self.high else arrivals / SLOW_MS)
        base = max(slow, usual.count / usual.per_ms)
        return Tide(fast, slow, max(now_ms, self.at_ms), fast > (LOW if self.high else HIGH) * base)
