"""The quiz and its scoring: answers in, result out."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

NONE = "none"
SKIP = "skip"


@dataclass(frozen=True)
class Answer:
    """`weights` maps pattern keys to points; an answer that is at ease has none."""

    key: str
    text: str
    because: str
    weights: Mapping[str, int]
    at_ease: bool = False


@dataclass(frozen=True)
class Question:
    key: str
    text: str
    channel: str
    answers: tuple[Answer, ...]

    def answer(self, key: str) -> Answer | None:
        return next((answer for answer in self.answers if answer.key == key), None)

    def most(self, pattern: str) -> int:
        """The most points that one answer of this question gives to `pattern`."""
        return self._most.get(pattern, 0)

    @cached_property
    def _most(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for answer in self.answers:
            for pattern, points in answer.weights.items():
                found[pattern] = max(points, found.get(pattern, 0))
        return found


class Outcome(StrEnum):
    DECIDED = "decided"
    TOO_CLOSE = "too-close"
    AT_EASE = "at-ease"
    TOO_FEW = "too-few"


@dataclass(frozen=True)
class Rules:
    """How scores become an outcome. `at_ease` is in percent, `too_close` and `secondary_within` in points of share."""

    minimum_answers: int
    at_ease: float
    too_close: float
    secondary_within: float


@dataclass(frozen=True)
class OutcomeText:
    name: str
    text: str


@dataclass(frozen=True)
class Fact:
    """What somebody should know before they start; `text` is Markdown."""

    name: str
    text: str


@dataclass(frozen=True)
class Quiz:
    """`opening` is Markdown; `begin` is what the button that starts the quiz says."""

    opening: str
    facts: tuple[Fact, ...]
    begin: str
    rules: Rules
    patterns: tuple[str, ...]
    questions: tuple[Question, ...]
    outcomes: Mapping[Outcome, OutcomeText]


@dataclass(frozen=True)
class Result:
    """`shares` holds (pattern, percent), largest first, adding up to 100; equal shares stand in the funnel's own order.

    `primary` is None unless the outcome is decided. `leaders` are the patterns that cannot be told apart when it is
    too close to call, else the primary alone, else nobody.
    """

    outcome: Outcome
    shares: tuple[tuple[str, float], ...]
    answered: int
    asked: int
    primary: str | None = None
    secondary: str | None = None
    leaders: tuple[str, ...] = ()


def score(quiz: Quiz, answers: Mapping[str, str]) -> Result:
    """The result of `answers` (question key → answer key, NONE or SKIP; unknown keys count as skipped).

    A pattern's raw score is what it got over the most it could have got on the questions answered, so that skipping
    favors nobody; shares are raw scores over their sum. The tie rule: whatever lies within `too_close` points of the
    first, exact ties included, is too close to call, and the reader decides.
    """
    chosen = _chosen(quiz, answers)
    answered, asked = len(chosen), len(quiz.questions)
    shares = _shares(quiz, chosen)
    if answered < quiz.rules.minimum_answers:
        return Result(Outcome.TOO_FEW, shares, answered, asked)
    if sum(answer.at_ease for _, answer in chosen) * 100 >= quiz.rules.at_ease * answered or not shares:
        return Result(Outcome.AT_EASE, shares, answered, asked)
    best = shares[0][1]
    leaders = tuple(pattern for pattern, share in shares if best - share < quiz.rules.too_close)
    if len(leaders) > 1:
        return Result(Outcome.TOO_CLOSE, shares, answered, asked, leaders=leaders)
    found = Result(Outcome.DECIDED, shares, answered, asked, primary=leaders[0], leaders=leaders)
    return Result(**{**vars(found), "secondary": secondary_beside(quiz, found, leaders[0])})


def secondary_beside(quiz: Quiz, result: Result, pattern: str) -> str | None:
    """The runner-up that accompanies `pattern` (the quiz's or the reader's choice): the strongest other, if close."""
    if result.outcome not in (Outcome.DECIDED, Outcome.TOO_CLOSE):
        return None
    best = result.shares[0][1]
    others = [name for name, share in result.shares if name != pattern and best - share < quiz.rules.secondary_within]
    return others[0] if others else None


def reasons(quiz: Quiz, answers: Mapping[str, str], pattern: str) -> list[tuple[Question, Answer]]:
    """The questions whose answer spoke mainly for `pattern`, in the quiz's order."""
    return [
        (question, answer)
        for question, answer in _chosen(quiz, answers)
        if answer.weights and max(answer.weights, key=lambda name: answer.weights[name]) == pattern
    ]


def percentages(shares: tuple[tuple[str, float], ...]) -> list[tuple[str, int]]:
    """Whole percents that add up to 100 (largest remainder first), in the order given."""
    floors = [(pattern, int(share)) for pattern, share in shares]
    missing = round(sum(share for _, share in shares)) - sum(floor for _, floor in floors)
    by_remainder = sorted(range(len(shares)), key=lambda place: floors[place][1] - shares[place][1])
    lifted = set(by_remainder[:missing])
    return [(pattern, floor + (place in lifted)) for place, (pattern, floor) in enumerate(floors)]


def _chosen(quiz: Quiz, answers: Mapping[str, str]) -> list[tuple[Question, Answer]]:
    picked = ((question, question.answer(answers.get(question.key, SKIP))) for question in quiz.questions)
    return [(question, answer) for question, answer in picked if answer]


def _shares(quiz: Quiz, chosen: list[tuple[Question, Answer]]) -> tuple[tuple[str, float], ...]:
    raw = {}
    for pattern in quiz.patterns:
        most = sum(question.most(pattern) for question, _ in chosen)
        got = sum(answer.weights.get(pattern, 0) for _, answer in chosen)
        raw[pattern] = got / most if most else 0.0
    total = sum(raw.values())
    if not total:
        return ()
    ranked = sorted(quiz.patterns, key=lambda pattern: -raw[pattern])
    return tuple((pattern, raw[pattern] / total * 100) for pattern in ranked)
