"""The kinds of values in a funnel's TOML files: what is right, what is said when it is not, and what editors check."""

import re
from datetime import time
from typing import Annotated, Any, Literal, get_args

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from funnel.core.schedule import DAY_MS, HOUR_MS, is_zone

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
EVERY_DAY: tuple[Weekday, ...] = get_args(Weekday)
LONGEST_WAIT_DAYS = 366
LONGEST_KEY = 80  # letters, as the tables have room for
LONGEST_SENDER = 100
LONGEST_SLUG = 60
RESERVED = frozenset({"data", "healthz", "hooks", "language", "leave", "metrics", "outbox", "readyz", "static"})


# Control characters, and whatever else some reader takes for the end of a line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def _one_line(value: str) -> str:
    if not value.strip() or _CONTROL.search(value):
        raise ValueError("must be one line of text, not empty")
    return value.strip()


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if CONTROL_IN_TEXT.search(value):
        raise ValueError("holds a control character; delete it")
    return value.strip()


def _key(value: str) -> str:
    if not value.isascii() or not value.replace("-", "").isalnum() or value != value.lower():
        raise ValueError("must be lower-case letters, digits and hyphens")
    if len(value) > LONGEST_KEY:
        raise ValueError(f"must have at most {LONGEST_KEY} letters")
    return value


def _sender(value: str) -> str:
    """The name in From: a header has room for no more, and mail programs would decode =? … ?= wherever it stands."""
    if len(value) > LONGEST_SENDER or "=?" in value:
        raise ValueError(f"must have at most {LONGEST_SENDER} letters, and no =?")
    return value


def _zone(value: str) -> str:
    if not is_zone(value):
        raise ValueError("is not a time zone; write one like Europe/Berlin")
    return value


def _https(value: str) -> str:
    if not value.startswith("https://"):
        raise ValueError("must start with https://")
    return value


def _https_or_empty(value: str) -> str:
    return _https(value) if value else value


def _address(value: str) -> str:
    try:
        found = validate_email(value, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError("must be an email address like notes@example.org") from None
    return found.ascii_email or value


def _slug(value: str) -> str:
    if not 3 <= len(value) <= LONGEST_SLUG or value in RESERVED:
        raise ValueError(f"must have 3 to {LONGEST_SLUG} letters and be none of {', '.join(sorted(RESERVED))}")
    return value


def _wait_ms(value: Any) -> int:
    number, _, unit = str(value).partition(" ")
    units = {"hour": HOUR_MS, "hours": HOUR_MS, "day": DAY_MS, "days": DAY_MS}
    if not number.isdecimal() or unit not in units:
        raise ValueError(f'must be like "2 days" or "6 hours", and at most {LONGEST_WAIT_DAYS} days')
    if int(number) * units[unit] > LONGEST_WAIT_DAYS * DAY_MS:
        raise ValueError(f"must be at most {LONGEST_WAIT_DAYS} days")
    return int(number) * units[unit]


def _clock(value: Any) -> time:
    try:
        clock = time.fromisoformat(str(value))
    except ValueError:
        clock = None
    if clock is None or clock.tzinfo:
        raise ValueError('must be a local time like "08:30"')
    return clock


def _quiet(value: Any) -> tuple[time, time] | None:
    if value == "none":
        return None
    begin, _, end = str(value).partition("-")
    try:
        found = _clock(begin), _clock(end)
    except ValueError:
        raise ValueError('must be like "21:30-07:30", or "none"') from None
    if found[0] == found[1]:
        raise ValueError("begins when it ends; write one like 21:30-07:30, or none")
    return found


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _pattern(expression: str, *examples: str) -> WithJsonSchema:
    """What an editor checks of a text, where the rule itself is code."""
    shown = {"examples": list(examples)} if examples else {}
    return WithJsonSchema({"type": "string", "pattern": expression, **shown})


_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
Line = Annotated[str, AfterValidator(_one_line)]
SenderName = Annotated[str, AfterValidator(_one_line), AfterValidator(_sender)]
Text = Annotated[str, AfterValidator(_text)]
Key = Annotated[str, AfterValidator(_key), _pattern(f"^[a-z0-9-]{{1,{LONGEST_KEY}}}$")]
Zone = Annotated[str, AfterValidator(_zone), _pattern("^([A-Za-z_]+/.+|UTC)$", "Europe/Berlin")]
Https = Annotated[str, AfterValidator(_https), _pattern("^https://")]
HttpsOrEmpty = Annotated[str, AfterValidator(_https_or_empty), _pattern("^(https://.*)?$")]
Address = Annotated[str, AfterValidator(_address), _pattern("^[^@\\s]+@[^@\\s]+$")]
Slug = Annotated[str, AfterValidator(_key), AfterValidator(_slug), _pattern(f"^[a-z0-9-]{{3,{LONGEST_SLUG}}}$")]
WaitMs = Annotated[int, BeforeValidator(_wait_ms), _pattern("^[0-9]+ (hours?|days?)$", "2 days", "6 hours")]
Clock = Annotated[time, BeforeValidator(_clock), _pattern(f"^{_CLOCK}$", "08:30")]
Quiet = Annotated[
    tuple[time, time] | None,
    BeforeValidator(_quiet),
    _pattern(f"^({_CLOCK}-{_CLOCK}|none)$", "21:30-07:30", "none"),
]
_Values = Annotated[list[Key], BeforeValidator(_listed), Field(min_length=1)]
Values = Annotated[_Values, WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}})]
