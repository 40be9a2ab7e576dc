"""The templates that a batch is written with, its envelope, and what differs from one recipient to the next."""

from typing import Any

from funnel.core import links
from funnel.core.delivery import Kind
from funnel.core.lesson import segment_traits
from funnel.core.links import Use
from funnel.core.sequence import Funnel
from funnel.flow.people import Person
from funnel.flow.tools import Tools
from funnel.mail.compile import Template
from funnel.mail.provider import Recipient
from funnel.store.tables import Record


def lesson(tools: Tools, funnel: Funnel, revision_id: str, key: str, segment: str) -> Template:
    """The mail of a lesson for a segment, compiled once."""
    found = funnel.lesson(key)
    assert found is not None, "a revision never changes: the lesson was there when the batch was planned"
    source = found[1].source
    statics = lesson_statics(tools, funnel)

    def compile_now() -> Template:
        known = frame(tools, funnel, Kind.LESSON)
        traits = segment_traits(segment)
        return tools.layouts.compile(source, traits, statics, known, educator=funnel.educator.complete)

    return tools.template(revision_id, key, segment, compile_now)


def notice(tools: Tools, funnel: Funnel, revision_id: str, kind: str) -> Template:
    """A service mail of this kind."""
    statics = {"title": funnel.title, "support_url": support_url(tools, funnel)}

    def compile_now() -> Template:
        return tools.layouts.compile(tools.notices[kind], {}, statics, frame(tools, funnel, Kind.NOTICE))

    return tools.template(revision_id, f"notice {kind}", "", compile_now)


def lesson_recipient(tools: Tools, template: Template, domain: str, row: Record, person: Person) -> Recipient:
    """What `template` asks of this reader. `row` is the delivery: id and position; `domain` is the sender's."""
    key, id_ = tools.keyring.link_key, row.id
    leave = f"{tools.base_url}/{Use.UNSUBSCRIBE}/{links.token(key, Use.UNSUBSCRIBE, id_)}"
    values = {"first_name": person.first_name, "unsubscribe_url": leave}
    for name, use in (("read_url", Use.READ), ("choose_url", Use.CHOOSE)):
        if name in template.names:
            values[name] = f"{tools.base_url}/{use}/{links.token(key, use, id_)}"
    return Recipient(
        f"lesson-{id_:08}",
        person.address,
        # Stable across attempts; tells nothing but that it is ours.
        f"<{links.token(key, Use.LESSON_ID, id_)}@{domain}>",
        values,
        {"List-Unsubscribe": f"<{leave}>"},
        row.position,
    )


def notice_recipient(tools: Tools, domain: str, row: Record, person: Person) -> Recipient:
    """`row` is the notice: id, created_ms and position."""
    key = tools.keyring.link_key
    confirm = f"{tools.base_url}/{Use.CONFIRM}/{links.confirm_token(key, row.id, row.created_ms)}"
    return Recipient(
        f"notice-{row.id:08}",
        person.address,
        f"<{links.token(key, Use.NOTICE_ID, row.id)}@{domain}>",
        {"first_name": person.first_name, "confirm_url": confirm},
        {},
        row.position,
    )


def lesson_statics(tools: Tools, funnel: Funnel) -> dict[str, str]:
    """The fields whose value is the same for every reader."""
    educator = {f"educator_{name}": value for name, value in vars(funnel.educator).items()}
    return {"quiz_url": f"{tools.base_url}/{funnel.slug}/start", "support_url": support_url(tools, funnel), **educator}


def frame(tools: Tools, funnel: Funnel, kind: Kind) -> dict[str, Any]:
    """What the layouts know beside the body."""
    return {
        "kind": kind,
        "title": funnel.title,
        "locale": funnel.locale,
        "controller": funnel.controller,
        "replies": funnel.sender.replies,
        "support_url": support_url(tools, funnel),
        "privacy_url": f"{tools.base_url}/{funnel.slug}/privacy",
    }


def support_url(tools: Tools, funnel: Funnel) -> str:
    return f"{tools.base_url}/{funnel.slug}/support"


def envelope(funnel: Funnel, kind: Kind) -> dict[str, Any]:
    """The sender and the headers that a whole batch shares. They name nothing but the funnel's neutral title."""
    headers = {"Auto-Submitted": "auto-generated"}
    if kind == Kind.LESSON:
        headers["List-Id"] = f"<{funnel.slug}.{domain_of(funnel)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return {"sender_name": funnel.sender.name, "sender_address": funnel.sender.address, "headers": headers}


def domain_of(funnel: Funnel) -> str:
    """The sender's domain, which List-Id and Message-IDs end with."""
    return funnel.sender.address.rpartition("@")[2]
