"""The service's own words: every language has all of them, and nothing else."""

import re
from collections.abc import Sequence
from datetime import date

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from funnel import language
from tests.conftest import ROOT

METHODS = [("**.py", "python"), ("**.html", "jinja2"), ("**.j2", "jinja2")]
OPTIONS = {pattern: {"trimmed": "true", "silent": "false"} for pattern, method in METHODS if method == "jinja2"}
KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "gettext": None, "ngettext": (1, 2), "later": None}
OTHERS = [name for name in language.known() if name != language.SOURCE]


def said() -> set[str | tuple[str, ...]]:
    """Every text that the code, the pages and the layouts of mails show."""
    folders = (ROOT / "funnel", ROOT / "emails")
    return {
        found[2] for folder in folders for found in extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS) if found[2]
    }


def catalog(name: str) -> Catalog:
    with (ROOT / f"funnel/language/{name}.po").open("rb") as file:
        return read_po(file)


def fields(text: str) -> list[str]:
    return sorted(set(re.findall(r"%\((\w+)\)s", text)))


def tags(text: str) -> list[str]:
    return sorted(re.findall(r"</?\w+", text))


def forms(text: str | Sequence[str] | None) -> list[str]:
    """A text by number: singular and plural, where it has both."""
    return [text] if isinstance(text, str) else list(text or ())


@pytest.mark.parametrize("name", OTHERS)
def test_a_catalog_holds_exactly_what_the_service_says(name: str) -> None:
    held = {message.id for message in catalog(name) if message.id}
    assert sorted(map(str, said() - held)) == []
    assert sorted(map(str, held - said())) == []


@pytest.mark.parametrize("name", OTHERS)
def test_every_text_is_translated_with_the_same_fields_and_tags(name: str) -> None:
    for message in catalog(name):
        if not message.id:
            continue
        assert not message.fuzzy, message.id
        for source, spoken in zip(forms(message.id), forms(message.string), strict=True):
            assert spoken.strip(), source
            assert (fields(spoken), tags(spoken)) == (fields(source), tags(source)), source


def test_dates_and_percentages_are_written_as_people_write_them() -> None:
    day = date(2027, 3, 24)
    assert [language.day(day, locale) for locale in ("en", "de", "de-at", "nonsense")] == [
        *("March 24, 2027", "24. März 2027", "24. März 2027", "March 24, 2027"),
    ]
    assert [language.percent(46, locale) for locale in ("en", "de")] == ["46%", "46\xa0%"]


def test_a_language_calls_itself_by_its_own_name() -> None:
    assert [language.own_name(locale) for locale in ("en", "de")] == ["English", "Deutsch"]


@pytest.mark.parametrize("locale", ["en", "fr", "", "../../etc/passwd", "de/../../x"])
def test_what_nobody_has_translated_stays_english(locale: str) -> None:
    assert language.texts(locale).gettext("Privacy") == "Privacy"
