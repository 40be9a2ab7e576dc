"""A mail as one invented reader would get it, through the code that makes the real ones. Nobody's links are in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from funnel.core.delivery import Kind
from funnel.core.lesson import Source, fill, segment
from funnel.core.notice import READY
from funnel.core.sequence import Funnel
from funnel.flow import compose
from funnel.flow.tools import Tools
from funnel.mail.compile import Template, escape_html

FIRST_NAME = "Alex"
NOWHERE = "/t"  # the page that says: this link came with a test
OWN_LINKS = ("read_url", "unsubscribe_url", "choose_url", "confirm_url", "data_url")


@dataclass(frozen=True)
class Specimen:
    """One mail, whole: `preview` is what an inbox shows beside the subject."""

    subject: str
    preview: str
    html: str
    text: str


def lesson(tools: Tools, funnel: Funnel, revision_id: str, key: str, traits: Mapping[str, str]) -> Specimen:
    """A lesson for a reader with these traits ("secondary", "pace"). Raises LookupError when there is none."""
    return _filled(tools, funnel, *lesson_template(tools, funnel, revision_id, key, traits))


def lesson_template(
    tools: Tools, funnel: Funnel, revision_id: str, key: str, traits: Mapping[str, str]
) -> tuple[Template, str]:
    """The compiled mail, and its preview line before the fields are filled."""
    found = funnel.lesson(key)
    if not found:
        raise LookupError("no such lesson")
    name = segment(found[1].source, traits, link_only=funnel.link_only)
    shown = tools.notice(READY, funnel.locale) if funnel.link_only else found[1].source
    return compose.lesson(tools, funnel, revision_id, key, name), shown.preview


def notice(tools: Tools, funnel: Funnel, revision_id: str, kind: str) -> Specimen:
    """A service mail."""
    template = compose.notice(tools, funnel, revision_id, tools.notice_segment(kind, funnel.locale))
    return _filled(tools, funnel, template, tools.notice(kind, funnel.locale).preview)


def compiled(tools: Tools, funnel: Funnel, source: Source) -> Specimen:
    """A mail that belongs to no sequence, in the frame of the lessons."""
    known = compose.frame(tools, funnel, Kind.LESSON)
    return _filled(tools, funnel, tools.layouts.compile(source, {}, {}, known), source.preview)


def values(tools: Tools, first_name: str = FIRST_NAME) -> dict[str, str]:
    """What differs from reader to reader: a name, and links that lead nowhere."""
    return {"first_name": first_name, **dict.fromkeys(OWN_LINKS, f"{tools.base_url}{NOWHERE}")}


def _filled(tools: Tools, funnel: Funnel, template: Template, preview: str) -> Specimen:
    known = values(tools)
    return Specimen(
        template.subject.join(known),
        fill(preview, {**known, "title": funnel.title}),
        template.html.join(known, escape_html),
        template.text.join(known),
    )
