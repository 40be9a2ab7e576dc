"""Invented people: over the zones of the world, around the clock, over everything that a course differs by."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from funnel.core.schedule import PACES
from funnel.core.sequence import Funnel

GRID_MS = 5 * 60_000  # sign-ups fall on these: fewer moments, and every hour of the day is among them
LATE_BIRDS = 0.2  # of all, at each pace but the one that is written
SECONDARY = 0.5  # of all have one

# Weights roughly as people live; the strange ones are what a schedule breaks at: half and quarter hours, the far side
# of the date line, a clock change of half an hour or of two, none at all, a zone that is none.
ZONES: Mapping[str, int] = {
    "America/New_York": 14,
    "America/Chicago": 8,
    "America/Denver": 3,
    "America/Phoenix": 2,
    "America/Los_Angeles": 8,
    "America/Sao_Paulo": 3,
    "America/Santiago": 1,
    "America/St_Johns": 1,
    "Europe/London": 12,
    "Europe/Lisbon": 2,
    "Europe/Berlin": 12,
    "Europe/Paris": 6,
    "Europe/Athens": 2,
    "Africa/Lagos": 2,
    "Africa/Cairo": 1,
    "Africa/Casablanca": 1,
    "Africa/Johannesburg": 2,
    "Asia/Jerusalem": 1,
    "Asia/Dubai": 1,
    "Asia/Tehran": 1,
    "Asia/Kolkata": 5,
    "Asia/Kathmandu": 1,
    "Asia/Singapore": 2,
    "Asia/Tokyo": 3,
    "Australia/Sydney": 4,
    "Australia/Adelaide": 1,
    "Australia/Lord_Howe": 1,
    "Pacific/Auckland": 2,
    "Pacific/Chatham": 1,
    "Pacific/Kiritimati": 1,
    "Pacific/Pago_Pago": 1,
    "Antarctica/Troll": 1,
    "UTC": 1,
    "Nowhere/At_All": 1,
}


@dataclass(frozen=True)
class Person:
    """Somebody invented, who confirms at `joined_ms`. The number is that of their subscriber and enrollment."""

    number: int
    funnel: str
    pattern: str
    secondary: str | None
    pace: str
    zone: str
    joined_ms: int

    @property
    def address(self) -> str:
        return f"reader{self.number}@example.org"


def invent(funnels: Sequence[Funnel], people: int, start_ms: int, over_ms: int, seed: int) -> list[Person]:
    """`people` who confirm within `over_ms` after `start_ms`, in that order. The same seed, the same people."""
    chance = random.Random(seed)  # noqa: S311 -- nothing secret
    zones = chance.choices(list(ZONES), list(ZONES.values()), k=people)
    moments = sorted(start_ms + chance.randrange(max(over_ms, GRID_MS)) // GRID_MS * GRID_MS for _ in range(people))
    return [
        _person(chance, number, chance.choice(funnels), zone, joined_ms)
        for number, (zone, joined_ms) in enumerate(zip(zones, moments, strict=True), 1)
    ]


def _person(chance: random.Random, number: int, funnel: Funnel, zone: str, joined_ms: int) -> Person:
    pattern = chance.choice(list(funnel.patterns))
    others = [key for key in funnel.patterns if key != pattern]
    secondary = chance.choice(others) if others and chance.random() < SECONDARY else None
    written, *paces = PACES
    pace = chance.choice(paces) if chance.random() < LATE_BIRDS else written
    return Person(number, funnel.name, pattern, secondary, pace, zone, joined_ms)


def sign_ups(people: Sequence[Person]) -> dict[int, list[Person]]:
    """Moment → who confirms then, in order."""
    found: dict[int, list[Person]] = {}
    for person in people:
        found.setdefault(person.joined_ms, []).append(person)
    return found
