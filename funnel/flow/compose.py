"""The templates that a batch is written with, and what stands on its envelope."""

from typing import Any

from funnel.core.delivery import Kind
from funnel.core.lesson import segment_traits
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.mail.compile import Template
from funnel.store.tables import Record


def compose_lesson(tools: Tools, funnel: Funnel, row: Record) -> Template:
    """The mail of a batch's lesson for its segment, compiled once. `row` has revision_id, lesson_key and segment."""
    found = funnel.lesson(row.lesson_key)
    assert found is not None, "a revision never changes: the lesson was there when the batch was planned"
    source = found[1].source
    traits = segment_traits(row.segment)
    statics = lesson_statics(tools, funnel)

    def compile_now() -> Template:
        known = frame(tools, funnel, Kind.LESSON)
        return tools.layouts.compile(source, traits, statics, known, educator=funnel.educator.complete)

    return tools.template(row.revision_id, row.lesson_key, row.segment, compile_now)


def compose_notice(tools: Tools, funnel: Funnel, row: Record) -> Template:
    """A service mail of the kind that `row.segment` names."""
    statics = {"title": funnel.title, "support_url": support_url(tools, funnel)}

    def compile_now() -> Template:
        return tools.layouts.compile(tools.notices[row.segment], {}, statics, frame(tools, funnel, Kind.NOTICE))

    return tools.template(row.revision_id, f"notice {row.segment}", "", compile_now)


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
    domain = funnel.sender.address.rpartition("@")[2]
    headers = {"Auto-Submitted": "auto-generated"}
    if kind == Kind.LESSON:
        headers["List-Id"] = f"<{funnel.slug}.{domain}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return {"sender_name": funnel.sender.name, "sender_address": funnel.sender.address, "headers": headers}
