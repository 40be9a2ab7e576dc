"""A lesson as a page: the same blocks as in the mail, without anything personal but the reader's own links."""

from dataclasses import dataclass
from typing import NamedTuple

from funnel.core import links
from funnel.core.lesson import event_label, fill, segment_traits, visible
from funnel.core.links import Use
from funnel.core.sequence import Funnel
from funnel.flow.compose import lesson_statics
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
    funnel: Funnel
    subject: str
    blocks: list[Shown]


def lesson_page(tools: Tools, delivery_id: int) -> LessonPage | None:
    """The lesson of a delivery, in the revision and segment in which it was sent; None when there is no such thing."""
    with reading(tools.engine) as connection:
        sent = deliveries.by_id(connection, delivery_id)
        if not sent or not sent.lesson_key or not subscribers.key_of(connection, sent.subscriber_id):
            return None
        funnel = tools.funnel(connection, sent.revision_id)
        pressed = reached.of(connection, [sent.enrollment_id]).get(sent.enrollment_id, {})
    found = funnel.lesson(sent.lesson_key)
    assert found is not None, "a revision never changes"
    source = found[1].source
    choose = links.token(tools.keyring.link_key, Use.CHOOSE, delivery_id)
    # The name stays out: a forwarded link should not tell whose it was. Its fallback stands in.
    values = {**lesson_statics(tools, funnel), "first_name": "", "choose_url": f"/{Use.CHOOSE}/{choose}"}
    blocks = [
        Shown(block.kind, event_label(block), block.argument, block.argument in pressed)
        if block.kind == "event"
        else Shown(block.kind, to_html(fill(block.markdown, values)))
        for block in visible(source.blocks, segment_traits(sent.segment), funnel.educator.complete)
    ]
    return LessonPage(funnel, fill(source.subject, values), blocks)
