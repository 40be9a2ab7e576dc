"""The shipped courses in German: the same notes, as long, as discreet, and as careful."""

import re

import pytest

from funnel.core.lesson import Source, fields
from funnel.core.sequence import Funnel
from tests.core.test_shipped_lessons import NUMBERS, PATTERNS, each_lesson

OPENING = "Überspring diese Notiz, wenn heute nicht der Tag dafür ist."
REVEALING = (
    *("kampf", "flucht", "erstarr", "türwache", "seitentür", "stilles zimmer", "stille zimmer", "gute stube"),
    *("sex", "erot", "intim", "lieb", "kuss", "küss", "lust", "nackt", "muster", "überleb", "trauma"),
)
CLAIMS = (
    *("vagus", "nervensystem", "trauma", "störung", "geheilt", "heilung von", "toxisch", "garantiert", "durchbruch"),
    *("du bist der typ", "verpass nicht", "beeil dich"),
)
SHIFTING = r"\b(morgen früh|gestern|nächste woche|letzte woche)\b"


def source(funnel: Funnel, pattern: str, number: int) -> Source:
    return funnel.patterns[pattern].lessons[number - 1].source


def both(funnel: Funnel, pattern: str, number: int) -> tuple[Source, Source]:
    return source(funnel, pattern, number), source(funnel.translations["de"], pattern, number)


@each_lesson
def test_a_german_note_has_the_blocks_and_the_fields_of_the_english_one(
    funnel: Funnel, pattern: str, number: int
) -> None:
    english, german = both(funnel, pattern, number)
    assert [(block.kind, block.argument) for block in german.blocks] == [
        (block.kind, block.argument) for block in english.blocks
    ]
    named = [
        sorted({field.name for block in each.blocks for field in fields(block.markdown)}) for each in (english, german)
    ]
    assert named[0] == named[1]


@each_lesson
def test_a_german_note_is_about_as_long(funnel: Funnel, pattern: str, number: int) -> None:
    without = ("secondary", "educator", "snippet")
    texts = [
        "\n".join(block.markdown for block in each.blocks if block.kind not in without)
        for each in both(funnel, pattern, number)
    ]
    english, german = (len(re.findall(r"[\w’'-]+", text)) for text in texts)
    assert 0.8 < german / english < 1.15, (english, german)


@each_lesson
def test_a_german_subject_counts_the_notes_and_gives_nothing_away(funnel: Funnel, pattern: str, number: int) -> None:
    german = source(funnel.translations["de"], pattern, number)
    assert re.fullmatch(rf"Notiz {number} von 7: \S.*", german.subject)
    assert len(german.subject) <= 60
    shown = f"{german.subject} {german.preview}".lower()
    assert not [word for word in REVEALING if word in shown], shown


@each_lesson
def test_a_german_note_claims_nothing_and_names_no_day_that_may_move(funnel: Funnel, pattern: str, number: int) -> None:
    text = "\n".join(block.markdown for block in source(funnel.translations["de"], pattern, number).blocks).lower()
    assert not [word for word in CLAIMS if word in text]
    assert not re.search(SHIFTING, text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_note_four_opens_with_leave_to_skip_it(funnel: Funnel, pattern: str) -> None:
    assert source(funnel.translations["de"], pattern, 4).blocks[0].markdown.startswith(OPENING)


def test_german_subjects_and_previews_are_each_their_own(funnel: Funnel) -> None:
    sources = [source(funnel.translations["de"], pattern, number) for pattern in PATTERNS for number in NUMBERS]
    assert len({each.subject for each in sources}) == len({each.preview for each in sources}) == 28


def test_the_figures_are_the_same_in_both_languages(funnel: Funnel) -> None:
    for pattern in PATTERNS:
        texts = ["\n".join(block.markdown for block in each.blocks) for each in both(funnel, pattern, 5)]
        found = [sorted(re.sub("[.,]", "", number) for number in re.findall(r"\d[\d.,]*\d|\d", text)) for text in texts]
        assert found[0] == found[1], pattern


def test_what_an_inbox_or_a_history_shows_gives_nothing_away(funnel: Funnel) -> None:
    spoken = funnel.translations["de"]
    shown = [spoken.title, spoken.sender.name, *(page.title for page in (spoken.landing, spoken.how, spoken.privacy))]
    assert not [(line, word) for line in shown for word in REVEALING if word in line.lower()]


def test_german_answers_do_not_give_the_pattern_away(funnel: Funnel) -> None:
    spoken = funnel.translations["de"]
    words = [pattern.name.partition(" ")[2] for pattern in spoken.patterns.values()]
    words += [pattern.protects_by for pattern in spoken.patterns.values()]
    answers = [answer.text for question in spoken.quiz.questions for answer in question.answers]
    assert not [(text, word) for text in answers for word in words if word.lower() in text.lower()]


def test_german_answers_of_a_question_are_about_equally_long(funnel: Funnel) -> None:
    for question in funnel.translations["de"].quiz.questions:
        lengths = [len(answer.text.split()) for answer in question.answers]
        assert max(lengths) - min(lengths) <= 7, (question.key, lengths)
