"""How long things are kept: the one table, and how a setting changes it."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

DAY_MS = 24 * 3_600_000
LONGEST_DAYS = 3650


class Rule(NamedTuple):
    """What is deleted so many days after something; not in fewer than `least`, for it is needed that long."""

    days: int
    least: int
    what: str


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "pending": Rule(7, 4, "sign-ups that were never confirmed, and whoever confirmed none"),
        "pattern": Rule(90, 1, "the result and the list of notes, after a course has ended"),
        "links": Rule(365, 30, "links in lessons work so long; those that stop the notes do for good"),
        "events": Rule(30, 4, "what the provider told of mails"),
        "tokens": Rule(7, 0, "links of service mails, after they have run out"),
        "mails": Rule(30, 2, "that service mails were asked for and sent, requests for one's data among them"),
        "erasures": Rule(30, 2, "the address of somebody erased whom the provider would not forget"),
    }
)
_ENTRY = re.compile(r"([a-z]+)=([0-9]{1,4})d")


def parse_retention(text: str) -> dict[str, int]:
    """Periods in days by rule, from `pattern=60d, events=14d`. Raises ValueError, which says what to write."""
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        match = _ENTRY.fullmatch(entry)
        if not match or match[1] not in RULES:
            raise ValueError(f"must read like pattern=60d, events=14d; the rules are {', '.join(RULES)}")
        days, least = int(match[2]), RULES[match[1]].least
        if not least <= days <= LONGEST_DAYS:
            raise ValueError(f"must keep {match[1]} for {least} to {LONGEST_DAYS} days")
        found[match[1]] = days
    return found


def periods_ms(changed: Mapping[str, int]) -> dict[str, int]:
    """Every rule's period in milliseconds, with `changed` in days."""
    return {name: changed.get(name, rule.days) * DAY_MS for name, rule in RULES.items()}
