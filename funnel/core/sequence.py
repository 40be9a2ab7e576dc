"""A funnel and its parts, as marketers write them, once read and found right."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from functools import cached_property

from funnel.core.lesson import Source
from funnel.core.quiz import Quiz
from funnel.core.schedule import Timing


@dataclass(frozen=True)
class Condition:
    """That a reader's `trait` (one of TRAITS) is one of `values`; for "event", that one of them was reached."""

    trait: str
    values: frozenset[str]


TRAITS = ("secondary", "locale", "pace", "event")


@dataclass(frozen=True)
class Until:
    """An event to wait for, counted from the lesson before; at most so long."""

    event: str
    most_ms: int


@dataclass(frozen=True)
class Lesson:
    """`key` is unique in the funnel and never changes its meaning; `source` is the parsed mail.

    It is for readers for whom all of `only_if` holds and nothing of `unless`. One that is `after_all` reaches those,
    too, who had finished before it was written. Whoever has had a lesson does not get those that are the `same_as` it.
    """

    key: str
    timing: Timing
    source: Source
    only_if: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    until: Until | None = None
    after_all: bool = False
    same_as: str | None = None

    @cached_property
    def reads(self) -> frozenset[str]:
        """The traits that decide whether and when it is due; awaiting an event reads "event"."""
        awaited = ("event",) if self.until else ()
        return frozenset((*(each.trait for each in (*self.only_if, *self.unless)), *awaited))

    @property
    def conditional(self) -> bool:
        """Whether it is not for everybody."""
        return bool(self.only_if or self.unless)


@dataclass(frozen=True)
class Goal:
    """An event that ends the sequence; `to` is the pattern whose sequence comes instead, if any."""

    event: str
    to: str | None = None


@dataclass(frozen=True)
class Schedule:
    """What holds for all sequences of a funnel.

    `daily_cap` is how many mails a person gets on a local day at most, whatever the funnel; None: no limit. `quiet` is
    what lessons have that say nothing themselves. `on_reentry`: whoever finished and signs up again gets what is new
    ("continue"), or only what is marked after-all ("after-all").
    """

    daily_cap: int | None = None
    quiet: tuple[time, time] | None = None
    on_reentry: str = "continue"


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
    goals: tuple[Goal, ...] = ()

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Lesson key → its place in the sequence, from 0."""
        return {lesson.key: place for place, lesson in enumerate(self.lessons)}


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

    With `link_only`, mails hold a link and the lesson waits on its page, whatever its reader has chosen.

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
    link_only: bool = False
    schedule: Schedule = field(default_factory=Schedule)
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

    @cached_property
    def alike(self) -> Mapping[str, frozenset[str]]:
        """Lesson key → the keys of all lessons that are the same, itself among them; only where there is another."""
        groups: dict[str, set[str]] = defaultdict(set)
        for lesson in (each for pattern in self.patterns.values() for each in pattern.lessons if each.same_as):
            joined = {lesson.key, str(lesson.same_as)}
            for key in tuple(joined):
                joined |= groups[key]
            for key in joined:
                groups[key] = joined
        return {key: frozenset(group) for key, group in groups.items()}

    @cached_property
    def reads(self) -> frozenset[str]:
        """Every trait that any lesson or goal asks for."""
        found = {trait for pattern in self.patterns.values() for each in pattern.lessons for trait in each.reads}
        return frozenset(found | ({"event"} if any(each.goals for each in self.patterns.values()) else set()))

    @property
    def awaits(self) -> frozenset[str]:
        """Every event that a lesson waits for: only of these the moment matters."""
        lessons = (each for pattern in self.patterns.values() for each in pattern.lessons)
        return frozenset(each.until.event for each in lessons if each.until)

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
