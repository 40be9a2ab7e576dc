"""What tells the topic is found at its line, in every language of a funnel: in mails, headers, links and paths."""

import re
from dataclasses import replace

import pytest

from funnel.lint import discreet
from funnel.lint.finding import Finding
from funnel.lint.lint import lint
from funnel.lint.texts import File
from tests.example.kitchen import FUNNEL, LANDING, MEET, PLANNER, SAFETY
from tests.lint.kitchens import subject
from tests.test_translations import HEAD, HERE, LESSON, PAGE, PATTERN, with_german

SPOKEN_HEAD, SPOKEN_MEET = f"{HERE}funnel.de.toml", MEET.replace(".md", ".de.md")
SPOKEN_LANDING, SPOKEN_PLANNER = f"{HERE}landing.de.md", f"{HERE}planner.de.toml"
CONFIRM, SPOKEN_CONFIRM = "emails/service/confirm.md", "emails/service/confirm.de.md"
NOTICE = '+++\nsubject = "{{ title }}"\npreview = "One press."\n+++\nHello.\n\n[Confirm]({{ confirm_url }})\n'
FILES = {
    **with_german(**{
        SPOKEN_HEAD: HEAD,
        SPOKEN_MEET: LESSON,
        SPOKEN_LANDING: PAGE,
        SPOKEN_PLANNER: PATTERN,
        SAFETY.replace(".md", ".de.md"): "Vorsicht.",
    }),
    CONFIRM: NOTICE.encode(),
    SPOKEN_CONFIRM: NOTICE.encode(),
}  # fmt: skip

# Which file, what in it is replaced by what, and under which code the line is found that holds the new text.
CASES = [
    (MEET, "Note 1 of 2: the list", "Your desires", "DS701"),
    (MEET, "Note 1 of 2: the list", "Your plan", ""),
    (MEET, "Note 1 of 2: the list", "What planners do", "DS701"),
    (MEET, "What the list is for.", "An intimate list.", "DS701"),
    (SPOKEN_MEET, "Notiz 1", "Deine Lust", "DS701"),
    (SPOKEN_MEET, "Notiz 1", "Lust auf Suppe?", ""),
    (SPOKEN_MEET, "Notiz 1", "Dein Sexualleben", "DS701"),
    (SPOKEN_MEET, "Notiz 1", "Für den Plan", "DS701"),
    (SPOKEN_MEET, "Notiz 1", "Für planner", "DS701"),
    (SPOKEN_MEET, "Eine Zeile.", "Über Küsse.", "DS701"),
    (FUNNEL, 'name = "Kitchen Notes"', 'name = "Intimacy Notes"', "DS701"),
    (FUNNEL, 'title = "Kitchen Notes"', 'title = "Therapy Notes"', "DS702"),
    (FUNNEL, "2 Oven Lane", "House of Erotic Arts", "DS701"),
    (FUNNEL, 'slug = "kitchen"', 'slug = "sex-kitchen"', "DS702"),
    (FUNNEL, 'slug = "kitchen"', 'slug = "liebesleben"', "DS702"),
    (FUNNEL, 'slug = "kitchen"', 'slug = "essex-kitchen"', ""),
    (FUNNEL, "kitchen@example.org", "kitchen@sexualberatung.example.org", "DS702"),
    (FUNNEL, "https://www.wikipedia.org/", "https://en.wikipedia.org/wiki/Erotica", "DS703"),
    (SPOKEN_HEAD, '[sender]\nname = "Küchennotizen"', '[sender]\nname = "Intime Notizen"', "DS701"),
    (SPOKEN_HEAD, 'title = "Küchennotizen"', 'title = "Erotische Notizen"', "DS702"),
    (SPOKEN_HEAD, 'title = "Küchennotizen"', 'title = "Notizen"\nleave_to = "https://example.org/libido"', "DS703"),
    (LANDING, '"How do you cook?"', '"Your erotic kitchen"', "DS702"),
    (SPOKEN_LANDING, '"Kochen"', '"Kochen nach einem Trauma"', "DS702"),
    (MEET, "A list is a letter", "[Buy](https://example.org/erotic-cooking) a list", "DS703"),
    (MEET, "A list is a letter", "[Buy](https://example.org/?q=er%6Ftic) a list", "DS703"),
    (MEET, "A list is a letter", "<https://sex.example.org/> a list", "DS703"),
    (MEET, "A list is a letter", "[Write](mailto:bob@example.org?subject=my%20libido) a list", "DS703"),
    (MEET, "A list is a letter", "[Buy][1] a list\n\n[1]: https://example.org/naked\n\nA list", "DS703"),
    (SPOKEN_MEET, "Hallo", "[Lesen](https://example.org/missbrauch)\n\nHallo", "DS703"),
    (SPOKEN_PLANNER, 'promise = "Ein Satz."', 'promise = "[Mehr](https://example.org/sexuell)"', "DS703"),
    (CONFIRM, "One press.", "Your therapy.", "DS701"),
    (CONFIRM, "Hello.", "You took a quiz about sex.", "DS701"),
    (SPOKEN_CONFIRM, "Hello.", "Du hast gefragt, wie du küsst.", "DS701"),
]  # fmt: skip


def examined(path: str, old: str, new: str) -> list[Finding]:
    text = FILES[path].decode()
    assert old in text, "the example has changed: this changes nothing"
    files = {**FILES, path: text.replace(old, new, 1).encode()}
    return [one for one in lint(subject(files)) if one.code.startswith("DS")]


@pytest.mark.parametrize(("path", "old", "new", "code"), CASES, ids=range(len(CASES)))
def test_whatever_tells_the_topic_is_found_at_its_line(path: str, old: str, new: str, code: str) -> None:
    found = examined(path, old, new)
    assert [(one.file, one.code) for one in found] == [(path, code)] * bool(code)
    if code:
        told = re.findall("“(.*)”", found[0].reason)[0]
        row = FILES[path].decode().replace(old, new, 1).split("\n")[found[0].line - 1]
        assert told.lower() in row.lower().replace("%6f", "o")


def test_the_example_in_two_languages_tells_nothing() -> None:
    assert [one for one in lint(subject(FILES)) if one.code.startswith("DS")] == []


def test_an_event_stands_in_the_address_of_its_button() -> None:
    files = {path: held.replace(b"event cooked", b"event orgasm") for path, held in FILES.items()}
    files[PLANNER] = files[PLANNER].replace(b'until = "cooked"', b'until = "orgasm"')
    found = list(discreet.addresses(subject(files)))
    assert [(one.code, one.reason) for one in found] == [("DS702", "“orgasm” in the event tells the topic")]
    assert "::: event orgasm" in files[found[0].file].decode().split("\n")[found[0].line - 1]


def test_the_address_of_every_page_is_looked_at() -> None:
    one = replace(subject(FILES), support_url="https://erotic.example.org/kitchen/support")
    assert [(each.file, each.code) for each in discreet.addresses(one)] == [("FUNNEL_BASE_URL", "DS702")]


def test_a_main_file_in_another_language_is_known_by_its_name() -> None:
    assert File("a/funnel.de.toml", "", "en").main_path == "a/funnel.toml"
    assert File("a/01-meet.pt-BR.md", "", "en").main_path == "a/01-meet.md"
    assert File("a/01-meet.md", "", "en").main_path == "a/01-meet.md"
