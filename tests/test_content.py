"""Content: what is right becomes core types, what is wrong is named with file and place, all of it at once."""

from datetime import date, time

import pytest

from funnel import content
from funnel.content import ContentError, Problem
from funnel.core.lesson import NOTICE_FIELDS
from funnel.core.schedule import DAY_MS
from funnel.core.sequence import Funnel
from tests.conftest import NAME
from tests.example.kitchen import (
    FUNNEL,
    IMPROVISER,
    KITCHEN,
    LANDING,
    MEET,
    PLANNER,
    QUIZ,
    SAFETY,
    STOVE,
    SUPPORT,
    broken,
    problems,
    without,
)


def test_the_shipped_funnel_has_no_problems(funnel: Funnel) -> None:
    assert list(funnel.patterns) == ["fight", "flight", "freeze", "fawn"]
    assert funnel.slug not in ("", NAME)
    assert set(funnel.wordings) == {"sensitive", "course"}


def test_a_funnel_on_another_topic_becomes_core_types() -> None:
    funnel = content.parse("kitchen", KITCHEN)
    planner = funnel.patterns["planner"]
    assert [lesson.key for lesson in planner.lessons] == [
        *("planner-meet", "planner-stove", "planner-fridge", "planner-table", "planner-again")
    ]
    first, second = (lesson.timing for lesson in planner.lessons[:2])
    assert (first.wait_ms, first.at, first.days) == (0, None, frozenset(range(7)))
    assert (second.wait_ms, second.at, second.days) == (DAY_MS, time(8, 30), frozenset(range(5)))
    assert funnel.wordings == {"sensitive": "Kitchen Example may keep how I cook.", "course": "Email me up to 5 notes."}
    assert funnel.lesson("improviser-stove") == (
        funnel.patterns["improviser"],
        funnel.patterns["improviser"].lessons[1],
    )
    assert funnel.lesson("nobody") is None
    assert funnel.review.date == date(2026, 11, 22)
    assert [question.key for question in funnel.quiz.questions] == ["shopping", "missing", "guests"]
    assert funnel.landing.title == "How do you cook?"


def test_a_snippet_block_becomes_the_snippets_text() -> None:
    funnel = content.parse("kitchen", KITCHEN)
    texts = [block.markdown for block in funnel.patterns["planner"].lessons[1].source.blocks]
    assert KITCHEN[SAFETY].decode().strip() in texts


EDUCATOR = """[educator]
name = "Bob"
credentials = "a ladle"
offer = "soup"
price = "3 EUR"
touch = "none"
url = "https://example.org/"
[consent]"""


@pytest.mark.parametrize(
    ("section", "course"),
    [
        (EDUCATOR, "Email me up to 5 notes. The last one mentions Bob."),
        (EDUCATOR.replace('"3 EUR"', '""'), "Email me up to 5 notes."),
        (EDUCATOR.replace('touch = "none"\n', ""), "Email me up to 5 notes."),
    ],
)
def test_the_educator_is_in_the_wording_only_when_every_field_is_filled(section: str, course: str) -> None:
    assert content.parse("kitchen", broken(FUNNEL, "[consent]", section)).wordings["course"] == course


@pytest.mark.parametrize(
    ("section", "unknown"),
    [
        ("[consent]", "hold"),
        ("[sending]\n[consent]", "hold"),
        ('[sending]\nunknown = "hold"\n[consent]', "hold"),
        ('[sending]\nunknown = "resend"\n[consent]', "resend"),
    ],
)
def test_what_may_have_been_sent_waits_for_a_person_unless_the_funnel_says_otherwise(
    section: str, unknown: str
) -> None:
    assert content.parse("kitchen", broken(FUNNEL, "[consent]", section)).unknown == unknown


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    files = {path: b"\xef\xbb\xbf" + held.replace(b"\n", b"\r\n") for path, held in KITCHEN.items()}
    assert content.parse("kitchen", files) == content.parse("kitchen", KITCHEN)


@pytest.mark.parametrize(
    ("path", "old", "new", "place", "words"),
    [
        (FUNNEL, "slug =", "slugg =", "slug", "is missing"),
        (FUNNEL, "slug =", "slugg =", "slugg", "unknown key; is it a typing mistake?"),
        (FUNNEL, 'slug = "kitchen"', 'slug = "My Kitchen"', "slug", "lower-case letters, digits and hyphens"),
        (FUNNEL, 'slug = "kitchen"', 'slug = "küche"', "slug", "lower-case letters, digits and hyphens"),
        (FUNNEL, 'slug = "kitchen"', 'slug = "../x"', "slug", "lower-case letters, digits and hyphens"),
        (FUNNEL, 'slug = "kitchen"', "slug = 7", "slug", "valid string"),
        (FUNNEL, "Europe/Berlin", "Europe/Bärlin", "timezone", "is not a time zone; write one like Europe/Berlin"),
        (FUNNEL, "https://www.wikipedia.org/", "http://www.wikipedia.org/", "leave_to", "must start with https://"),
        (FUNNEL, 'title = "Kitchen Notes"', 'title = "  "', "title", "one line of text, not empty"),
        (FUNNEL, 'title = "Kitchen Notes"', 'title = "Kitchen\\nBcc: x"', "title", "one line of text"),
        (FUNNEL, 'author = "Alice"', 'author = "Alice"\neditor = "Bob"', "review.editor", "unknown key"),
        (FUNNEL, "date = 2026-11-22", 'date = "yesterday"', "review.date", "date"),
        (FUNNEL, '["planner", "improviser"]', '["planner"]', "patterns", "at least 2"),
        (FUNNEL, '"improviser"]', '"improviser", "improviser"]', "patterns", "names a pattern twice"),
        (FUNNEL, "[review]", '[sending]\nunknown = "drop"\n[review]', "sending.unknown", "'hold' or 'resend'"),
        (FUNNEL, "[review]", "[sending]\nunkown = 1\n[review]", "sending.unkown", "unknown key"),
        (FUNNEL, "[review]", "[review", "", "is not TOML"),
        (QUIZ, 'key = "missing"', 'key = "shopping"', "questions", "key 'shopping' is used twice"),
        (QUIZ, 'key = "stroll"', 'key = "list"', "questions[1].answers", "key 'list' is used twice"),
        (QUIZ, 'key = "stroll"', 'key = "none"', "questions[1].answers[2].key", "'none' is added by the service"),
        (QUIZ, 'key = "spare"', 'key = "skip"', "questions[2].answers[2].key", "'skip' is added by the service"),
        (QUIZ, "{ planner = 10 }", "{ planer = 1 }", "questions[1].answers[1].weights", "unknown pattern"),
        (QUIZ, "{ planner = 10 }", "{ planner = -1 }", "questions[1].answers[1].weights.planner", "greater than"),
        (QUIZ, "{ planner = 10 }", '{ planner = "10" }', "questions[1].answers[1].weights.planner", "valid integer"),
        (QUIZ, "{ planner = 10 }", "{ planner = 9.5 }", "questions[1].answers[1].weights.planner", "valid integer"),
        (QUIZ, "weights = { planner = 10 }\n", "", "questions[1].answers[1]", "needs either weights or at_ease"),
        (QUIZ, "at_ease = true", "at_ease = true\nweights = { planner = 1 }", "questions[1].answers[3]", "needs"),
        (QUIZ, 'channel = "words"', 'channel = "smell"', "questions[3].channel", "'thought', 'body', 'action'"),
        (QUIZ, "because =", "becuase =", "questions[1].answers[1].because", "is missing"),
        (QUIZ, "because =", "becuase =", "questions[1].answers[1].becuase", "unknown key"),
        (QUIZ, "[outcomes.at-ease]", "[outcomes.too-calm]", "outcomes.too-calm", "'too-close'"),
        (QUIZ, "minimum_answers = 2", "minimum_answers = 4", "minimum_answers", "is more than there are questions"),
        (QUIZ, "minimum_answers = 2", "minimum_answers = 0", "minimum_answers", "greater than or equal to 1"),
        (QUIZ, "at_ease = 50", "at_ease = 101", "at_ease", "less than or equal to 100"),
        (SUPPORT, 'url = "https://example.org/"', 'url = "example.org"', "entries[1].url", "must start with https://"),
        (SUPPORT, "checked = 2026-11-22", "checked = 2026-11-31", "", "is not TOML"),
        (SUPPORT, "what =", "wath =", "kinds[1].wath", "unknown key"),
        (LANDING, "+++\n", "", "line 1", "starts with front matter between two +++ lines"),
        (LANDING, "title =", "titel =", "titel", "unknown key"),
        (LANDING, "quiz_url", "choose_url", "line 5", "unknown field 'choose_url'"),
        (SAFETY, "support_url", "choose_url", "line 1", "unknown field 'choose_url'"),
        (MEET, "+++\n", "", "line 1", "starts with front matter between two +++ lines"),
        (MEET, "preview =", "preveiw =", "preview", "is missing"),
        (MEET, "preview =", "preveiw =", "preveiw", "unknown key"),
        (MEET, "the list", "{{ choose_url }}", "subject", "unknown field 'choose_url'"),
        (MEET, "What the list", "{{ first_name }}, what the list", "preview", "'first_name' needs a fallback"),
        (MEET, "{{ first_name | there }}", "{{ first_name }}", "line 5", "'first_name' needs a fallback"),
        (MEET, "choose_url", "shoes_url", "line 9", "unknown field 'shoes_url'"),
        (MEET, "choose_url", "educator_url", "line 9", "unknown field 'educator_url'"),
        (MEET, "choose_url }}", "choose_url }", "line 9", "braces that are not a field"),
        (STOVE, "Set the timer", "<b>Set</b> the timer", "line 5", "holds HTML; write Markdown"),
        (STOVE, "Write three things", "<script>alert(1)</script>", "line 15", "holds HTML; write Markdown"),
        (STOVE, "::: practice", "::: practise", "line 14", "unknown block 'practise'"),
        (STOVE, "::: secondary improviser", "::: secondary", "line 7", "needs a name behind it"),
        (STOVE, "::: secondary improviser", "::: secondary planner", "line 7", "can never be; use improviser"),
        (STOVE, "::: secondary improviser", "::: secondary baker", "line 7", "can never be; use improviser"),
        (STOVE, "::: snippet safety", "::: snippet safely", "line 11", "there is no snippets/safely.md"),
        (STOVE, "something\n:::\n", "something\n", "line 18", "'::: event' is never closed"),
        (PLANNER, 'key = "planner-stove"', 'key = "planner-meet"', "lessons", "key 'planner-meet' is also used in"),
        (IMPROVISER, 'key = "improviser-stove"', 'key = "planner-stove"', "lessons", f"also used in {PLANNER}"),
        (PLANNER, 'wait = "1 day"', 'wait = "1 week"', "lessons[2].wait", 'must be like "2 days" or "6 hours"'),
        (PLANNER, 'wait = "1 day"', "wait = 1", "lessons[2].wait", 'must be like "2 days" or "6 hours"'),
        (PLANNER, 'wait = "1 day"', 'wait = "-1 day"', "lessons[2].wait", 'must be like "2 days" or "6 hours"'),
        (PLANNER, 'wait = "1 day"', 'wait = "367 days"', "lessons[2].wait", "must be at most 366 days"),
        (PLANNER, 'at = "08:30"', 'at = "8:30 am"', "lessons[2].at", 'must be a local time like "08:30"'),
        (PLANNER, 'at = "08:30"', 'at = "25:00"', "lessons[2].at", 'must be a local time like "08:30"'),
        (PLANNER, '"mon", "tue"', '"mon", "tuesday"', "lessons[2].days[2]", "'mon', 'tue'"),
        (PLANNER, '["mon", "tue", "wed", "thu", "fri"]', "[]", "lessons[2].days", "at least 1"),
        (PLANNER, "promise =", "promiss =", "promiss", "unknown key"),
        (PLANNER, 'key = "planner-meet"', 'key = "Planner Meet"', "lessons[1].key", "lower-case letters"),
    ],
)  # fmt: skip
def test_one_mistake_is_named_with_its_file_and_place(path: str, old: str, new: str, place: str, words: str) -> None:
    found = problems(broken(path, old, new))
    assert [problem for problem in found if (problem.file, problem.place) == (path, place) and words in problem.message]
    # A misspelled key is two problems: unknown, and missing.
    assert len(found) <= 2 or path in (FUNNEL, PLANNER)


@pytest.mark.parametrize("path", [path for path in KITCHEN if path != SAFETY])
def test_a_missing_file_is_named(path: str) -> None:
    assert Problem(path, "", "is missing") in problems(without(path))


def test_the_safety_text_must_be_there() -> None:
    found = problems(without(SAFETY))
    assert Problem(SAFETY, "", "is missing: every result page shows it") in found
    assert Problem(STOVE, "line 11", "there is no snippets/safety.md") in found


@pytest.mark.parametrize("path", sorted(KITCHEN))
def test_a_file_that_is_not_utf8_is_named_with_the_byte(path: str) -> None:
    found = problems({**KITCHEN, path: b"ab\xff"})
    assert Problem(path, "byte 2", "is not UTF-8 text; save the file as UTF-8") in found


@pytest.mark.parametrize("path", sorted(path for path in KITCHEN if path.endswith(".toml")))
def test_broken_toml_is_named(path: str) -> None:
    found = [problem for problem in problems({**KITCHEN, path: b'key = "'}) if problem.file == path]
    assert len(found) == 1
    assert found[0].message.startswith("is not TOML: ")


@pytest.mark.parametrize(
    "path", ["sequences/kitchen/notes.md", "emails/kitchen/planner/03-old.md", "sequences/kitchen/baker.toml"]
)
def test_a_file_that_nothing_names_is_a_problem(path: str) -> None:
    assert [str(problem) for problem in problems({**KITCHEN, path: b""})] == [
        f"{path}: is not used by the funnel; name it in a <pattern>.toml or delete it"
    ]


def test_a_mail_belongs_to_one_lesson_only() -> None:
    found = problems(broken(IMPROVISER, "improviser/02-stove.md", "planner/02-stove.md"))
    assert Problem(IMPROVISER, "lessons[2].email", "planner/02-stove.md is already another lesson's mail") in found


def test_a_pattern_that_no_answer_speaks_mainly_for_is_unreachable() -> None:
    quiz = KITCHEN[QUIZ].replace(b"{ improviser = 10 }", b"{ planner = 10, improviser = 3 }")
    assert problems({**KITCHEN, QUIZ: quiz}) == [
        Problem(QUIZ, "questions", "pattern 'improviser' is unreachable: no answer speaks mainly for it")
    ]


def test_a_missing_outcome_is_named() -> None:
    text = KITCHEN[QUIZ].decode()
    start, end = text.index("[outcomes.at-ease]"), text.index("[outcomes.too-few]")
    assert problems({**KITCHEN, QUIZ: (text[:start] + text[end:]).encode()}) == [
        Problem(QUIZ, "outcomes.at-ease", "is missing")
    ]


def test_a_sequence_with_a_mistake_still_names_the_mails_that_are_missing() -> None:
    text = KITCHEN[PLANNER].decode().replace('wait = "2 days"', 'wait = "100 years"', 1)
    assert [(each.file, each.place) for each in problems({**without(STOVE), PLANNER: text.encode()})] == [
        (STOVE, ""),
        (PLANNER, "lessons[3].wait"),
    ]


def test_every_problem_is_found_at_once_and_sorted_by_file() -> None:
    files = {**KITCHEN, "sequences/kitchen/notes.md": b""}
    for path, old, new in [
        (QUIZ, 'key = "stroll"', 'key = "none"'),
        (QUIZ, 'key = "missing"', 'key = "shopping"'),
        (MEET, "choose_url", "shoes_url"),
        (MEET, "first_name | there", "first_name"),
        (STOVE, "::: practice", "::: practise"),
        (SUPPORT, "what =", "wath ="),
        (LANDING, "quiz_url", "choose_url"),
        (IMPROVISER, 'key = "improviser-stove"', 'key = "planner-stove"'),
    ]:
        files[path] = files[path].decode().replace(old, new, 1).encode()
    found = problems(files)
    assert [(problem.file, problem.place) for problem in found] == [
        (MEET, "line 5"),
        (MEET, "line 9"),
        (STOVE, "line 14"),
        (IMPROVISER, "lessons"),
        (LANDING, "line 5"),
        ("sequences/kitchen/notes.md", ""),
        (QUIZ, "questions"),
        (QUIZ, "questions[1].answers[2].key"),
        (SUPPORT, "kinds[1].wath"),
        (SUPPORT, "kinds[1].what"),
    ]
    assert str(ContentError(found)) == "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("mail", "words"),
    [
        (b"", "is missing"),
        (b"Hello", "starts with front matter"),
        (b'+++\nsubject = "x"\npreview = "y"\n+++\n{{ choose_url }}', "unknown field 'choose_url'"),
        (b'+++\nsubject = "{{ confirm_url }}"\npreview = "y"\n+++\nx', "unknown field 'confirm_url'"),
        (b'+++\nsubject = "x"\npreview = "y"\n+++\n::: secondary planner\nx\n:::', "can never be"),
    ],
)
def test_a_service_mail_is_checked_too(mail: bytes, words: str) -> None:
    path = "emails/service/confirm.md"
    with pytest.raises(ContentError, match=words):
        content.parse_mail(path, {path: mail} if mail else {}, NOTICE_FIELDS)
