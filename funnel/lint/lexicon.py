"""What the lint knows of a language: our words.toml, and what a funnel's own lint.toml adds."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_OURS = Path(__file__).parent / "words.toml"
Words = list[Annotated[str, Field(min_length=2)]]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class OwnWords(_Form):
    """What a funnel adds for one language."""

    diagnostic: Words = []
    graphic: Words = []
    topic: Words = []
    fine: Words = []


class Settings(_Form):
    """lint.toml: `reading_grade` is the school grade up to which a text may read; `words` is by language."""

    reading_grade: Annotated[float, Field(ge=1, le=20)] = 9.0
    words: dict[str, OwnWords] = {}


class Language(_Form):
    """One language of words.toml. `forward` and `backward` are in days, `hours` are local hours."""

    diagnostic: Words
    graphic: Words
    topic: Words
    fine: Words
    empty_links: list[str]
    weekdays: Words
    weekday_before: Words
    forward: dict[str, int]
    backward: dict[str, int]
    forward_days: str
    backward_days: str
    numbers: dict[str, int]
    hours: dict[str, int]


def read_settings(text: str) -> Settings:
    """Raises ValueError with every problem in one sentence each."""
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise ValueError("; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)) from None


@cache
def languages() -> Mapping[str, Language]:
    with _OURS.open("rb") as file:
        return {locale: Language.model_validate(found) for locale, found in tomllib.load(file).items()}


@dataclass(frozen=True)
class Lexicon:
    """The words of one language, ours and the funnel's own."""

    language: Language
    own: OwnWords = field(default_factory=OwnWords)

    @cached_property
    def diagnostic(self) -> re.Pattern[str]:
        return any_of([*self.language.diagnostic, *self.own.diagnostic])

    @cached_property
    def graphic(self) -> re.Pattern[str]:
        return any_of([*self.language.graphic, *self.own.graphic])

    def topic(self, names: Iterable[str]) -> re.Pattern[str]:
        return any_of([*self.language.topic, *self.own.topic, *names])

    @cached_property
    def _fine(self) -> re.Pattern[str]:
        return any_of([*self.language.fine, *self.own.fine])

    def found(self, pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
        """The words in `text`, those inside a phrase that is fine left out."""
        plain = straight(text)
        fine = [match.span() for match in self._fine.finditer(plain)]
        for match in pattern.finditer(plain):
            if not any(first <= match.start() < last for first, last in fine):
                yield match


def lexicon(settings: Settings, locale: str) -> Lexicon | None:
    """The words of a locale's language; None where we know none."""
    name = locale.partition("-")[0]
    known = languages().get(name)
    return Lexicon(known, settings.words.get(name, OwnWords())) if known else None


def straight(text: str) -> str:
    """The text with typewriter apostrophes, as long as before."""
    return text.replace("’", "'")


def any_of(entries: Iterable[str]) -> re.Pattern[str]:
    """Matches any of these words, beginnings of words (with a * behind) and phrases."""
    parts = [_entry(straight(entry)) for entry in dict.fromkeys(entries)]
    return re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)


def _entry(entry: str) -> str:
    core = re.escape(entry.strip("*").strip()).replace(r"\ ", r"\s+")
    before = r"\w*" if entry.startswith("*") else ""
    after = r"\w*" if entry.endswith("*") else ""
    return rf"(?<!\w){before}{core}{after}(?!\w)"
