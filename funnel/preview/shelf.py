"""Everything of a funnel that can be looked at, by kind and name, and each of it rendered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from funnel.core.sequence import Funnel
from funnel.flow import specimen
from funnel.flow.specimen import Specimen
from funnel.lint.subject import Subject
from funnel.lint.timing import lessons_by_file
from funnel.preview.draft import Draft
from funnel.preview.rendering import page_file, texts
from funnel.web import specimens
from funnel.web.visit import Site

PAGE, LESSON, READ, NOTICE = "page", "lesson", "read", "notice"
KINDS = (LESSON, NOTICE, PAGE, READ)


@dataclass(frozen=True)
class Item:
    """`file` is where most of its words stand; `title` is what an author calls it."""

    kind: str
    name: str
    title: str
    file: str


@dataclass(frozen=True)
class Wanted:
    """For whom: the result, pace and language of an invented reader."""

    pattern: str
    locale: str
    secondary: str | None = None
    pace: str = "as-written"

    @property
    def traits(self) -> Mapping[str, str]:
        return {"pace": self.pace, **({"secondary": self.secondary} if self.secondary else {})}


def items(draft: Draft, pattern: str, locale: str) -> Iterator[Item]:
    """Pages, service mails, and the lessons of one pattern, each as mail and as page."""
    for item in _items(draft, pattern, draft.spoken(locale)):
        yield replace(item, file=draft.beside(item.file, locale))


def _items(draft: Draft, pattern: str, funnel: Funnel) -> Iterator[Item]:
    files = {key: file for file, key in lessons_by_file(Subject(draft.funnel, texts(draft))).items()}
    for lesson in funnel.patterns[pattern].lessons:
        yield Item(LESSON, lesson.key, lesson.source.subject, files.get(lesson.key, ""))
    for lesson in funnel.patterns[pattern].lessons:
        yield Item(READ, lesson.key, lesson.source.subject, files.get(lesson.key, ""))
    for kind in draft.tools.notices:
        yield Item(NOTICE, kind, kind.capitalize(), f"emails/service/{kind}.md")
    for name in specimens.pages(funnel):
        yield Item(PAGE, name, _title(name), page_file(draft, name, pattern))


def mail(draft: Draft, item_kind: str, name: str, wanted: Wanted) -> Specimen | None:
    """The mail, where the item is one. Raises LookupError."""
    if item_kind == LESSON:
        return specimen.lesson(draft.tools, draft.spoken(wanted.locale), draft.revision_id, name, wanted.traits)
    if item_kind == NOTICE and name in draft.tools.notices:
        return specimen.notice(draft.tools, draft.spoken(wanted.locale), draft.revision_id, name)
    return None


def html(site: Site, draft: Draft, item_kind: str, name: str, wanted: Wanted) -> str:
    """The item's HTML. Raises LookupError."""
    if found := mail(draft, item_kind, name, wanted):
        return found.html
    shown = specimens.Shown(draft.revision_id, draft.funnel, wanted.pattern, wanted.secondary, wanted.locale)
    if item_kind == READ:
        return specimens.lesson(site, shown, name, wanted.traits)
    if item_kind == PAGE:
        return specimens.page(site, shown, name)
    raise LookupError("no such mail")


def _title(page: str) -> str:
    separator = " " if page.startswith("question-") else ": "
    return page.replace("-", separator, 1).replace("-", " ").capitalize()
