"""Invented people: over the zones of the world, around the clock, over everything that a course differs by."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from funnel.core.schedule import DAY_MS, PACES
from funnel.core.sequence import Funnel

GRID_MS = 5 * 60_000  # sign-ups fall on these: fewer moments, and every hour of the day is among them
OWN_PACE = 0.2  # of all have another pace than the one that is written
SECONDARY = 0.5  # … a second pattern
LEAVING = 0.04  # … unsubscribe on the way
SWITCHING = 0.04  # … choose another course on the way
BOTH = 0.2  # … enter a second funnel, where there is one
LATER_MS = 3 * DAY_MS  # … some time after the first

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
class Act:
    """What a reader does once they have had `after` lessons: chooses another pattern's course, or (None) leaves."""

    after: int
    pattern: str | None


@dataclass(frozen=True)
class Course:
    """One reader's course, confirmed at `joined_ms`."""

    number: int
    zone: str
    funnel: str
    pattern: str
    secondary: str | None
    pace: str
    joined_ms: int
    act: Act | None = None

    @property
    def address(self) -> str:
        return f"reader{self.number}@example.org"


def invent(funnels: Sequence[Funnel], people: int, start_ms: int, over_ms: int, chance: random.Random) -> list[Course]:
    """The courses of `people` who first confirm within `over_ms` after `start_ms`, in that order."""
    zones = chance.choices(list(ZONES), list(ZONES.values()), k=people)
    moments = sorted(start_ms + _on_grid(chance, max(over_ms, GRID_MS)) for _ in range(people))
    courses = []
    for number, (zone, joined_ms) in enumerate(zip(zones, moments, strict=True), 1):
        first, *others = chance.sample(funnels, len(funnels))
        courses.append(_course(chance, number, zone, first, joined_ms))
        if others and chance.random() < BOTH:
            courses.append(_course(chance, number, zone, others[0], joined_ms + _on_grid(chance, LATER_MS)))
    return sorted(courses, key=lambda each: each.joined_ms)


def _course(chance: random.Random, number: int, zone: str, funnel: Funnel, joined_ms: int) -> Course:
    pattern = chance.choice(list(funnel.patterns))
    others = [key for key in funnel.patterns if key != pattern]
    secondary = chance.choice(others) if chance.random() < SECONDARY else None
    written, *paces = PACES
    pace = chance.choice(paces) if chance.random() < OWN_PACE else written
    act = _act(chance, len(funnel.patterns[pattern].lessons), others)
    return Course(number, zone, funnel.name, pattern, secondary, pace, joined_ms, act)


def _act(chance: random.Random, lessons: int, others: Sequence[str]) -> Act | None:
    draw, after = chance.random(), chance.randint(1, lessons)
    if draw < LEAVING:
        return Act(after, None)
    return Act(after, chance.choice(others)) if draw < LEAVING + SWITCHING else None


def _on_grid(chance: random.Random, within_ms: int) -> int:
    return chance.randrange(within_ms) // GRID_MS * GRID_MS
