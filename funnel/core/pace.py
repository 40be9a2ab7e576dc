"""How fast mail may go, and how long a provider that answers badly is left alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from funnel.core.delivery import Health
from funnel.core.schedule import DAY_MS, HOUR_MS

MINUTE_MS = 60_000
LONGEST_BACKOFF_MS = HOUR_MS
BURST_MS = 2_000  # a bucket holds what its rate gives in this time: two ticks, so that a late one costs nothing
OTHERS = "*"  # every domain that has no rate of its own, each for itself
_UNITS_MS = {"s": 1_000, "m": MINUTE_MS, "h": HOUR_MS}
_LIKE_A_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")

# Recipients a day that a new sender may reach: at most twice as many as the day before, as mailbox providers advise.
WARM_UP = (
    *(50, 100, 200, 400, 800, 1_500, 3_000, 6_000, 10_000),
    *(20_000, 35_000, 60_000, 100_000, 170_000, 300_000, 500_000),
)


@dataclass(frozen=True)
class Rate:
    """At most `count` recipients in `per_ms`."""

    count: int
    per_ms: int


@dataclass(frozen=True)
class Bucket:
    """Fills at `rate` up to `capacity`; each recipient takes one out. In any time: at most rate × time + capacity."""

    rate: Rate
    capacity: int


class Pace(Protocol):
    """Who may go now. All waiting happens before a batch is started."""

    def take(self, wanted: int) -> int:
        """How many of `wanted` recipients may be planned now: 0 to `wanted`."""
        ...

    def give_back(self, count: int) -> None:
        """Returns what was taken and not used."""
        ...

    def take_domains(self, wanted: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Domain, in lower case → (how many may go now, ms until the rest may). Unlimited domains are left out."""
        ...


class Unpaced:
    """A pace without any limit."""

    def take(self, wanted: int) -> int:
        return wanted

    def give_back(self, count: int) -> None:
        """There is nothing to fill."""

    def take_domains(self, wanted: Mapping[str, int]) -> dict[str, tuple[int, int]]:  # noqa: ARG002 -- no domain is limited
        return {}


def parse_rate(text: str) -> Rate:
    """From "100/s", "6000/m" or "50000/h". Raises ValueError, which says what to write."""
    found = re.fullmatch(r"([1-9][0-9]{0,6})/([smh])", text.strip())
    if not found:
        raise ValueError("must be a rate like 100/s, 6000/m or 50000/h")
    return Rate(int(found[1]), _UNITS_MS[found[2]])


def parse_domain_rates(text: str) -> dict[str, Rate]:
    """Domain → rate from "gmail.com=20/s,*=50/s", where * is every other domain, each for itself. Raises ValueError."""
    rates: dict[str, Rate] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        domain, _, rate = (part.strip() for part in entry.partition("="))
        domain = domain.lower()
        if domain != OTHERS and not _LIKE_A_DOMAIN.fullmatch(domain):
            raise ValueError("must be like gmail.com=20/s,*=50/s: a domain or *, an equals sign, a rate")
        if domain in rates:
            raise ValueError(f"names {domain} twice")
        rates[domain] = parse_rate(rate)
    return rates


def bucket(rate: Rate) -> Bucket:
    """Bursts stay short; a rate of a few an hour still lets single mails through."""
    return Bucket(rate, max(-(-rate.count * BURST_MS // rate.per_ms), 1))


def warm_up_limit(day: int) -> int | None:
    """Recipients on day 0, 1, 2 … of a new sender; None once it is warm. Before its first day the first day's holds."""
    return WARM_UP[max(day, 0)] if day < len(WARM_UP) else None


def warm_up_bucket(limit: int) -> Bucket:
    """Spreads a day's limit over the day. What it holds and what flows in make up the limit, exactly."""
    capacity = max(limit // 12, 1)
    return Bucket(Rate(limit - capacity, DAY_MS), capacity)


def backoff_ms(base_ms: int, retries: int, draw: float) -> int:
    """The wait before try number `retries` + 1: twice as long each time, an hour at most.

    `draw`, random in [0, 1), picks from its upper half, so that those who failed together do not come back together.
    """
    longest = min(base_ms << min(retries, 32), LONGEST_BACKOFF_MS)
    return longest // 2 + int(draw * (longest - longest // 2 + 1))


@dataclass(frozen=True)
class Patience:
    """So many bad answers in a row are borne; then a hold of `first_ms`, twice as long each time up to `longest_ms`."""

    answers: int
    first_ms: int
    longest_ms: int


PATIENCE = {
    Health.REFUSING: Patience(1, 5 * MINUTE_MS, HOUR_MS),
    Health.FAILING: Patience(5, 30_000, 10 * MINUTE_MS),
}


def hold_ms(health: Health, in_a_row: int, strikes: int, retry_ms: int = 0) -> int | None:
    """How long a provider is held after an answer; None when it is not.

    `in_a_row`: bad answers up to this one. `strikes`: how often in a row it has been held already; then one bad answer
    is enough. `retry_ms`: what a busy provider asked for.
    """
    if health == Health.BUSY:
        return min(retry_ms, HOUR_MS) if retry_ms > 0 else None
    patience = PATIENCE.get(health)
    if patience is None or (in_a_row < patience.answers and not strikes):
        return None
    return min(patience.first_ms << min(strikes, 16), patience.longest_ms)
