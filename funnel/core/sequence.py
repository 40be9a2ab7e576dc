"""A funnel and its parts, as marketers write them, once read and found right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from funnel.core.lesson import Source
from funnel.core.quiz import Quiz
from funnel.core.schedule import Timing


@dataclass(frozen=True)
class Lesson:
    """`key` is unique in the funnel and never changes its meaning; `source` is the parsed mail."""

    key: str
    timing: Timing
    source: Source


@dataclass(frozen=True)
class Pattern:
    """A quiz outcome with its sequence. All texts but `name`, `protects_by` and `promise` are Markdown."""

    key: str
    name: str
    protects_by: str
    promise: str
    summary: str
    purpose: str
    before: str
    during: str
    after: str
    costs: str
    needs: str
    practice: str
    lessons: tuple[Lesson, ...]


@dataclass(frozen=True)
class Controller:
    """Who answers for the data."""

    name: str
    postal_address: str
    contact: str


@dataclass(frozen=True)
class Sender:
    name: str
    address: str
    replies: str


@dataclass(frozen=True)
class Review:
    author: str
    reviewer: str
    date: date


@dataclass(frozen=True)
class Educator:
    """Who offers paid work at the end of a course. An incomplete one is never mentioned."""

    name: str
    credentials: str
    offer: str
    price: str
    touch: str
    url: str

    @property
    def complete(self) -> bool:
        return all(vars(self).values())


@dataclass(frozen=True)
class Page:
    """An article: `title` and `description` are plain text, `body` is Markdown."""

    title: str
    description: str
    body: str


@dataclass(frozen=True)
class HelpKind:
    name: str
    what: str
    find: str


@dataclass(frozen=True)
class HelpEntry:
    """One verified entry of the support directory; `checked` is the day somebody looked at `source`."""

    country: str
    name: str
    contact: str
    url: str
    source: str
    checked: date


@dataclass(frozen=True)
class Support:
    intro: str
    kinds: tuple[HelpKind, ...]
    entries: tuple[HelpEntry, ...]


@dataclass(frozen=True)
class Funnel:
    """One funnel, whole. `name` is its folder's name and stays inside; `slug` is public and neutral.

    `wordings` maps a consent's purpose to the exact text a reader agrees to. `unknown` is what becomes of mail of which
    nobody can ever tell whether it was sent: "hold" it for a person, or "resend" it once.

    `locale` is the language of its texts. `translations` holds the same funnel in its other languages; of such a one,
    `untranslated` names the parts that are still in the main language.
    """

    name: str
    slug: str
    title: str
    locale: str
    timezone: str
    leave_to: str
    controller: Controller
    sender: Sender
    review: Review
    educator: Educator
    wordings: Mapping[str, str]
    quiz: Quiz
    patterns: Mapping[str, Pattern]
    landing: Page
    how: Page
    privacy: Page
    support: Support
    snippets: Mapping[str, str]
    unknown: str = "hold"
    translations: Mapping[str, "Funnel"] = field(default_factory=dict)
    untranslated: frozenset[str] = frozenset()
    main_locale: str = ""

    @property
    def locales(self) -> tuple[str, ...]:
        """Every language it can be read in, the main one first."""
        return (self.locale, *self.translations)

    def read_in(self, locale: str) -> "Funnel":
        """The funnel in this language; in the main one where there is no such translation."""
        return self.translations.get(locale, self)

    def spoken(self, part: str) -> str:
        """The language that this part is really in."""
        return self.main_locale if part in self.untranslated else self.locale

    def lesson(self, key: str) -> tuple[Pattern, Lesson] | None:
        """The lesson of that key with the pattern it belongs to."""
        return next(
            (
                (pattern, lesson)
                for pattern in self.patterns.values()
                for lesson in pattern.lessons
                if lesson.key == key
            ),
            None,
        )
