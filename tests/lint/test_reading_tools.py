"""What the rules stand on: where TOML values are, how words match, how hard a text reads, how colors are told apart."""

import tomllib
from pathlib import Path

import pytest

from funnel.lint import contrast, css, reading
from funnel.lint.lexicon import Settings as LintSettings
from funnel.lint.lexicon import any_of, languages, lexicon, read_settings
from funnel.lint.silence import of
from funnel.lint.texts import File
from funnel.lint.tomls import Span, scan
from tests.conftest import NAME, ROOT

TOML = '''# one
title = "a # b" # two

[sender]
name = 'c'
replies = """
first
# no comment
last""" # three

[[questions]]
key = "q1"
[[questions.answers]]
weights = { a = 1, b = 2 }
[[questions.answers]]
many = [
  "x", # four
  "]",
]
[[questions]]
[[questions.answers]]
key = "z"
[outcomes.too-close]
text = """one \\
line"""
'''


def test_every_value_and_comment_of_a_toml_file_is_placed() -> None:
    found = scan(TOML)
    assert [comment for _, comment in found.comments] == ["# one", "# two", "# three", "# four"]
    assert [line for line, _ in found.comments] == [1, 2, 9, 17]
    assert found.spans == {
        "title": Span(2, 2),
        "sender": Span(4, 4),
        "sender.name": Span(5, 5),
        "sender.replies": Span(6, 9),
        "questions": Span(11, 11),
        "questions[1]": Span(11, 11),
        "questions[1].key": Span(12, 12),
        "questions[1].answers": Span(13, 13),
        "questions[1].answers[1]": Span(13, 13),
        "questions[1].answers[1].weights": Span(14, 14),
        "questions[1].answers[2]": Span(15, 15),
        "questions[1].answers[2].many": Span(16, 19),
        "questions[2]": Span(20, 20),
        "questions[2].answers": Span(21, 21),
        "questions[2].answers[1]": Span(21, 21),
        "questions[2].answers[1].key": Span(22, 22),
        "outcomes.too-close": Span(23, 23),
        "outcomes.too-close.text": Span(24, 25),
    }
    assert (found.at("questions[1].answers[2].gone"), found.at("questions[9]"), found.at("gone")) == (15, 11, 1)


@pytest.mark.parametrize("path", sorted((ROOT / f"sequences/{NAME}").glob("*.toml")), ids=lambda path: path.name)
def test_every_value_of_the_shipped_files_is_found(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines, spans = text.split("\n"), scan(text).spans

    def leaves(value: object, place: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                leaves(inner, f"{place}.{key}".lstrip("."))
        elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
            for number, inner in enumerate(value, 1):
                leaves(inner, f"{place}[{number}]")
        elif "weights." not in place:
            assert place.rpartition(".")[2] in lines[spans[place].first - 1]

    leaves(tomllib.loads(text), "")


@pytest.mark.parametrize(
    ("entry", "text", "matches"),
    [
        ("sex", "sex sells", True), ("sex", "Essex", False), ("sex", "sexton", False), ("sexual*", "Sexuality", True),
        ("*trauma*", "Kindheitstrauma", True), ("oral sex", "oral\nsex", True), ("isn't", "isn’t", False),
        ("störung*", "Störungen", True),
    ],
)  # fmt: skip
def test_an_entry_matches_whole_words_unless_it_is_starred(entry: str, text: str, matches: bool) -> None:
    assert bool(any_of([entry]).search(text)) == matches


@pytest.mark.parametrize("locale", ["en", "de", "en-GB"])
def test_a_language_is_whole(locale: str) -> None:
    known = lexicon(LintSettings(), locale)
    assert known is not None
    assert len(known.language.weekdays) == 7
    assert all((known.language.diagnostic, known.language.graphic, known.language.topic))


def test_a_language_that_we_do_not_know_is_left_out() -> None:
    assert lexicon(LintSettings(), "fi") is None
    assert set(languages()) == {"en", "de"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[words.en", "is not TOML"),
        ("grade = 3", "grade: Extra inputs"),
        ("reading_grade = 'x'", "reading_grade: Input"),
    ],
)
def test_settings_that_cannot_be_read_are_told(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_settings(text)


PLATYPUS = "The Australian platypus is seemingly a hybrid of a mammal and reptilian creature. "


def test_the_grade_is_that_of_flesch_and_kincaid() -> None:
    assert reading.grade(PLATYPUS * 10) == pytest.approx(11.3, abs=1)
    easy = reading.grade("The cat sat on the mat. " * 20)
    assert easy is not None
    assert easy < 1
    assert reading.grade("Too few words to tell.") is None


@pytest.mark.parametrize(
    ("word", "count"),
    [("cat", 1), ("table", 2), ("evening", 3), ("walked", 1), ("wanted", 2), ("makes", 1), ("the", 1), ("needed", 2)],
)  # fmt: skip
def test_syllables_are_counted_about_right(word: str, count: int) -> None:
    assert reading.syllables(word) == count


@pytest.mark.parametrize(
    ("one", "other", "wanted"), [("#000", "#fff", 21), ("#777777", "#ffffff", 4.48), ("#767676", "#fff", 4.54)]
)
def test_contrast_is_that_of_wcag(one: str, other: str, wanted: float) -> None:
    assert contrast.ratio(one, other) == contrast.ratio(other, one) == pytest.approx(wanted, abs=0.01)


SHEET = """
:root { --ink: #111; }
@media print { p { color: #fff } }
body { background: #fff; color: var(--ink) } p { color: #222 } .a p { color: #333 } div > em { color: #444 }
p:hover { color: #fff } .b { color: #555 !important } #c { color: #666 }
@media (prefers-color-scheme: dark) { :root { --ink: #eee } body { background: #000 } }
"""


@pytest.mark.parametrize(
    ("html", "text", "behind"),
    [
        ("<body>x</body>", "#111111", "#ffffff"),
        ("<body><p>x</p></body>", "#222222", "#ffffff"),
        ("<body><div class='a'><div><p>x</p></div></div></body>", "#333333", "#ffffff"),
        ("<body><div><em>x</em></div></body>", "#444444", "#ffffff"),
        ("<body><div><b><em>x</em></b></div></body>", "#111111", "#ffffff"),
        ("<body><p class='b' style='color: #123456'>x</p></body>", "#555555", "#ffffff"),
        ("<body><p id='c' style='background-color: #abc'>x</p></body>", "#666666", "#aabbcc"),
        ("<body><p style='display: none'>x</p></body>", None, None),
    ],
)
def test_colors_follow_the_cascade(html: str, text: str | None, behind: str | None) -> None:
    found = [(pair.text, pair.behind) for pair in contrast.pairs(f"<html>{html}</html>", SHEET, "light")]
    assert found == ([(text, behind)] if text else [])
    dark = [pair.behind for pair in contrast.pairs("<html><body>x</body></html>", SHEET, "dark")]
    assert dark == ["#000000"]


def test_an_element_knows_what_it_is_in() -> None:
    page = css.elements("<html><body><p>One <b>two</b><br>three</p><p></p></body></html>")
    assert [(each.tag, each.parent.tag if each.parent else "", each.says) for each in page] == [
        ("html", "", False), ("body", "html", False), ("p", "body", True), ("b", "p", True), ("br", "p", False),
        ("p", "body", False),
    ]  # fmt: skip


MARKDOWN = """+++
# funnel: allow DS701: a name
subject = "s"
preview = "p" # funnel: allow DS701
+++
<!-- funnel: allow TX401, TX402: two at once -->

Text. <!-- funnel: allow TX501: why -->

# Heading
Last. <!-- not for us -->
"""


def test_a_silencer_covers_its_line_or_the_next_that_says_something() -> None:
    found = [(each.line, each.code, tuple(each.covers)) for each in of(File("a.md", MARKDOWN, "en"))]
    assert found == [
        (2, "DS701", (3, 3)), (4, "DS701", (4, 4)), (6, "TX401", (8, 8)), (6, "TX402", (8, 8)), (8, "TX501", (8, 8)),
    ]  # fmt: skip


def test_a_silencer_above_a_long_value_covers_all_of_it() -> None:
    text = '# funnel: allow TX501: a test\n# and a remark\nintro = """\none\ntwo\n"""\nother = "x"\n'
    assert [each.covers for each in of(File("a.toml", text, "en"))] == [Span(3, 6)]


def test_layouts_and_style_sheets_can_be_silenced_too() -> None:
    layout = "{# funnel: allow CO951: a test #}\n.head { color: #eee }\n"
    assert [each.covers for each in of(File("layout.html.j2", layout, "en"))] == [Span(2, 2)]
    assert [each.covers for each in of(File("a.css", "p { color: #eee } /* funnel: allow CO951 */", "en"))] == [
        Span(1, 1)
    ]
