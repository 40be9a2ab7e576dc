"""quiz.toml."""

from collections.abc import Mapping

from funnel.content.forms import AnswerForm, QuestionForm, QuizForm
from funnel.content.mails import PAGE_FIELDS
from funnel.content.texts import Texts
from funnel.core.quiz import NONE, SKIP, Answer, Fact, Outcome, OutcomeText, Question, Quiz, Rules

OUTCOMES = ("too-close", "at-ease", "too-few")


def read_quiz(texts: Texts, path: str, patterns: tuple[str, ...]) -> Quiz | None:
    form = texts.toml(path, QuizForm)
    if not form:
        return None
    for missing in sorted(set(OUTCOMES) - set(form.outcomes)):
        texts.problem(path, f"outcomes.{missing}", "is missing")
    if form.minimum_answers > len(form.questions):
        texts.problem(path, "minimum_answers", "is more than there are questions")
    texts.markdown_value(path, "opening", form.opening, PAGE_FIELDS)
    for key, outcome in form.outcomes.items():
        texts.markdown_value(path, f"outcomes.{key}.text", outcome.text, PAGE_FIELDS)
    _duplicates(texts, path, "questions", [question.key for question in form.questions])
    for number, question in enumerate(form.questions, 1):
        _check_question(texts, path, f"questions[{number}]", question, patterns)
    for pattern in patterns:
        if not any(_main(answer.weights) == pattern for question in form.questions for answer in question.answers):
            texts.problem(path, "questions", f"pattern {pattern!r} is unreachable: no answer speaks mainly for it")
    for number, fact in enumerate(form.facts, 1):
        texts.markdown_value(path, f"facts[{number}].text", fact.text, PAGE_FIELDS)
    return Quiz(
        opening=form.opening,
        facts=tuple(Fact(fact.name, fact.text) for fact in form.facts),
        begin=form.begin,
        rules=Rules(form.minimum_answers, form.at_ease, form.too_close, form.secondary_within),
        patterns=patterns,
        questions=tuple(_question(question) for question in form.questions),
        outcomes={Outcome(key): OutcomeText(text.name, text.text) for key, text in form.outcomes.items()},
    )


def _check_question(texts: Texts, path: str, place: str, question: QuestionForm, patterns: tuple[str, ...]) -> None:
    _duplicates(texts, path, f"{place}.answers", [answer.key for answer in question.answers])
    for number, answer in enumerate(question.answers, 1):
        _check_answer(texts, path, f"{place}.answers[{number}]", answer, patterns)


def _check_answer(texts: Texts, path: str, place: str, answer: AnswerForm, patterns: tuple[str, ...]) -> None:
    if answer.key in (NONE, SKIP):
        texts.problem(path, f"{place}.key", f"{answer.key!r} is added by the service; choose another key")
    if answer.at_ease == bool(answer.weights):
        texts.problem(path, place, "needs either weights or at_ease = true")
    if list(answer.weights.values()).count(max(answer.weights.values(), default=0)) > 1:
        texts.problem(path, f"{place}.weights", "two patterns share the largest weight; one must be the main one")
    for pattern in sorted(set(answer.weights) - set(patterns)):
        texts.problem(path, f"{place}.weights", f"unknown pattern {pattern!r}; known are {', '.join(patterns)}")


def _duplicates(texts: Texts, path: str, place: str, keys: list[str]) -> None:
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        texts.problem(path, place, f"key {key!r} is used twice")


def _question(form: QuestionForm) -> Question:
    answers = tuple(Answer(a.key, a.text, a.because, dict(a.weights), a.at_ease) for a in form.answers)
    return Question(form.key, form.text, form.channel, answers)


def _main(weights: Mapping[str, int]) -> str | None:
    return max(weights, key=lambda pattern: weights[pattern], default=None)
