"""The shipped quiz keeps the rules of its craft: answers that do not give themselves away, weights that stay fair."""

import re
from collections import Counter

import pytest

from funnel.core.quiz import Answer, Outcome
from funnel.core.sequence import Funnel

GIVEAWAYS = ("fight", "flight", "freeze", "frozen", "fawn", "doorkeeper", "side door", "quiet room", "good host")


def main_pattern(answer: Answer) -> str:
    return max(answer.weights, key=lambda pattern: answer.weights[pattern], default="ease")


def words(text: str) -> int:
    return len(re.findall(r"[\w’'-]+", text))


def test_there_are_ten_to_twelve_questions(funnel: Funnel) -> None:
    assert 10 <= len(funnel.quiz.questions) <= 12


def test_what_is_said_before_the_start_is_true(funnel: Funnel) -> None:
    said = " ".join(fact.text for fact in funnel.quiz.facts)
    for promise in (f"{len(funnel.quiz.questions)} everyday situations", "About 4 minutes", "skipped", "Adults only"):
        assert promise in said
    assert "skip" in funnel.quiz.opening


def test_every_question_has_one_answer_for_each_pattern_and_ends_at_ease(funnel: Funnel) -> None:
    for question in funnel.quiz.questions:
        found = [main_pattern(answer) for answer in question.answers]
        assert sorted(found[:4]) == sorted(funnel.patterns), question.key
        assert [answer.at_ease for answer in question.answers] == [False] * 4 + [True], question.key


def test_the_answers_to_a_question_are_about_equally_long(funnel: Funnel) -> None:
    for question in funnel.quiz.questions:
        lengths = [words(answer.text) for answer in question.answers]
        assert max(lengths) - min(lengths) <= 4, (question.key, lengths)


def test_no_place_belongs_to_a_pattern(funnel: Funnel) -> None:
    orders = [tuple(main_pattern(answer) for answer in question.answers[:4]) for question in funnel.quiz.questions]
    assert len(set(orders)) > len(orders) / 2
    for place in range(4):
        at_place = Counter(order[place] for order in orders)
        assert set(at_place) == set(funnel.patterns)
        assert max(at_place.values()) <= len(orders) / 2


def test_the_main_weight_is_ten_and_a_second_one_is_small(funnel: Funnel) -> None:
    for question in funnel.quiz.questions:
        for answer in question.answers[:4]:
            first, *others = sorted(answer.weights.values(), reverse=True)
            assert first == 10, (question.key, answer.key)
            assert len(others) <= 1, (question.key, answer.key)
            assert all(2 <= weight <= 4 for weight in others), (question.key, answer.key)


def test_second_weights_are_spread_evenly(funnel: Funnel) -> None:
    given: Counter[str] = Counter()
    for question in funnel.quiz.questions:
        for answer in question.answers[:4]:
            given.update({name: weight for name, weight in answer.weights.items() if name != main_pattern(answer)})
    assert all(0.2 <= given[pattern] / given.total() <= 0.3 for pattern in funnel.patterns), given


def test_answers_use_no_word_of_the_patterns(funnel: Funnel) -> None:
    for question in funnel.quiz.questions:
        for text in (question.text, *(answer.text for answer in question.answers)):
            assert not [word for word in GIVEAWAYS if word in text.lower()], text


def test_every_text_of_the_quiz_is_said_once(funnel: Funnel) -> None:
    texts = [question.text for question in funnel.quiz.questions]
    texts += [answer.text for question in funnel.quiz.questions for answer in question.answers]
    texts += [answer.because for question in funnel.quiz.questions for answer in question.answers]
    assert [text for text, times in Counter(texts).items() if times > 1] == []


def test_questions_ask_through_more_than_one_channel(funnel: Funnel) -> None:
    used = Counter(question.channel for question in funnel.quiz.questions)
    assert set(used) == {"thought", "body", "action", "words"}
    assert max(used.values()) <= len(funnel.quiz.questions) / 2


def test_the_outcomes_without_a_pattern_have_a_name_and_a_text_of_their_own(funnel: Funnel) -> None:
    assert set(funnel.quiz.outcomes) == {Outcome.TOO_CLOSE, Outcome.AT_EASE, Outcome.TOO_FEW}
    assert len({text.name for text in funnel.quiz.outcomes.values()}) == 3
    assert all(words(text.text) > 50 for text in funnel.quiz.outcomes.values())
    assert (funnel.quiz.rules.minimum_answers, funnel.quiz.rules.at_ease, funnel.quiz.rules.too_close) == (6, 50, 4)


@pytest.mark.parametrize("part", ["summary", "purpose", "before", "during", "after", "costs", "needs", "practice"])
def test_every_pattern_says_its_own_words(funnel: Funnel, part: str) -> None:
    texts = [getattr(pattern, part) for pattern in funnel.patterns.values()]
    assert len(set(texts)) == 4
    assert min(map(words, texts)) >= 15
