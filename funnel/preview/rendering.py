"""Every mail and page of a draft, as the lint looks at them."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from funnel.core.lesson import Block, Source
from funnel.core.schedule import PACES
from funnel.core.sequence import Lesson
from funnel.flow import compose, specimen
from funnel.lint.lexicon import Settings, read_settings
from funnel.lint.subject import Rendered, Subject
from funnel.lint.texts import File
from funnel.lint.timing import lessons_by_file
from funnel.preview.draft import Draft
from funnel.settings import ROOT
from funnel.web import specimens
from funnel.web.pages import STATIC
from funnel.web.visit import Site

_TOOLS = ("lint.toml", "golden.json")
_CONTENT = (".toml", ".md", *_TOOLS)
_PAGE_FILES = {"landing": "landing.md", "how": "how.md", "privacy": "privacy.md", "support": "support.toml"}
LAYOUT = "emails/layout.html.j2"
_EVERY_MARKDOWN = """# One

## Two

### Three

Words, *more* of **them**, `code` and [a link](https://example.org/).

- an item

1. another

> A quote with [a link](https://example.org/).

---

| head | head |
|---|---|
| cell | cell |

    code
"""
# What no lesson may hold at the moment, and the next one could: the layout's colors are held to all of it.
EVERYTHING = Source(
    "Subject",
    "Preview",
    (
        *(Block(kind, "", _EVERY_MARKDOWN, 1) for kind in ("text", "practice", "checkin", "snippet")),
        Block("button", "", "[a link](https://example.org/)", 1),
    ),
)


class Unreadable(ValueError):
    """A file of the lint's own that cannot be read; `file` is its path."""

    def __init__(self, file: str, message: str) -> None:
        super().__init__(message)
        self.file = file


def subject(draft: Draft, site: Site) -> Subject:
    """Everything that the rules look at. Raises Unreadable."""
    words = Subject(draft.funnel, texts(draft))
    return Subject(
        draft.funnel,
        words.files,
        settings=_settings(draft),
        mails=list(mails(draft, lessons_by_file(words))),
        pages=list(pages(draft, site)),
        support_url=compose.support_url(draft.tools, draft.funnel),
        strays=list(_strays(draft)),
        respondents=_respondents(draft),
        sheets={"mail": _layout(draft.root), "page": _style()},
    )


def texts(draft: Draft) -> dict[str, File]:
    """The funnel's files, and the service mails where the folder has its own."""
    service = {
        path.relative_to(draft.root).as_posix(): path.read_bytes() for path in draft.root.glob("emails/service/*.md")
    }
    return {
        path: File(path, held.decode().removeprefix("\ufeff").replace("\r\n", "\n"), draft.funnel.locale)
        for path, held in {**draft.files, **service}.items()
    }


def traits_of(draft: Draft, pattern: str, lesson: Lesson) -> Iterator[dict[str, str]]:
    """The traits by which this lesson's readers get different mails; nobody's in particular first."""
    yield {}
    if "secondary" in lesson.source.traits:
        yield from ({"secondary": other} for other in draft.funnel.patterns if other != pattern)
    if "pace" in lesson.source.traits:
        yield from ({"pace": pace} for pace in PACES)


def mails(draft: Draft, files: Mapping[str, str]) -> Iterator[Rendered]:
    """In every language. `files` maps files to lesson keys."""
    by_key = {key: file for file, key in files.items()}
    for locale in draft.locales:
        funnel = draft.spoken(locale)
        for pattern in funnel.patterns.values():
            for lesson in pattern.lessons:
                for traits in traits_of(draft, pattern.key, lesson):
                    mail = specimen.lesson(draft.tools, funnel, draft.revision_id, lesson.key, traits)
                    name = " ".join([lesson.key, *(f"with {value}" for value in traits.values())])
                    yield Rendered(name, draft.beside(by_key.get(lesson.key, ""), locale), mail.html, mail.text)
        for kind in draft.tools.notices:
            mail = specimen.notice(draft.tools, funnel, draft.revision_id, kind)
            file = draft.beside(f"emails/service/{kind}.md", locale)
            yield Rendered(f"the {kind} mail", file, mail.html, mail.text)
    every = specimen.compiled(draft.tools, draft.funnel, EVERYTHING)
    yield Rendered("a mail with every kind of passage", LAYOUT, every.html, every.text)


def pages(draft: Draft, site: Site) -> Iterator[Rendered]:
    pattern = next(iter(draft.funnel.patterns))
    for locale in draft.locales:
        shown = specimens.Shown(draft.revision_id, draft.funnel, pattern, locale=locale)
        for name in filter(specimens.DOWNLOAD.__ne__, specimens.pages(draft.funnel)):
            file = draft.beside(page_file(draft, name, pattern), locale)
            yield Rendered(f"the page {name}", file, specimens.page(site, shown, name))


def page_file(draft: Draft, name: str, pattern: str) -> str:
    """Where most words of a page stand; those that are not the funnel's own are told of its funnel.toml."""
    files = {**_PAGE_FILES, "result": f"{pattern}.toml", "join": f"{pattern}.toml", "start": "quiz.toml"}
    is_quiz = name.startswith(("question-", "result-"))
    return f"sequences/{draft.funnel.name}/{files.get(name, 'quiz.toml' if is_quiz else 'funnel.toml')}"


def _settings(draft: Draft) -> Settings:
    path = f"sequences/{draft.funnel.name}/lint.toml"
    if not (draft.root / path).is_file():
        return Settings()
    try:
        return read_settings((draft.root / path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise Unreadable(path, str(error)) from None


def _respondents(draft: Draft) -> list[Mapping[str, Any]]:
    path = f"sequences/{draft.funnel.name}/golden.json"
    if not (draft.root / path).is_file():
        return []
    try:
        found = json.loads((draft.root / path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise Unreadable(path, f"is not JSON: {error}") from None
    if not isinstance(found, list) or not all(map(_is_respondent, found)):
        raise Unreadable(path, "holds a list of respondents, each with its answers: {question: answer}")
    return found


def _is_respondent(found: object) -> bool:
    answers = found.get("answers") if isinstance(found, dict) else None
    return isinstance(answers, dict) and all(isinstance(answer, str) for answer in answers.values())


def _strays(draft: Draft) -> Iterator[str]:
    for room in ("sequences", "emails"):
        for path in (draft.root / room / draft.funnel.name).rglob("*"):
            if path.is_file() and not path.name.endswith(_CONTENT) and not path.name.startswith("."):
                yield path.relative_to(draft.root).as_posix()


def _layout(root: Path) -> File:
    place = root if (root / LAYOUT).is_file() else ROOT
    return File(LAYOUT, (place / LAYOUT).read_text(encoding="utf-8"), "en")


@cache
def _style() -> File:
    path = STATIC / "style.css"
    return File(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"), "en")
