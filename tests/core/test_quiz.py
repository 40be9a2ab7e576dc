"""Scoring: a table of cases, and what holds for every set of answers."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.quiz import (
    NONE,
    SKIP,
    Answer,
    Outcome,
    Question,
    Quiz,
    Result,
    Rules,
    percentages,
    reasons,
    score,
    secondary_beside,
)
from funnel.core.sequence import Funnel
from tests.conftest import NAME, ROOT

GOLDEN = json.loads((ROOT / f"sequences/{NAME}/golden.json").read_text(encoding="utf-8"))
PATTERNS = ("tea", "coffee", "cocoa")


def question(key: str, **extra: int) -> Question:
    """One answer for each pattern with 10 points, one with `extra` weights, one that is at ease."""
    answers = [Answer(pattern, pattern, f"because {pattern}", {pattern: 10}) for pattern in PATTERNS]
    if extra:
        answers.append(Answer("extra", "extra", "because extra", extra))
    return Question(key, f"{key}?", "action", (*answers, Answer("ease", "ease", "because ease", {}, at_ease=True)))


QUIZ = Quiz(
    opening="",
    facts=(),
    begin="Start",
    rules=Rules(minimum_answers=3, at_ease=50, too_close=4, secondary_within=12),
    patterns=PATTERNS,
    questions=tuple(question(f"q{number}") for number in range(1, 11)),
    outcomes={},
)


def respond(quiz: Quiz, *picked: str) -> dict[str, str]:
    """Answers in the quiz's order; the questions that are left over are skipped."""
    return {question.key: answer for question, answer in zip(quiz.questions, picked, strict=False)}


def picks(**times: int) -> list[str]:
    return [answer for answer, count in times.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("picked", "outcome", "primary", "secondary", "leaders"),
    [
        (picks(tea=10), Outcome.DECIDED, "tea", None, ("tea",)),
        (picks(cocoa=6, tea=4), Outcome.DECIDED, "cocoa", None, ("cocoa",)),
        (picks(tea=5, coffee=4, cocoa=1), Outcome.DECIDED, "tea", "coffee", ("tea",)),
        (picks(tea=5, coffee=5), Outcome.TOO_CLOSE, None, None, ("tea", "coffee")),
        (picks(cocoa=4, coffee=4, tea=2), Outcome.TOO_CLOSE, None, None, ("coffee", "cocoa")),
        (picks(tea=3, coffee=3, cocoa=3), Outcome.TOO_CLOSE, None, None, PATTERNS),
        (picks(ease=10), Outcome.AT_EASE, None, None, ()),
        (picks(ease=5, tea=5), Outcome.AT_EASE, None, None, ()),
        (picks(ease=4, tea=6), Outcome.DECIDED, "tea", None, ("tea",)),
        (picks(tea=2), Outcome.TOO_FEW, None, None, ()),
        (picks(ease=2), Outcome.TOO_FEW, None, None, ()),
        (picks(tea=3), Outcome.DECIDED, "tea", None, ("tea",)),
        (picks(ease=3), Outcome.AT_EASE, None, None, ()),
        ([], Outcome.TOO_FEW, None, None, ()),
        ([NONE] * 10, Outcome.TOO_FEW, None, None, ()),
        ([SKIP] * 10, Outcome.TOO_FEW, None, None, ()),
    ],
)
def test_answers_lead_to_their_outcome(
    picked: list[str], outcome: Outcome, primary: str | None, secondary: str | None, leaders: tuple[str, ...]
) -> None:
    result = score(QUIZ, respond(QUIZ, *picked))
    assert (result.outcome, result.primary, result.secondary, result.leaders) == (outcome, primary, secondary, leaders)
    assert result.asked == 10


@pytest.mark.parametrize(
    ("tea", "outcome", "secondary"),
    [
        (8, Outcome.TOO_CLOSE, None),
        (9, Outcome.DECIDED, "coffee"),  # 12.5 points apart; too close is less than that
        (10, Outcome.DECIDED, None),  # 25 points apart; secondary is less than that
        (11, Outcome.DECIDED, None),
    ],
)
def test_a_share_exactly_at_a_limit_is_outside_it(tea: int, outcome: Outcome, secondary: str | None) -> None:
    most = Answer("most", "", "", {"tea": 16, "coffee": 16})  # sixteenths are exact
    mixed = Answer("mixed", "", "", {"tea": tea, "coffee": 16 - tea})
    only = Question("only", "", "action", (mixed, most))
    quiz = replace(QUIZ, patterns=("tea", "coffee"), questions=(only,), rules=Rules(1, 50, 12.5, 25))
    result = score(quiz, {"only": "mixed"})
    assert (result.outcome, result.secondary) == (outcome, secondary)


def test_shares_count_what_a_pattern_could_have_got() -> None:
    rich = Question("rich", "", "words", (Answer("t", "", "", {"tea": 30}), Answer("c", "", "", {"coffee": 10})))
    quiz = replace(
        QUIZ, patterns=("tea", "coffee"), questions=(rich, replace(rich, key="more")), rules=Rules(1, 50, 4, 12)
    )
    result = score(quiz, {"rich": "t", "more": "c"})  # each got half of its most
    assert result.shares == (("tea", 50.0), ("coffee", 50.0))
    assert result.outcome == Outcome.TOO_CLOSE


def test_equal_shares_stand_in_the_funnels_own_order() -> None:
    result = score(QUIZ, respond(QUIZ, *picks(cocoa=3, tea=3)))
    assert [pattern for pattern, _ in result.shares] == ["tea", "cocoa", "coffee"]


def test_answers_that_give_no_points_to_anybody_are_no_shares() -> None:
    assert score(QUIZ, respond(QUIZ, *picks(ease=10))).shares == ()


answers_of = st.dictionaries(
    st.sampled_from([question.key for question in QUIZ.questions]),
    st.sampled_from([*PATTERNS, "ease", NONE, SKIP]),
)
MIXED = replace(
    QUIZ,
    questions=tuple(
        question(f"q{number}", **{PATTERNS[number % 3]: 7 + number, PATTERNS[(number + 1) % 3]: number})
        for number in range(1, 11)
    ),
)
mixed_answers = st.dictionaries(
    st.sampled_from([question.key for question in MIXED.questions]),
    st.sampled_from([*PATTERNS, "extra", "ease", NONE, SKIP]),
)


@given(mixed_answers)
def test_shares_add_up_to_a_hundred_and_fall(answers: dict[str, str]) -> None:
    shares = [share for _, share in score(MIXED, answers).shares]
    assert not shares or sum(shares) == pytest.approx(100)
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= 100.000001 for share in shares)


@given(mixed_answers)
def test_percentages_add_up_to_a_hundred_and_stay_within_one_of_the_share(answers: dict[str, str]) -> None:
    shares = score(MIXED, answers).shares
    whole = percentages(shares)
    assert [pattern for pattern, _ in whole] == [pattern for pattern, _ in shares]
    assert sum(percent for _, percent in whole) == (100 if shares else 0)
    assert all(abs(percent - share) < 1 for (_, percent), (_, share) in zip(whole, shares, strict=True))


@pytest.mark.parametrize(
    ("shares", "whole"),
    [
        ((100 / 3, 100 / 3, 100 / 3), [34, 33, 33]),
        ((50.4, 49.6), [50, 50]),
        ((66.5, 33.5), [67, 33]),
        ((100.0, 0.0), [100, 0]),
        ((40.9, 30.9, 28.2), [41, 31, 28]),
        ((), []),
    ],
)
def test_the_largest_remainders_are_rounded_up(shares: tuple[float, ...], whole: list[int]) -> None:
    named = tuple((str(place), share) for place, share in enumerate(shares))
    assert [percent for _, percent in percentages(named)] == whole


@given(mixed_answers)
def test_skipping_is_as_if_the_question_had_never_been_asked(answers: dict[str, str]) -> None:
    answered = {key: answer for key, answer in answers.items() if answer not in (NONE, SKIP)}
    shorter = replace(MIXED, questions=tuple(question for question in MIXED.questions if question.key in answered))
    assert replace(score(MIXED, answers), asked=0) == replace(score(shorter, answered), asked=0)


@given(st.sampled_from(PATTERNS), st.sets(st.sampled_from(range(10)), max_size=7))
def test_whoever_always_gives_a_patterns_answer_gets_it_whatever_they_skip(pattern: str, skipped: set[int]) -> None:
    answers = {f"q{number + 1}": SKIP if number in skipped else pattern for number in range(10)}
    result = score(QUIZ, answers)
    assert (result.primary, result.secondary) == (pattern, None)
    assert result.answered == 10 - len(skipped)


@given(mixed_answers, st.randoms(use_true_random=False))
def test_the_order_of_the_answers_changes_nothing(answers: dict[str, str], shuffler: Random) -> None:
    items = list(answers.items())
    shuffler.shuffle(items)
    assert score(MIXED, dict(items)) == score(MIXED, answers)


@given(answers_of, st.dictionaries(st.text(max_size=9), st.text(max_size=9)))
def test_unknown_questions_and_answers_count_as_skipped(answers: dict[str, str], junk: dict[str, str]) -> None:
    known = {question.key for question in QUIZ.questions}
    junk = {key if key in known else f"?{key}": f"?{answer}" for key, answer in junk.items()}
    assert score(QUIZ, {**junk, **answers}) == score(QUIZ, answers)


@given(mixed_answers)
def test_every_result_keeps_the_declared_rules(answers: dict[str, str]) -> None:
    result = score(MIXED, answers)
    best = result.shares[0][1] if result.shares else 0
    close = [pattern for pattern, share in result.shares if best - share < MIXED.rules.too_close]
    if result.outcome in (Outcome.TOO_FEW, Outcome.AT_EASE):
        assert (result.primary, result.secondary, result.leaders) == (None, None, ())
    elif result.outcome == Outcome.TOO_CLOSE:
        assert len(close) > 1
        assert (result.primary, result.secondary, result.leaders) == (None, None, tuple(close))
    else:
        assert close == [result.primary]
        assert result.leaders == (result.primary,)
    assert (result.outcome == Outcome.TOO_FEW) == (result.answered < MIXED.rules.minimum_answers)


def test_the_runner_up_beside_a_readers_own_choice_is_the_strongest_other() -> None:
    close = score(QUIZ, respond(QUIZ, *picks(tea=5, coffee=5)))
    assert [secondary_beside(QUIZ, close, pattern) for pattern in PATTERNS] == ["coffee", "tea", "tea"]


@pytest.mark.parametrize("picked", [picks(tea=2), picks(ease=6, tea=4)])
def test_nothing_stands_beside_a_choice_that_the_answers_do_not_support(picked: list[str]) -> None:
    result: Result = score(QUIZ, respond(QUIZ, *picked))
    assert secondary_beside(QUIZ, result, "tea") is None


def test_reasons_are_the_answers_that_spoke_mainly_for_the_pattern_in_the_quizs_order() -> None:
    quiz = replace(QUIZ, questions=(question("first", tea=3, coffee=9), question("then"), question("last")))
    found = reasons(quiz, {"last": "coffee", "first": "extra", "then": "tea"}, "coffee")
    assert [(asked.key, answer.because) for asked, answer in found] == [
        ("first", "because extra"),
        ("last", "because coffee"),
    ]


@pytest.mark.parametrize("respondent", GOLDEN, ids=[respondent["name"] for respondent in GOLDEN])
def test_the_golden_respondents_keep_their_results(funnel: Funnel, respondent: dict[str, object]) -> None:
    answers = respondent["answers"]
    assert isinstance(answers, dict)
    result = score(funnel.quiz, answers)
    assert {
        "outcome": result.outcome,
        "primary": result.primary,
        "secondary": result.secondary,
        "leaders": sorted(result.leaders),
        "answered": result.answered,
        "shares": {pattern: round(share, 2) for pattern, share in result.shares},
    } == {key: value for key, value in respondent.items() if key not in ("name", "answers")}


def test_there_are_two_golden_respondents_for_every_outcome(funnel: Funnel) -> None:
    wanted = [*funnel.patterns, Outcome.TOO_CLOSE, Outcome.AT_EASE, Outcome.TOO_FEW]
    found = [respondent["primary"] or respondent["outcome"] for respondent in GOLDEN]
    assert sorted(found) == sorted(wanted * 2)
    for respondent in GOLDEN:  # a renamed answer must not pass as a skip
        for asked in funnel.quiz.questions:
            picked = respondent["answers"][asked.key]
            assert picked in (NONE, SKIP) or asked.answer(picked), (respondent["name"], asked.key, picked)
