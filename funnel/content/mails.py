"""Lessons, service mails, snippets and pages: front matter and Markdown."""

import re
from collections.abc import Iterator, Mapping

from funnel.content.files import locale_of
from funnel.content.forms import MailForm, PageForm
from funnel.content.kinds import LONGEST_KEY
from funnel.content.texts import Texts
from funnel.core.lesson import (
    EDUCATOR_FIELDS,
    PERSONAL_FIELDS,
    Block,
    Problem,
    Source,
    event_link,
    field_problems,
    parse_blocks,
)
from funnel.core.schedule import PACES
from funnel.core.sequence import Page

_NAME = re.compile(rf"[a-z0-9-]{{1,{LONGEST_KEY}}}")
_LABEL = re.compile(r"[^\n\[\](){}<>*_`#\\]+")
PAGE_FIELDS = frozenset({"quiz_url", "support_url"})
SNIPPET_FIELDS = frozenset({"support_url"})
SUBJECT_FIELDS = PERSONAL_FIELDS | {"title"}


def read_mail(
    texts: Texts, path: str, known: frozenset[str], others: frozenset[str], snippets: Mapping[str, str]
) -> Source | None:
    """A mail that may use the fields `known`, whose readers may have one of `others` as their secondary pattern."""
    read = texts.front_matter(path, MailForm)
    if not read:
        return None
    head, body, before = read
    blocks, problems = parse_blocks(body)
    for block in blocks:
        problems += _argument_problems(block, others, snippets)
        allowed = known | EDUCATOR_FIELDS if block.kind == "educator" else known
        texts.markdown(path, block.markdown, allowed, block.line + before)
    for problem in problems:
        texts.problem(path, f"line {problem.line + before}", problem.message)
    if not head:
        return None
    for name, line in (("subject", head.subject), ("preview", head.preview)):
        for problem in field_problems(line, known & SUBJECT_FIELDS):
            texts.problem(path, name, problem.message)
    return Source(head.subject, head.preview, tuple(_filled(block, snippets) for block in blocks))


def read_snippets(texts: Texts, folder: str, locale: str = "") -> dict[str, str]:
    """name → Markdown of the shared passages in `folder`, in the main language or in another."""
    found = {}
    for path in texts.files:
        if not path.startswith(folder) or not path.endswith(".md") or locale_of(path) != locale:
            continue
        if not locale or path.replace(f".{locale}.md", ".md") in texts.files:
            text = texts.text(path) or ""
            texts.markdown(path, text, SNIPPET_FIELDS, 1)
            found[path.removeprefix(folder).removesuffix(".md").removesuffix(f".{locale}")] = text.strip()
    if "safety" not in found and not locale:
        texts.problem(f"{folder}safety.md", "", "is missing: every result page shows it")
    return found


def read_page(texts: Texts, path: str) -> Page | None:
    read = texts.front_matter(path, PageForm)
    if not read:
        return None
    head, body, before = read
    texts.markdown(path, body, PAGE_FIELDS, before + 1)
    return Page(head.title, head.description, body.strip()) if head else None


def _filled(block: Block, snippets: Mapping[str, str]) -> Block:
    """The block as mails show it: a snippet's text, and the way to an event's button, which is on the lesson's page."""
    shown = block.markdown
    if block.kind == "snippet":
        shown = snippets.get(block.argument, "")
    elif block.kind == "event":
        shown = event_link(block.markdown)
    return Block(block.kind, block.argument, shown, block.line)


def _argument_problems(block: Block, others: frozenset[str], snippets: Mapping[str, str]) -> Iterator[Problem]:
    opening = block.line - 1
    if block.kind == "secondary" and block.argument not in others:
        yield Problem(opening, f"secondary {block.argument!r} can never be; use {', '.join(sorted(others))}")
    if block.kind == "pace" and block.argument not in PACES:
        yield Problem(opening, f"there is no pace {block.argument!r}; use {', '.join(PACES)}")
    if block.kind == "event" and (not _NAME.fullmatch(block.argument) or not _LABEL.fullmatch(block.markdown)):
        rule = f"an event has a lower-case name of at most {LONGEST_KEY} letters"
        yield Problem(opening, f"{rule}, and one line of plain words for its button")
    if block.kind == "snippet" and block.argument not in snippets:
        yield Problem(opening, f"there is no snippets/{block.argument}.md")
