"""Whether a quiz is fair: what people who answer at random, or lean one way, would be told."""

import random
from collections import Counter
from collections.abc import Callable, Iterator

from funnel.content import Problem
from funnel.core.quiz import Outcome, Question, Quiz, Result, score
from funnel.core.sequence import Funnel

RESPONDENTS = 6_000
SEED = 1
SHARE_OF_DECIDED = (0.88, 1.12)  # times an equal share: 22 to 28 % of four
TOO_CLOSE_AT_RANDOM = 0.35
TOO_CLOSE_LEANING = 0.18


def problems(funnel: Funnel) -> list[Problem]:
    """Bounds that the quiz breaks. The same quiz gives the same answer: the draws are seeded."""
    file = f"sequences/{funnel.name}/quiz.toml"
    return [Problem(file, "balance", message) for message in _messages(funnel.quiz)]


def _messages(quiz: Quiz) -> Iterator[str]:
    draws = random.Random(SEED)  # noqa: S311 -- a simulation
    at_random = _outcomes(quiz, lambda question: draws.choice(question.answers).key)
    decided = Counter(result.primary for result in at_random if result.outcome == Outcome.DECIDED)
    equal = 1 / len(quiz.patterns)
    for pattern in quiz.patterns:
        share = decided[pattern] / max(decided.total(), 1)
        if not equal * SHARE_OF_DECIDED[0] <= share <= equal * SHARE_OF_DECIDED[1]:
            yield f"{pattern} is {share:.1%} of decided results at random; it should be {equal:.0%}, give or take 12 %"
    close = _share_too_close(at_random)
    if close > TOO_CLOSE_AT_RANDOM:
        yield f"{close:.0%} of random results are too close to call; at most {TOO_CLOSE_AT_RANDOM:.0%}"
    for pattern in quiz.patterns:
        leaning = _outcomes(quiz, lambda question, own=pattern: _leaning(question, own, draws))  # type: ignore[misc]
        close = _share_too_close(leaning)
        if close > TOO_CLOSE_LEANING:
            yield f"{close:.0%} of those who lean to {pattern} are too close to call; at most {TOO_CLOSE_LEANING:.0%}"


def _outcomes(quiz: Quiz, pick: Callable[[Question], str]) -> list[Result]:
    return [score(quiz, {question.key: pick(question) for question in quiz.questions}) for _ in range(RESPONDENTS)]


def _leaning(question: Question, pattern: str, draws: random.Random) -> str:
    """Somebody's own pattern in half of the answers, anything in the others."""
    own = [answer for answer in question.answers if answer.weights.get(pattern, 0) == question.most(pattern)]
    return draws.choice(own if own and draws.random() < 0.5 else question.answers).key


def _share_too_close(results: list[Result]) -> float:
    scored = [result for result in results if result.outcome in (Outcome.DECIDED, Outcome.TOO_CLOSE)]
    return sum(result.outcome == Outcome.TOO_CLOSE for result in scored) / max(len(scored), 1)
