"""A quiz is fair, and one that is not is named."""

from dataclasses import replace

import pytest

from funnel import content
from funnel.core.quiz import Quiz
from funnel.core.sequence import Funnel
from funnel.lint import balance
from funnel.lint.subject import Subject
from tests.conftest import NAME
from tests.example.kitchen import KITCHEN


@pytest.fixture(scope="module")
def kitchen() -> Funnel:
    """The tiny example: fair, and quick to simulate."""
    return content.parse("kitchen", KITCHEN)


def test_the_shipped_quiz_is_fair(funnel: Funnel) -> None:
    assert list(balance.fair(Subject(funnel, {}))) == []


def test_the_bounds_are_those_of_four_patterns() -> None:
    low, high = (limit / 4 for limit in balance.SHARE_OF_DECIDED)
    assert (low, high) == pytest.approx((0.22, 0.28))
    assert (balance.TOO_CLOSE_AT_RANDOM, balance.TOO_CLOSE_LEANING) == (0.35, 0.18)


def reweighted(quiz: Quiz, answer: str, **weights: int) -> Quiz:
    """The quiz with other weights for one answer."""
    return replace(
        quiz,
        questions=tuple(
            replace(
                question,
                answers=tuple(
                    replace(found, weights=weights) if found.key == answer else found for found in question.answers
                ),
            )
            for question in quiz.questions
        ),
    )


def messages(funnel: Funnel, quiz: Quiz) -> list[str]:
    found = list(balance.fair(Subject(replace(funnel, quiz=quiz), {})))
    assert {problem.file for problem in found} <= {"sequences/kitchen/quiz.toml"}
    return [problem.reason for problem in found]


def test_a_fair_quiz_has_no_problems(kitchen: Funnel) -> None:
    assert messages(kitchen, kitchen.quiz) == []


def test_a_quiz_that_leans_names_who_gets_too_much_and_who_too_little(kitchen: Funnel) -> None:
    skewed = reweighted(kitchen.quiz, "list", planner=10, improviser=9)
    found = [message for message in messages(kitchen, skewed) if "of decided results" in message]
    assert [message.split()[0] for message in found] == ["planner", "improviser"]
    planner, improviser = (float(message.split("%")[0].split()[-1]) for message in found)
    assert planner < 44 < 56 < improviser
    assert planner + improviser == pytest.approx(100, abs=0.2)
    assert all(message.endswith("it should be 50%, give or take 12 %") for message in found)


def test_a_quiz_that_cannot_tell_is_named(kitchen: Funnel) -> None:
    vague = replace(kitchen.quiz, rules=replace(kitchen.quiz.rules, too_close=40))
    found = messages(kitchen, vague)
    assert [message for message in found if "of random results are too close to call; at most 35%" in message]
    for pattern in ("planner", "improviser"):
        assert [message for message in found if f"lean to {pattern} are too close to call; at most 18%" in message]


def test_a_quiz_that_tells_nothing_at_all_is_named(kitchen: Funnel) -> None:
    ease = replace(kitchen.quiz, rules=replace(kitchen.quiz.rules, at_ease=0.1, minimum_answers=99))
    assert [message.split()[0] for message in messages(kitchen, ease)] == ["planner", "improviser"]


def test_the_same_quiz_is_judged_the_same_every_time(kitchen: Funnel) -> None:
    skewed = reweighted(kitchen.quiz, "list", planner=10, improviser=9)
    assert messages(kitchen, skewed) == messages(kitchen, skewed)


def test_the_file_of_the_quiz_is_named(funnel: Funnel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "RESPONDENTS", 100)
    strict = replace(funnel, quiz=replace(funnel.quiz, rules=replace(funnel.quiz.rules, too_close=90)))
    assert {problem.file for problem in balance.fair(Subject(strict, {}))} == {f"sequences/{NAME}/quiz.toml"}
