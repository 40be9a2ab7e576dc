"""Each rule finds what it is for, where it is, leaves the good example alone, and can be silenced for a line."""

from dataclasses import replace

import pytest

from funnel import content
from funnel.lint import balance, contrast, delivered, discreet, links, reach, reading, repeats, timing, wording
from funnel.lint.lexicon import OwnWords, Settings
from funnel.lint.lint import EVERY, lint
from funnel.lint.rules import RULES
from funnel.lint.subject import Rendered
from funnel.lint.texts import File
from tests.conftest import NAME, ROOT
from tests.example.kitchen import FUNNEL, IMPROVISER, KITCHEN, LANDING, MEET, PLANNER, QUIZ, STOVE
from tests.lint.kitchens import SUPPORT_URL, Change, Rule, changed, codes, found, subject

SHELF = "emails/kitchen/snippets/shelf.md"
SHARED = "A list is a letter to the cook you will be at six."
LIST, PAN, TIMER = "A list is a letter", "Listen to the pan", "Set the timer"
HARD = (
    "Notwithstanding considerable organizational complexity, culinary practitioners characteristically "
    "overestimate preparatory requirements, necessitating continuous recalibration of expectations. "
) * 12

CASES: list[tuple[str, Rule, tuple[Change, ...], str]] = [
    # code, rule, what is changed, the line that is found (a part of it)
    ("QZ101", balance.fair, ((QUIZ, "{ planner = 10 }", "{ planner = 10, improviser = 9 }"),), "[[questions]]"),
    ("QZ102", balance.fair, ((QUIZ, "too_close = 4", "too_close = 40"),), "too_close = 40"),
    ("QZ103", balance.fair, ((QUIZ, "too_close = 4", "too_close = 40"),), "too_close = 40"),
    ("QZ201", reach.outcomes, ((QUIZ, "at_ease = true", "weights = { planner = 1 }"),) * 3, "[outcomes.t"),
    ("QZ202", reach.answers, ((QUIZ, '"With an open bag."', '"With a list"'),), '"With a list"'),
    ("QZ203", reach.answers, ((QUIZ, "weights = { planner = 10 }", "at_ease = true"),
                              (QUIZ, "weights = { improviser = 10 }", "at_ease = true")), "[[questions]]"),
    ("SQ303", reach.files, ((SHELF, "", "A shelf."),), ""),
    ("TX401", timing.shifting, ((MEET, LIST, f"Tomorrow comes the timer. {LIST}"),), "Tomorrow"),
    ("TX401", timing.shifting, ((STOVE, TIMER, f"Yesterday you wrote. {TIMER}"),), "Yesterday"),
    ("TX401", timing.shifting, ((STOVE, TIMER, f"On Tuesday: {TIMER}"),), "On Tuesday"),
    ("TX402", timing.shifting, ((STOVE, TIMER, f"Tonight, {TIMER}"),), "Tonight"),
    ("TX402", timing.shifting, ((MEET, LIST, f"This morning, {LIST}"),), "This morning"),
    ("TX403", timing.shifting, ((MEET, LIST, f"In two days you get the timer. {LIST}"),), "In two days"),
    ("TX403", timing.shifting, ((STOVE, TIMER, f"Five days ago there was a list. {TIMER}"),), "Five days ago"),
    ("TX501", wording.diagnostic_and_graphic, ((MEET, LIST, f"This is a disorder. {LIST}"),), "disorder"),
    ("TX501", wording.diagnostic_and_graphic, ((PLANNER, "It stirs.", "It has symptoms."),), "during"),
    ("TX502", wording.diagnostic_and_graphic, ((QUIZ, "Mint is green too.", "Naked mint."),), "Naked mint."),
    ("TX601", reading.readable, ((MEET, LIST, f"{HARD} {LIST}"),), "Hello"),
    ("TX602", repeats.repeated, ((STOVE, TIMER, f"{SHARED} {TIMER}"),), SHARED),
    ("DS701", discreet.texts, ((MEET, "Note 1 of 2: the list", "Your desires"),), "subject"),
    ("DS701", discreet.texts, ((MEET, "What the list is for.", "For planner cooks."),), "preview"),
    ("DS701", discreet.texts, ((FUNNEL, 'name = "Kitchen Notes"', 'name = "Intimacy Notes"'),), "Intimacy Notes"),
    ("DS702", discreet.addresses, ((FUNNEL, 'slug = "kitchen"', 'slug = "sex-kitchen"'),), "slug"),
    ("DS702", discreet.addresses, ((FUNNEL, "kitchen@example.org", "sexuality@example.org"),), "sexuality@"),
    ("DS702", discreet.texts, ((LANDING, '"How do you cook?"', '"Your erotic kitchen"'),), "title"),
    ("DS703", discreet.links, ((MEET, LIST, f"[A book](https://example.org/erotic-cooking). {LIST}"),), "A book"),
    ("LK801", links.texts, ((MEET, "[Choose another]", "[Click here]"),), "Click here"),
    ("LK802", links.texts, ((MEET, "[Choose another]", "[]"),), "[]"),
    ("LK803", links.texts, ((MEET, LIST, f"See https://example.org/ for more. {LIST}"),), "See https"),
]  # fmt: skip
each_case = pytest.mark.parametrize(("code", "rule", "changes", "line"), CASES, ids=[case[0] for case in CASES])


@each_case
def test_a_rule_finds_what_is_wrong_at_its_line(code: str, rule: Rule, changes: tuple[Change, ...], line: str) -> None:
    files = changed(*changes)
    spots = [one for one in found(rule, subject(files)) if one.code == code]
    assert spots, "nothing was found"
    rows = files[spots[0].file].decode().split("\n")
    assert line in (rows[spots[0].line - 1] if spots[0].line else ""), (spots[0], rows[spots[0].line - 1])


@each_case
def test_a_comment_above_the_line_silences_it(code: str, rule: Rule, changes: tuple[Change, ...], line: str) -> None:
    files = changed(*changes)
    for spot in [one for one in found(rule, subject(files)) if one.code == code and one.line]:
        files = silenced(files, spot.file, spot.line, code)
        if code not in codes(rule, subject(files)):
            return
    assert code == "SQ303", "a file as a whole is deleted, not silenced"


def silenced(files: dict[str, bytes], path: str, line: int, code: str) -> dict[str, bytes]:
    """With a comment above the line that is told now."""
    rows = files[path].decode().split("\n")
    in_front_matter = path.endswith(".md") and line < [n for n, row in enumerate(rows, 1) if row == "+++"][1]
    toml = path.endswith(".toml") or in_front_matter
    rows.insert(line - 1, f"# funnel: allow {code}: a test" if toml else f"<!-- funnel: allow {code}: a test -->")
    return {**files, path: "\n".join(rows).encode()}


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}")
def test_the_good_example_gives_no_rule_anything_to_say(rule: Rule) -> None:
    assert list(rule(subject())) == []


def test_every_code_is_shown_to_work() -> None:
    elsewhere = {"CT001", "LN001", "LN002", "LN003", "QZ104", "QZ105", "SQ301", "SQ302", "SQ304", "SQ305", "LK804"}
    rendered = {"ML901", "ML902", "ML903", "ML904", "CO951"}
    assert {case[0] for case in CASES} | elsewhere | rendered == set(RULES)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (timing.shifting, ((MEET, LIST, f"Some other day, when there is time. {LIST}"),)),
        (timing.shifting, ((PLANNER, 'days = ["mon", "tue", "wed", "thu", "fri"]', 'days = ["mon"]'),
                           (STOVE, TIMER, f"On Monday, {TIMER}"))),
        (timing.shifting, ((STOVE, TIMER, f"Mondays are for soup, and a Friday is for fish. {TIMER}"),)),
        (timing.shifting, ((STOVE, TIMER, f"This morning, {TIMER}"),)),
        (wording.diagnostic_and_graphic, ((MEET, LIST, f"This isn't a diagnosis. {LIST}"),)),
        (wording.diagnostic_and_graphic, ((MEET, LIST, f"The cockerel and the cucumber. {LIST}"),)),
        (discreet.texts, ((MEET, LIST, f"The planner and the sexton. {LIST}"),)),
        (discreet.texts, ((MEET, "Note 1 of 2: the list", "Essex and Sussex"),)),
        (links.texts, ((MEET, "[Choose another]", "[Choose another course here]"),)),
        (links.texts, ((MEET, LIST, f"[Salt](https://example.org/salt). {LIST}"),)),
        (reading.readable, ((MEET, LIST, f"{'The cat sat on the mat and had a nap. ' * 30}{LIST}"),)),
    ],
)  # fmt: skip
def test_what_is_fine_is_left_alone(rule: Rule, changes: tuple[Change, ...]) -> None:
    assert found(rule, subject(changed(*changes))) == []


def test_a_funnel_adds_words_of_its_own_and_lets_others_be() -> None:
    own = Settings(words={"en": OwnWords(diagnostic=["picky eater*"], topic=["supper"], fine=["table disorder"])})
    files = changed((MEET, LIST, f"Picky eaters fear table disorder. {LIST}"), (MEET, "the list", "supper"))
    assert codes(wording.diagnostic_and_graphic, subject(files, settings=own)) == ["TX501"]
    assert codes(discreet.texts, subject(files, settings=own)) == ["DS701"]


def test_german_texts_are_read_in_german() -> None:
    german = changed((FUNNEL, 'locale = "en"', 'locale = "de"'), (MEET, LIST, f"Gestern war das eine Störung. {LIST}"))
    assert codes(wording.diagnostic_and_graphic, subject(german)) == ["TX501"]
    assert codes(timing.shifting, subject(german)) == ["TX401"]
    assert codes(reading.readable, subject(changed((MEET, LIST, HARD), files=german))) == []


def test_a_translation_is_held_to_the_schedule_of_its_lesson() -> None:
    beside = File(MEET.replace(".md", ".de.md"), KITCHEN[MEET].decode().replace(LIST, "Gestern"), "en")
    one = subject()
    assert [each.code for each in timing.shifting(replace(one, files={**one.files, beside.path: beside}))] == ["TX401"]


def test_a_lesson_that_nobody_receives_is_told() -> None:
    one = subject()
    renamed = {"nobody": one.funnel.patterns["planner"], "improviser": one.funnel.patterns["improviser"]}
    told = list(reach.lessons(replace(one, funnel=replace(one.funnel, patterns=renamed))))
    assert {(each.code, each.file) for each in told} == {("SQ301", PLANNER)}
    assert len(told) == len(renamed["nobody"].lessons)
    assert told[0].reason == "nobody receives 'planner-meet'"


def test_a_passage_that_nobody_can_see_is_told() -> None:
    one = subject()
    nobody = replace(one.funnel.quiz, rules=replace(one.funnel.quiz.rules, minimum_answers=99))
    told = list(reach.passages(replace(one, funnel=replace(one.funnel, quiz=nobody))))
    assert [(each.code, each.file, each.line) for each in told if each.file == STOVE] == [("SQ302", STOVE, 7)]
    assert KITCHEN[STOVE].decode().split("\n")[6] == "::: secondary improviser"


def test_a_second_pattern_that_is_passed_over_is_told() -> None:
    path = f"emails/{NAME}/freeze/02-sign.md"
    files = content.read_folder(ROOT, NAME)
    start = files[path].decode().index("::: secondary fawn")
    passage = files[path].decode()[start : files[path].decode().index("\n:::", start) + 4]
    told = found(reach.passages, subject(changed((path, passage, ""), files=files), NAME))
    assert [(each.file, each.code, each.reason) for each in told] == [
        (path, "SQ305", "speaks to fight, flight and not to fawn")
    ]


RESPONDENT = {"name": "Bob", "outcome": "decided", "primary": "planner", "secondary": None,
              "answers": {"shopping": "list", "missing": "spare", "guests": "portions"}}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"primary": "improviser"}, "respondent 1 (Bob) gets planner, not improviser"),
        ({"secondary": "improviser"}, "respondent 1 (Bob) gets planner, not planner with improviser"),
        ({"outcome": "too-few", "primary": None}, "respondent 1 (Bob) gets planner, not too-few"),
    ],
)
def test_a_golden_respondent_who_gets_another_result_is_told(wrong: dict[str, object], said: str) -> None:
    told = list(balance.golden(subject(respondents=[{**RESPONDENT, **wrong}])))
    assert [each.reason for each in told if each.code == "QZ104"] == [said]


def test_an_outcome_without_two_golden_respondents_is_told() -> None:
    told = list(balance.golden(subject(respondents=[RESPONDENT, RESPONDENT])))
    assert [(each.code, each.reason) for each in told] == [
        ("QZ105", f"{outcome} has 0") for outcome in ("improviser", "too-close", "at-ease", "too-few")
    ]


MAIL = f'<html><body><p>{"word " * 40}</p><a href="{SUPPORT_URL}">Support</a></body></html>'
TEXT = f"{'word ' * 40} Support: {SUPPORT_URL}"


@pytest.mark.parametrize(
    ("rule", "html", "text", "code"),
    [
        (delivered.sizes, MAIL + " " * 81_000, TEXT, "ML901"),
        (delivered.sizes, MAIL + " " * 103_000, TEXT, "ML902"),
        (delivered.other_parts, MAIL, "Support.", "ML903"),
        (delivered.support, MAIL.replace("/support", "/help"), TEXT, "ML904"),
        (delivered.support, MAIL, TEXT.replace("/support", "/help"), "ML904"),
        (links.pictures, MAIL.replace("<p>", '<img src="pan.png"><p>'), TEXT, "LK804"),
    ],
)
def test_a_mail_is_held_to_what_arrives(rule: Rule, html: str, text: str, code: str) -> None:
    assert codes(rule, subject(mails=[Rendered("planner-meet", MEET, MAIL, TEXT)])) == []
    assert codes(rule, subject(mails=[Rendered("planner-meet", MEET, html, text)])) == [code]


def test_a_page_without_a_support_link_is_told() -> None:
    pages = [Rendered("the page start", QUIZ, html) for html in ('<a href="/kitchen/support">Support</a>', "<p>…</p>")]
    assert codes(delivered.support, subject(pages=pages)) == ["ML904"]


def test_pale_text_is_told_once_for_each_color_scheme() -> None:
    css = "p { color: #777; background: #fff }\n@media (prefers-color-scheme: dark) { p { color: #111 } }"
    page = Rendered("the page start", QUIZ, "<html><body><p>Pale.</p><p>Pale.</p></body></html>")
    one = replace(subject(pages=[page]), sheets={"page": File("style.css", css, "en")})
    told = list(contrast.contrasts(one))
    assert [(each.code, each.file, each.line) for each in told] == [("CO951", "style.css", 1)]
    assert told[0].reason == "#777777 on #ffffff is 4.5 to 1 (light, p)"


def test_two_spoiled_files_are_told_together_in_order() -> None:
    told = lint(subject(changed((STOVE, TIMER, f"Tonight, {TIMER}"), (IMPROVISER, "It stirs.", "It has symptoms."))))
    assert [(each.file, each.code) for each in told] == [(STOVE, "TX402"), (IMPROVISER, "TX501")]
