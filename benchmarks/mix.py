"""The real mix: whatever the shipped content tells readers apart by. Read from a database that holds it."""

from dataclasses import dataclass
from itertools import product

from sqlalchemy import Engine

from funnel.core.consent import wording_hash
from funnel.core.lesson import segment
from funnel.keyring import Keyring
from funnel.store import revisions
from funnel.store.db import reading
from tests.conftest import NAME, make_tools

ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Warsaw", "America/New_York", "America/Chicago"),
    *("America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney", "Africa/Lagos"),
)
FIRST_NAMES = (
    "",
    "",
    "Anna",
    "Ben",
    "Zoë",
    "Łukasz",
    "Maria José",
    "Tom & Jo",
    "Siobhán",
    "Alexandra",
    "Yuki",
    "D'Arcy",
)
KINDS = 16  # of readers: four patterns, each with one of the other three as secondary or none
STEPS = 7  # lessons of a course


@dataclass(frozen=True)
class Mix:
    """`kinds` are (pattern, secondary); `lessons` and `segments` are by kind, then by step from 0."""

    funnel: str
    revision_id: str
    wordings: tuple[tuple[str, str], ...]
    kinds: tuple[tuple[str, str | None], ...]
    lessons: tuple[tuple[int, ...], ...]
    segments: tuple[tuple[str, ...], ...]


def read(engine: Engine) -> Mix:
    """The mix of the funnel that is published in this database."""
    with reading(engine) as connection:
        revision_id, funnel = make_tools(engine, Keyring({1: bytes(32)})).current(connection)[NAME]
        ids = revisions.lesson_ids(connection, NAME)
    kinds = tuple(
        (pattern, None if secondary == pattern else secondary)
        for pattern, secondary in product(funnel.patterns, repeat=2)
    )
    courses = {pattern: funnel.patterns[pattern].lessons for pattern in funnel.patterns}
    mix = Mix(
        funnel=NAME,
        revision_id=revision_id,
        wordings=tuple((purpose, wording_hash(text)) for purpose, text in funnel.wordings.items()),
        kinds=kinds,
        lessons=tuple(tuple(ids[lesson.key] for lesson in courses[pattern]) for pattern, _ in kinds),
        segments=tuple(
            tuple(
                segment(lesson.source, {"secondary": secondary or "", "pace": "as-written"})
                for lesson in courses[pattern]
            )
            for pattern, secondary in kinds
        ),
    )
    assert len(kinds) == KINDS
    assert all(len(course) == STEPS for course in mix.lessons)
    return mix
