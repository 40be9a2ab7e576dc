"""The shipped courses keep what the brief for their writers asks."""

import re
from collections import defaultdict

import pytest

from funnel import content
from funnel.core.lesson import Block, parse_blocks
from funnel.core.schedule import DAY_MS
from funnel.core.sequence import Funnel, Lesson
from tests.conftest import NAME, ROOT

PATTERNS = ("fight", "flight", "freeze", "fawn")
NUMBERS = range(1, 8)
FILES = {path: text for path, text in content.read_folder(ROOT, NAME).items() if path.count(".") == 1}  # in English
# Whoever glances at the phone reads these: no pattern, no topic.
REVEALING = (
    *("fight", "flight", "freez", "frozen", "fawn", "doorkeeper", "side door", "quiet room", "good host"),
    *("sex", "erotic", "intima", "lover", "kiss", "desire", "arous", "libido", "naked", "pattern", "surviv", "trauma"),
)
CLAIMS = (
    *("vagus", "vagal", "polyvagal", "nervous system", "trauma", "diagnos", "disorder", "heal ", "healing", "toxic"),
    *("46 % of women", "46% of women", "stored grief", "releasing old", "you're a freeze", "streak", "hurry up"),
    *("guarantee", "breakthrough", "unlock", "don't miss"),
)
OPENING = "Skip this one if today isn't the day."  # the one sentence that four lessons share
SHIFTING = r"\b(tomorrow|yesterday|tonight's note|next week|last week)\b"


def lesson(funnel: Funnel, pattern: str, number: int) -> Lesson:
    return funnel.patterns[pattern].lessons[number - 1]


def body(pattern: str, number: int) -> tuple[Block, ...]:
    """The lesson's own blocks, snippets left out."""
    path = next(path for path in FILES if path.startswith(f"emails/{NAME}/{pattern}/{number:02}-"))
    return parse_blocks(FILES[path].decode().split("+++\n", 2)[2])[0]


def text(blocks: tuple[Block, ...], *without: str) -> str:
    return "\n\n".join(block.markdown for block in blocks if block.kind not in without)


each_lesson = pytest.mark.parametrize(("pattern", "number"), [(p, n) for p in PATTERNS for n in NUMBERS])
each_pattern = pytest.mark.parametrize("pattern", PATTERNS)


@each_pattern
def test_a_course_is_seven_lessons_over_fourteen_days_in_the_morning(funnel: Funnel, pattern: str) -> None:
    timings = [lesson.timing for lesson in funnel.patterns[pattern].lessons]
    assert [timing.wait_ms // DAY_MS for timing in timings] == [0, 1, 2, 2, 3, 3, 3]
    assert timings[0].at is None
    assert all(timing.at and 6 <= timing.at.hour < 11 for timing in timings[1:])


@each_lesson
def test_a_lesson_has_three_hundred_to_five_hundred_words(pattern: str, number: int) -> None:
    read = re.findall(r"[\w’'-]+", text(body(pattern, number), "secondary", "educator"))
    assert 300 <= len(read) <= 500, len(read)


@each_lesson
def test_a_subject_counts_the_notes_and_gives_nothing_away(funnel: Funnel, pattern: str, number: int) -> None:
    source = lesson(funnel, pattern, number).source
    assert re.fullmatch(rf"Note {number} of 7: \S.*", source.subject)
    assert len(source.subject) <= 60
    shown = f"{source.subject} {source.preview}".lower()
    assert not [word for word in REVEALING if word in shown], shown


def test_subjects_and_previews_are_each_their_own(funnel: Funnel) -> None:
    sources = [lesson.source for pattern in funnel.patterns.values() for lesson in pattern.lessons]
    assert len({source.subject for source in sources}) == 28
    assert len({source.preview for source in sources}) == 28


def test_what_an_inbox_or_a_history_shows_gives_nothing_away(funnel: Funnel) -> None:
    shown = [funnel.slug, funnel.title, funnel.sender.name, funnel.sender.address]
    shown += [page.title for page in (funnel.landing, funnel.how, funnel.privacy)]
    assert not [(line, word) for line in shown for word in REVEALING if word in line.lower()]


@each_pattern
def test_the_safety_text_stands_in_notes_four_and_six(funnel: Funnel, pattern: str) -> None:
    for number in (4, 6):
        assert Block("snippet", "safety", "", 0) in [
            Block(block.kind, block.argument, block.markdown, 0) for block in body(pattern, number)
        ]
        assert funnel.snippets["safety"] in [block.markdown for block in lesson(funnel, pattern, number).source.blocks]


@each_pattern
def test_notes_two_four_and_six_speak_to_each_of_the_other_three(pattern: str) -> None:
    for number in NUMBERS:
        found = sorted(block.argument for block in body(pattern, number) if block.kind == "secondary")
        assert found == (sorted(set(PATTERNS) - {pattern}) if number in (2, 4, 6) else [])


@each_lesson
def test_a_lesson_has_one_practice_and_one_check_in(pattern: str, number: int) -> None:
    kinds = [block.kind for block in body(pattern, number)]
    assert (kinds.count("practice"), kinds.count("checkin")) == (1, 1)


@each_pattern
def test_note_four_opens_with_leave_to_skip_it(pattern: str) -> None:
    assert text(body(pattern, 4)).startswith(OPENING)


@each_pattern
def test_the_way_to_another_course_is_in_the_first_note_and_the_way_back_to_the_quiz_in_the_last(pattern: str) -> None:
    assert "]({{ choose_url }})" in text(body(pattern, 1))
    assert "]({{ quiz_url }})" in text(body(pattern, 7))


@each_pattern
def test_the_educator_comes_once_at_the_very_end_of_the_last_note(pattern: str) -> None:
    assert [n for n in NUMBERS for block in body(pattern, n) if block.kind == "educator"] == [7]
    assert body(pattern, 7)[-1].kind == "educator"
    for number in NUMBERS:
        assert "educator_" not in text(body(pattern, number), "educator")


@each_lesson
def test_a_lesson_greets_by_name_or_goes_without(pattern: str, number: int) -> None:
    written = text(body(pattern, number))
    assert written.count("first_name") <= 1
    assert "{{ first_name }}" not in written


@each_lesson
def test_a_lesson_claims_nothing_that_is_not_known_and_promises_no_day(pattern: str, number: int) -> None:
    written = text(body(pattern, number)).lower()
    assert not [word for word in CLAIMS if word in written]
    assert not re.findall(SHIFTING, written)


@each_pattern
def test_figures_come_with_their_source_and_their_limits(pattern: str) -> None:
    written = text(body(pattern, 5))
    for figure, asked, source, year in (
        ("46", "230", "Schweitzer", "2015"),
        ("41", "1,208", "Maczkowiack", "2018"),
        ("3.7", "1,489", "Burri", "2011"),
    ):
        assert re.search(rf"\b{re.escape(figure)}(%| percent)", written)
        assert {asked, source, year} <= set(re.findall(r"[\w,]*\w", written)), source
    assert re.search(r"who was asked|for every|aren't everyone", written)


def test_no_sentence_is_said_in_two_lessons() -> None:
    said = defaultdict(set)
    for pattern in PATTERNS:
        for number in NUMBERS:
            for sentence in re.split(
                r"(?<=[.!?…])[\s*_\"”)]+|\n\n|·", text(body(pattern, number)).removeprefix(OPENING)
            ):
                plain = re.findall(r"[\w’']+", sentence.lower())
                if len(plain) >= 8:
                    said[" ".join(plain)].add(f"{pattern} {number}")
    assert len(said) > 400  # the sentences were really found
    assert {sentence: where for sentence, where in said.items() if len(where) > 1} == {}
