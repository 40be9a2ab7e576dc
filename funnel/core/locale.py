"""Which of the languages that are offered somebody would rather read."""

import re
from collections.abc import Iterator, Sequence

LONGEST_HEADER = 500
_RANGE = re.compile(
    r"\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)


def preferred(accepted: str, offered: Sequence[str]) -> str | None:
    """The one of `offered` that an Accept-Language header likes best, or None. What cannot be read is left out."""
    for wanted in _ranges(accepted[:LONGEST_HEADER]):
        if found := _match(wanted, offered):
            return found
    return None


def language(locale: str) -> str:
    """The language of a locale, without its region: "de" of "de-at"."""
    return locale.partition("-")[0]


def _ranges(accepted: str) -> Iterator[str]:
    """The language ranges of the header, the best first; without those that are refused."""
    read = (_RANGE.fullmatch(part) for part in accepted.split(","))
    weighed = [(float(part[2] or 1), part[1].lower()) for part in read if part]
    return (wanted for weight, wanted in sorted(weighed, key=lambda each: -each[0]) if weight)


def _match(wanted: str, offered: Sequence[str]) -> str | None:
    """Exactly the wanted one, or else one of the same language: somebody from Austria reads German."""
    if wanted == "*":
        return offered[0] if offered else None
    if wanted in offered:
        return wanted
    return next((locale for locale in offered if language(locale) == language(wanted)), None)
