"""A lesson as a page: the same blocks as in the mail, without anything personal but the reader's own links."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from funnel.core import links
from funnel.core.lesson import event_label, fill, segment_traits, visible
from funnel.core.links import Use
from funnel.core.sequence import Funnel
from funnel.flow import compose
from funnel.flow.tools import Tools
from funnel.markdown import to_html
from funnel.store import deliveries, reached, subscribers
from funnel.store.db import reading


class Shown(NamedTuple):
    """A block of a lesson: sanitized HTML; or the words of a button, with the event it stands for."""

    kind: str
    html: str
    event: str = ""
    reached: bool = False


@dataclass(frozen=True)
class LessonPage:
    """`blocks` are (kind, sanitized HTML). The lesson is in `locale`, its reader in `reader_locale`."""

    funnel: Funnel
    locale: str
    reader_locale: str
    subject: str
    blocks: list[Shown]


def is_over(tools: Tools, delivery_id: int, lasts_ms: int, now_ms: int) -> bool:
    """Whether a lesson's own links have lasted so long. The mail does not say: the delivery knows when it was due."""
    with reading(tools.engine) as connection:
        due_ms = deliveries.due_of(connection, delivery_id)
    return bool(due_ms) and now_ms - due_ms > lasts_ms


def lesson_page(tools: Tools, delivery_id: int) -> LessonPage | None:
    """The lesson of a delivery, in the revision and segment in which it was sent; None when there is no such thing."""
    with reading(tools.engine) as connection:
        sent = deliveries.by_id(connection, delivery_id)
        if not sent or not sent.lesson_key or not subscribers.key_of(connection, sent.subscriber_id):
            return None
        reader = subscribers.by_id(connection, sent.subscriber_id)
        funnel = tools.funnel(connection, sent.revision_id)
        pressed = reached.of(connection, [sent.enrollment_id]).get(sent.enrollment_id, {})
    choose = links.token(tools.keyring.link_key, Use.CHOOSE, delivery_id)
    traits = segment_traits(sent.segment)
    locale = reader.locale if reader else ""
    found = page_of(tools, funnel, sent.lesson_key, traits, f"/{Use.CHOOSE}/{choose}", locale, pressed)
    assert found is not None, "a revision never changes"
    return found


def page_of(
    tools: Tools,
    funnel: Funnel,
    key: str,
    traits: Mapping[str, str],
    choose_url: str,
    reader_locale: str,
    pressed: Container[str] = (),
) -> LessonPage | None:
    """The lesson of that key as readers with these traits see it, who have `pressed` the buttons of these events.

    None when there is none.
    """
    spoken = funnel.read_in(traits.get("locale", ""))
    found = spoken.lesson(key)
    if not found:
        return None
    source = found[1].source
    # The name stays out: a forwarded link should not tell whose it was. Its fallback stands in.
    values = {**compose.lesson_statics(tools, spoken), "first_name": "", "choose_url": choose_url}
    blocks = [
        Shown(block.kind, event_label(block), block.argument, block.argument in pressed)
        if block.kind == "event"
        else Shown(block.kind, to_html(fill(block.markdown, values)))
        for block in visible(source.blocks, traits, funnel.educator.complete)
    ]
    return LessonPage(funnel, spoken.locale, reader_locale, fill(source.subject, values), blocks)
