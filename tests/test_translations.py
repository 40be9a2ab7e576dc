"""A funnel's other languages: files beside its own, checked against them, and what falls back."""

from collections.abc import Mapping

import pytest

from funnel import content
from funnel.content import ContentError, Problem
from funnel.core.lesson import segment
from funnel.core.sequence import Funnel
from funnel.preview.translated import coverage
from tests.conftest import NAME, ROOT
from tests.example.kitchen import FUNNEL, KITCHEN, MEET, PLANNER, QUIZ, SAFETY, STOVE

HERE = "sequences/kitchen/"
HEAD = """
title = "Küchennotizen"
[sender]
name = "Küchennotizen"
replies = "Antworten liest Bob."
[consent]
sensitive = "{controller} darf behalten, wie ich koche."
course = "Schickt mir 2 Notizen."
course_educator = "Die letzte erwähnt {educator}."
"""
PATTERN = "\n".join(
    f'{name} = "{text}"'
    for name, text in {
        **dict.fromkeys(("summary", "purpose", "before", "during", "after", "costs", "needs", "practice"), "Text."),
        **{"name": "der Plan", "protects_by": "Planen", "promise": "Ein Satz."},
    }.items()
)
LESSON = '+++\nsubject = "Notiz 1"\npreview = "Eine Zeile."\n+++\nHallo {{ first_name | du }}.\n'
PAGE = '+++\ntitle = "Kochen"\ndescription = "Eine Zeile."\n+++\nText.\n'


def with_german(**files: str) -> dict[str, bytes]:
    """The example in German as well, with these files (path, with dots for slashes left as they are)."""
    main = KITCHEN[FUNNEL].decode()
    head, mark, rest = main.partition('locale = "en"\n')
    assert mark
    return {**KITCHEN, FUNNEL: f'{head}{mark}locales = ["de"]\n{rest}'.encode(), **encoded(files)}


def encoded(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in files.items()}


def german(**files: str) -> Funnel:
    return content.parse("kitchen", with_german(**files)).translations["de"]


def quiz_in_german() -> str:
    """The example's quiz with every text replaced, keys as they are."""
    quiz = content.parse("kitchen", KITCHEN).quiz
    lines = ['opening = "Anfang"', 'begin = "Los"', "[[facts]]", 'name = "Wie lange"', 'text = "Kurz."']
    for outcome in ("too-close", "at-ease", "too-few"):
        lines += [f"[outcomes.{outcome}]", f'name = "{outcome} auf Deutsch"', 'text = "Text."']
    for question in reversed(quiz.questions):  # their order is the original's, whatever it is here
        lines += ["[[questions]]", f'key = "{question.key}"', f'text = "Frage {question.key}?"']
        for answer in question.answers:
            lines += ["[[questions.answers]]", f'key = "{answer.key}"', f'text = "{answer.key}"', 'because = "Darum."']
    return "\n".join(lines)


def problems(files: Mapping[str, bytes]) -> list[Problem]:
    with pytest.raises(ContentError) as refused:
        content.parse("kitchen", files)
    return refused.value.problems


def test_with_nothing_translated_everything_falls_back_and_says_so() -> None:
    main = content.parse("kitchen", with_german())
    spoken = main.translations["de"]
    assert (spoken.locale, main.locales) == ("de", ("en", "de"))
    assert (spoken.title, spoken.quiz, spoken.landing, spoken.wordings) == (
        *(main.title, main.quiz, main.landing, main.wordings),
    )
    assert {spoken.spoken(part) for part in ("funnel", "quiz", "landing", "pattern planner", "snippet safety")} == {
        "en"
    }


def test_what_is_translated_is_shown_and_the_rest_stays() -> None:
    files = {f"{HERE}funnel.de.toml": HEAD, f"{HERE}landing.de.md": PAGE, f"{HERE}planner.de.toml": PATTERN}
    spoken = german(**files)
    assert (spoken.title, spoken.sender.replies) == ("Küchennotizen", "Antworten liest Bob.")
    assert spoken.wordings["sensitive"] == "Kitchen Example darf behalten, wie ich koche."
    assert (spoken.landing.title, spoken.patterns["planner"].name) == ("Kochen", "der Plan")
    assert [spoken.spoken(part) for part in ("funnel", "landing", "pattern planner", "quiz", "how")] == [
        *("de", "de", "de", "en", "en"),
    ]
    main = content.parse("kitchen", KITCHEN).patterns["planner"].lessons
    assert [each.key for each in spoken.patterns["planner"].lessons] == [each.key for each in main]


def test_a_translated_quiz_has_other_words_and_the_same_keys_weights_and_order() -> None:
    main, spoken = content.parse("kitchen", KITCHEN).quiz, german(**{f"{HERE}quiz.de.toml": quiz_in_german()}).quiz
    assert spoken.questions[0].text == f"Frage {main.questions[0].key}?"
    assert [question.key for question in spoken.questions] == [question.key for question in main.questions]
    assert [[(a.key, a.weights, a.at_ease) for a in q.answers] for q in spoken.questions] == [
        [(a.key, a.weights, a.at_ease) for a in q.answers] for q in main.questions
    ]
    assert spoken.rules == main.rules


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ('key = "shopping"', 'key = "shoping"', "questions", "'shopping' is missing"),
        ('key = "shopping"', 'key = "shoping"', "questions[3].key", "is not in quiz.toml"),
        ('key = "guests"', 'key = "shopping"', "questions", "'shopping' is there twice"),
        ('begin = "Los"', 'minimum_answers = 3\nbegin = "Los"', "minimum_answers", "unknown key"),
        ("[outcomes.too-few]\n", "[outcomes.too-close2]\n", "outcomes", ""),
        ('text = "Frage missing?"', 'text = ""', "questions[2].text", "must be one line"),
    ],
)
def test_a_quiz_that_differs_is_named_with_file_and_place(old: str, new: str, place: str, message: str) -> None:
    text = quiz_in_german()
    assert old in text
    found = problems(with_german(**{f"{HERE}quiz.de.toml": text.replace(old, new, 1)}))
    assert [
        each
        for each in found
        if (each.file, message in each.message) == (f"{HERE}quiz.de.toml", True) and each.place.startswith(place)
    ], found


def test_an_answer_that_is_missing_or_unknown_is_named() -> None:
    answer = content.parse("kitchen", KITCHEN).quiz.questions[0].answers[0].key
    text = quiz_in_german().replace(f'key = "{answer}"', 'key = "nobody"', 1)
    found = [str(each) for each in problems(with_german(**{f"{HERE}quiz.de.toml": text}))]
    assert any("answers" in each and f"{answer!r} is missing" in each for each in found), found
    assert any("answers[1].key" in each and "'nobody' is not in quiz.toml" in each for each in found), found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{HERE}landing.fr.md", "is in 'fr', which is not among the locales"),
        (f"{HERE}quiz.fr.toml", "is in 'fr', which is not among the locales"),
        ("emails/kitchen/planner/01-meet.xx.md", "is in 'xx', which is not among the locales"),
        ("emails/kitchen/snippets/safety.fr.md", "is in 'fr', which is not among the locales"),
        (f"{HERE}nobody.de.toml", f"translates {HERE}nobody.toml, which is not there"),
    ],
)
def test_a_file_in_a_language_that_nobody_named_is_a_problem(path: str, message: str) -> None:
    assert [(each.file, message in each.message) for each in problems(with_german(**{path: PAGE}))] == [(path, True)]


def test_a_snippet_that_translates_nothing_is_a_problem() -> None:
    path = "emails/kitchen/snippets/nobody.de.md"
    assert path in [each.file for each in problems(with_german(**{path: "Text."}))]


@pytest.mark.parametrize(
    ("locales", "message"),
    [
        ('["en"]', "named twice"),
        ('["de", "de"]', "named twice"),
        ('["xx"]', "does not speak"),
        ('["DE"]', "lower-case"),
    ],
)
def test_a_list_of_languages_that_cannot_be_is_named(locales: str, message: str) -> None:
    text = with_german()[FUNNEL].decode().replace('["de"]', locales)
    found = problems({**KITCHEN, FUNNEL: text.encode()})
    assert [each for each in found if each.place.startswith("locales") and message in each.message], found


def test_a_problem_in_a_translation_is_told_with_the_problems_of_the_rest() -> None:
    broken = with_german(**{f"{HERE}planner.de.toml": PATTERN.replace('name = "der Plan"', "name = 3")})
    broken[QUIZ] = broken[QUIZ].replace(b"minimum_answers", b"minimum_anwers")
    assert {each.file for each in problems(broken)} == {QUIZ, f"{HERE}planner.de.toml"}


def spoken_lesson(path: str) -> str:
    return path.replace(".md", ".de.md")


def test_a_lesson_is_a_segment_of_its_own_only_where_it_is_translated() -> None:
    main = content.parse("kitchen", with_german(**{spoken_lesson(MEET): LESSON}))
    found = [main.read_in(locale).lesson(key) for locale in ("en", "de") for key in ("planner-meet", "planner-stove")]
    names = [segment(each[1].source, {}) for each in found if each]
    assert names == ["", "", "locale=de", ""]


def test_a_mail_waits_for_the_snippets_it_shows_so_that_it_is_in_one_language() -> None:
    lesson = {spoken_lesson(STOVE): LESSON + "\n::: snippet safety\n:::\n"}
    alone = german(**lesson).lesson("planner-stove")
    both = german(**lesson, **{spoken_lesson(SAFETY): "Vorsicht am Herd."}).lesson("planner-stove")
    assert alone is not None
    assert both is not None
    assert (alone[1].source.locale, both[1].source.locale) == ("", "de")
    assert "Vorsicht am Herd." in [block.markdown for block in both[1].source.blocks]


def test_a_broken_lesson_is_named_where_it_is_broken() -> None:
    path = spoken_lesson(MEET)
    found = problems(with_german(**{path: LESSON.replace("| du", "")}))
    assert [(each.file, each.place) for each in found] == [(path, "line 5")]


def test_a_pattern_of_another_language_decides_nothing() -> None:
    found = problems(with_german(**{f"{HERE}planner.de.toml": KITCHEN[PLANNER].decode()}))
    assert {(each.file, each.place) for each in found} == {
        (f"{HERE}planner.de.toml", place) for place in ("goals", "lessons")
    }


def test_the_shipped_funnel_is_wholly_in_german(funnel: Funnel) -> None:
    assert funnel.translations["de"].untranslated == frozenset()
    assert list(coverage(ROOT)) == [f"{NAME}: 45 of 45 files are translated into de."]
