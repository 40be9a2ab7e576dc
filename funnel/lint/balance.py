"""Whether a quiz is fair: what people who answer at random, or lean one way, or are written down, would be told."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from funnel.core.quiz import Outcome, Quiz, score
from funnel.lint.finding import Finding
from funnel.lint.subject import Subject
from funnel.respondents import Answers, at_random, leaning

RESPONDENTS = 6_000
SEED = 1
SHARE_OF_DECIDED = (0.88, 1.12)  # times an equal share: 22 to 28 % of four
TOO_CLOSE_AT_RANDOM = 0.35
TOO_CLOSE_LEANING = 0.18


@dataclass(frozen=True)
class Figures:
    """Shares from 0 to 1: of each outcome and exact `ties` among all, of each pattern among the decided."""

    people: int
    outcomes: Mapping[str, float]
    patterns: Mapping[str, float]
    ties: float

    @property
    def too_close(self) -> float:
        """Among those who were scored."""
        scored = self.outcomes[Outcome.DECIDED] + self.outcomes[Outcome.TOO_CLOSE]
        return self.outcomes[Outcome.TOO_CLOSE] / scored if scored else 0.0


@dataclass(frozen=True)
class Balance:
    """At random, by the pattern that people lean to, and of the golden respondents (None: there are none)."""

    at_random: Figures
    leaning: Mapping[str, Figures]
    golden: Figures | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def balance_of(quiz: Quiz, golden: Iterable[Mapping[str, Any]] = ()) -> Balance:
    """The same quiz gives the same figures: the draws are seeded."""
    written = [dict(each["answers"]) for each in golden]
    simulated = _simulated(_Known(repr(quiz), RESPONDENTS, quiz))
    return replace(simulated, golden=_figures(quiz, written) if written else None)


@dataclass(frozen=True)
class _Known:
    """A quiz as the key of a cache: the preview asks again with every file that is saved."""

    text: str
    people: int
    quiz: Quiz = field(compare=False)


@lru_cache(8)
def _simulated(known: _Known) -> Balance:
    draws = random.Random(SEED)  # noqa: S311 -- a simulation
    quiz, people = known.quiz, known.people
    by_chance = _figures(quiz, at_random(quiz, draws, people))
    return Balance(by_chance, {each: _figures(quiz, leaning(quiz, each, draws, people)) for each in quiz.patterns})


def fair(subject: Subject) -> Iterator[Finding]:
    """The bounds that a quiz keeps."""
    quiz, file = subject.funnel.quiz, f"{subject.here}quiz.toml"
    found, equal = balance_of(quiz), 1 / len(quiz.patterns)
    for pattern, share in found.at_random.patterns.items():
        if not equal * SHARE_OF_DECIDED[0] <= share <= equal * SHARE_OF_DECIDED[1]:
            reason = (
                f"{pattern} is {share:.1%} of decided results at random; it should be {equal:.0%}, give or take 12 %"
            )
            yield Finding(file, subject.line(file, "questions"), "QZ101", reason)
    line = subject.line(file, "too_close")
    if (close := found.at_random.too_close) > TOO_CLOSE_AT_RANDOM:
        reason = f"{close:.0%} of random results are too close to call; at most {TOO_CLOSE_AT_RANDOM:.0%}"
        yield Finding(file, line, "QZ102", reason)
    for pattern, figures in found.leaning.items():
        if (close := figures.too_close) > TOO_CLOSE_LEANING:
            reason = (
                f"{close:.0%} of those who lean to {pattern} are too close to call; at most {TOO_CLOSE_LEANING:.0%}"
            )
            yield Finding(file, line, "QZ103", reason)


def golden(subject: Subject) -> Iterator[Finding]:
    """Whether the people written down in golden.json still get what they should, two or more for every outcome."""
    file, quiz = f"{subject.here}golden.json", subject.funnel.quiz
    seen: Counter[str] = Counter()
    for number, written in enumerate(subject.respondents, 1):
        result = score(quiz, written["answers"])
        got = (result.outcome.value, result.primary, result.secondary)
        wanted = (written.get("outcome"), written.get("primary"), written.get("secondary"))
        seen[result.primary or result.outcome] += 1
        if got != wanted:
            told = f"gets {_told(got)}, not {_told(wanted)}"
            yield Finding(file, 0, "QZ104", f"respondent {number} ({written.get('name', 'unnamed')}) {told}")
    if subject.respondents:
        for wanted_outcome in (*quiz.patterns, Outcome.TOO_CLOSE, Outcome.AT_EASE, Outcome.TOO_FEW):
            if seen[wanted_outcome] < 2:
                yield Finding(file, 0, "QZ105", f"{wanted_outcome} has {seen[wanted_outcome]}")


def _told(result: tuple[str | None, str | None, str | None]) -> str:
    return " with ".join(each for each in result[1:] if each) or str(result[0])


def _figures(quiz: Quiz, people: Iterable[Answers]) -> Figures:
    found = [score(quiz, answers) for answers in people]
    outcomes = Counter(result.outcome for result in found)
    decided = Counter(result.primary for result in found if result.primary)
    ties = sum(len(result.shares) > 1 and result.shares[0][1] == result.shares[1][1] for result in found)
    return Figures(
        len(found),
        {outcome.value: outcomes[outcome] / len(found) for outcome in Outcome},
        {pattern: decided[pattern] / max(decided.total(), 1) for pattern in quiz.patterns},
        ties / len(found),
    )
