"""Invented people who take a quiz: by chance, or leaning one way. The same seed gives the same people."""

import random
from collections.abc import Iterator, Mapping

from funnel.core.quiz import SKIP, Question, Quiz, Result, score

Answers = dict[str, str]


def at_random(quiz: Quiz, draws: random.Random, count: int) -> Iterator[Answers]:
    """Any answer of each question, none skipped."""
    for _ in range(count):
        yield {question.key: draws.choice(question.answers).key for question in quiz.questions}


def leaning(quiz: Quiz, pattern: str, draws: random.Random, count: int, share: float = 0.5) -> Iterator[Answers]:
    """Somebody's own pattern in `share` of the answers, anything in the others."""
    for _ in range(count):
        yield {question.key: _leaning(question, pattern, draws, share) for question in quiz.questions}


def extremes(quiz: Quiz) -> Iterator[Answers]:
    """All one way, all at ease, and nothing at all."""
    for pattern in quiz.patterns:
        yield {
            question.key: _own(question, pattern)[0] if _own(question, pattern) else SKIP for question in quiz.questions
        }
    eased = {question.key: [each.key for each in question.answers if each.at_ease] for question in quiz.questions}
    yield {key: found[0] if found else SKIP for key, found in eased.items()}
    yield {}


def people(quiz: Quiz, seed: int = 1, count: int = 1500) -> Iterator[Answers]:
    """All kinds of people, the plainest first, for whoever looks for one of a certain kind."""
    draws = random.Random(seed)  # noqa: S311 -- a simulation
    yield from extremes(quiz)
    for pattern in quiz.patterns:
        yield from leaning(quiz, pattern, draws, count // len(quiz.patterns))
    yield from at_random(quiz, draws, count)


def results(quiz: Quiz, seed: int = 1, count: int = 1500) -> Iterator[tuple[Mapping[str, str], Result]]:
    for answers in people(quiz, seed, count):
        yield answers, score(quiz, answers)


def _own(question: Question, pattern: str) -> list[str]:
    most = question.most(pattern)
    return [answer.key for answer in question.answers if most and answer.weights.get(pattern, 0) == most]


def _leaning(question: Question, pattern: str, draws: random.Random, share: float) -> str:
    own = _own(question, pattern)
    return draws.choice(own) if own and draws.random() < share else draws.choice(question.answers).key
