"""What the service itself says, in every language that it speaks; and dates and numbers as they are written there.

The texts are in English where they are used, in templates and code; `<language>.po` beside this file holds the others.
"""

import gettext
from datetime import date
from functools import cache
from io import BytesIO
from pathlib import Path

from jinja2 import Environment

from funnel.core.locale import language

HERE = Path(__file__).parent
SOURCE = "en"


def known() -> tuple[str, ...]:
    """The languages that the service speaks."""
    return tuple(sorted({SOURCE, *(path.stem for path in HERE.glob("*.po"))}))


def is_known(locale: str) -> bool:
    return language(locale) in known()


def later(text: str) -> str:
    """Marks a text that is translated where it is shown."""
    return text


def speak(environment: Environment, locale: str) -> None:
    """Lets the templates of this environment speak `locale`: `_()`, {% trans %}, and the filters day and percent."""
    environment.add_extension("jinja2.ext.i18n")
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(texts(locale), newstyle=True)  # type: ignore[attr-defined]
    environment.filters["day"] = lambda value: day(value, locale)
    environment.filters["percent"] = lambda value: percent(value, locale)


@cache
def texts(locale: str) -> gettext.NullTranslations:
    """The catalog for a locale. What is not in it stays English."""
    path = HERE / f"{language(locale)}.po"
    if path.parent != HERE or not path.is_file():
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo  # only for who speaks something else than English
    from babel.messages.pofile import read_po

    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def day(value: date, locale: str) -> str:
    """A date as people write it: 24. März 2027."""
    from babel.dates import format_date

    return format_date(value, "long", locale=_babel(locale))


def percent(value: int, locale: str) -> str:
    """A whole percentage as people write it: 46 %."""
    from babel.numbers import format_percent

    return format_percent(value / 100, locale=_babel(locale))


@cache
def own_name(locale: str) -> str:
    """What a language calls itself: Deutsch."""
    from babel import Locale

    found = Locale.parse(_babel(locale), sep="_").get_display_name()
    return found[:1].upper() + found[1:] if found else locale


def _babel(locale: str) -> str:
    """The name under which Babel knows a locale; the service's own language for one that nobody knows."""
    from babel import Locale, UnknownLocaleError

    for name in (locale.replace("-", "_"), language(locale)):
        try:
            return str(Locale.parse(name))
        except (UnknownLocaleError, ValueError):
            continue
    return SOURCE
