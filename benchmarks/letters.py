"""Real mails to measure with: the shipped lesson of middling length, to as many readers as wanted."""

from typing import Any

from funnel.core import links
from funnel.core.delivery import Kind
from funnel.core.lesson import segment
from funnel.core.links import Use
from funnel.core.sequence import Funnel
from funnel.flow import compose
from funnel.flow.tools import Tools
from funnel.mail.compile import Template
from funnel.mail.provider import Mailing, Recipient
from funnel.store.db import reading
from tests.conftest import NAME

UID = "0123456789abcdef0123456789abcdef"
LINKS = {"read_url": Use.READ, "unsubscribe_url": Use.UNSUBSCRIBE, "choose_url": Use.CHOOSE}


def mailing(tools: Tools, count: int, now_ms: int) -> Mailing:
    """A batch of that lesson to `count` readers without a secondary pattern, as the service hands it over."""
    with reading(tools.engine) as connection:
        revision_id, funnel = tools.current(connection)[NAME]
    envelope: dict[str, Any] = compose.envelope(funnel, Kind.LESSON)
    template = _middling(tools, revision_id, funnel)
    readers = tuple(_reader(tools, template, place) for place in range(count))
    return Mailing(uid=UID, template=template, recipients=readers, date_ms=now_ms, **envelope)


def own_links(template: Template) -> list[Use]:
    """The links of this mail that differ from reader to reader."""
    return [use for name, use in LINKS.items() if name in {field.name for field in template.fields}]


def _reader(tools: Tools, template: Template, place: int) -> Recipient:
    key, id_ = tools.keyring.link_key, 3_000_000 + place
    urls = {
        name: f"{tools.base_url}/{use}/{links.token(key, use, id_)}"
        for name, use in LINKS.items()
        if use in own_links(template)
    }
    return Recipient(
        key=f"lesson-{id_:08}",
        address=f"reader.{place}@mail{place % 40}.example.org",
        message_id=f"<{links.token(key, Use.LESSON_ID, id_)}@example.org>",
        values={"first_name": f"Reader {place}", **urls},
        headers={"List-Unsubscribe": f"<{urls['unsubscribe_url']}>"},
        place=place,
    )


def _middling(tools: Tools, revision_id: str, funnel: Funnel) -> Template:
    templates = [
        compose.lesson(tools, funnel, revision_id, lesson.key, segment(lesson.source, {}))
        for pattern in funnel.patterns.values()
        for lesson in pattern.lessons
    ]
    templates.sort(key=lambda template: len(template.html.join({})))
    return templates[len(templates) // 2]
