"""The templates that a batch is written with, its envelope, and what differs from one recipient to the next."""

from collections.abc import Mapping, Sequence
from typing import Any

from funnel.core import links
from funnel.core.delivery import Kind
from funnel.core.lesson import is_link_only, segment_traits
from funnel.core.links import Use
from funnel.core.notice import ERRANDS, READY
from funnel.core.sequence import Funnel
from funnel.flow.people import Person
from funnel.flow.tools import Tools
from funnel.mail.compile import Template
from funnel.mail.provider import Recipient, Recipients
from funnel.store.tables import Record

OWN_LINKS = {"read_url": Use.READ, "unsubscribe_url": Use.UNSUBSCRIBE, "choose_url": Use.CHOOSE}


def lesson(tools: Tools, funnel: Funnel, revision_id: str, key: str, segment: str) -> Template:
    """The mail of a lesson for a segment, compiled once; of all lessons once where it is only a link."""
    if is_link_only(segment):
        locale = segment_traits(segment).get("locale", "")
        return notice(tools, funnel, revision_id, tools.notice_segment(READY, locale))
    funnel = spoken(funnel, segment)
    found = funnel.lesson(key)
    assert found is not None, "a revision never changes: the lesson was there when the batch was planned"
    source = found[1].source
    statics = lesson_statics(tools, funnel)

    def compile_now() -> Template:
        known = frame(tools, funnel, Kind.LESSON)
        traits = segment_traits(segment)
        return tools.layouts.compile(source, traits, statics, known, educator=funnel.educator.complete)

    return tools.template(revision_id, key, segment, compile_now)


def spoken(funnel: Funnel, segment: str) -> Funnel:
    """The funnel in the language of a batch's segment. A mail is wholly in one language."""
    return funnel.read_in(segment_traits(segment).get("locale", ""))


def notice(tools: Tools, funnel: Funnel, revision_id: str, segment: str) -> Template:
    """The service mail of a segment, such as "confirm" or "confirm,locale=de"; or "ready", in place of a lesson."""
    funnel, kind = spoken(funnel, segment), segment.partition(",")[0]
    statics = {"title": funnel.title, "support_url": support_url(tools, funnel)}

    def compile_now() -> Template:
        known = frame(tools, funnel, Kind.LESSON if kind == READY else Kind.NOTICE)
        return tools.layouts.compile(
            tools.notice(kind, funnel.locale), {}, statics, {**known, "link_only": kind == READY}
        )

    return tools.template(revision_id, f"notice {kind}", segment, compile_now)


def lesson_recipients(
    tools: Tools, template: Template, domain: str, rows: Sequence[Record], persons: Mapping[int, Person]
) -> Recipients:
    """What `template` asks of these readers. `rows` are their deliveries: id and position; `domain` is the sender's."""
    key, ids = tools.keyring.link_key, [row.id for row in rows]
    people = [persons[id_] for id_ in ids]

    def links_for(use: Use) -> list[str]:
        beginning = f"{tools.base_url}/{use}/"
        return [beginning + token for token in links.tokens(key, use, ids)]

    own = {name: links_for(use) for name, use in OWN_LINKS.items() if name in template.names or use == Use.UNSUBSCRIBE}
    return Recipients(
        keys=[f"lesson-{id_:08}" for id_ in ids],
        addresses=[person.address for person in people],
        # Stable across attempts; tells nothing but that it is ours.
        message_ids=[f"<{token}@{domain}>" for token in links.tokens(key, Use.LESSON_ID, ids)],
        values={"first_name": [person.first_name for person in people], **own},
        headers={"List-Unsubscribe": [f"<{link}>" for link in own["unsubscribe_url"]]},
        places=[row.position for row in rows],
    )


def notice_recipients(
    tools: Tools, domain: str, rows: Sequence[Record], persons: Mapping[int, Person]
) -> list[Recipient]:
    """`rows` are the notices: id, kind, created_ms and position."""
    key = tools.keyring.link_key

    def link(row: Record) -> str:
        use = ERRANDS[row.kind].use
        return f"{tools.base_url}/{use}/{links.confirm_token(key, row.id, row.created_ms, use)}"

    return [
        Recipient(
            f"notice-{row.id:08}",
            persons[row.id].address,
            f"<{links.token(key, Use.NOTICE_ID, row.id)}@{domain}>",
            {"first_name": persons[row.id].first_name, ERRANDS[row.kind].field: link(row)},
            {},
            row.position,
        )
        for row in rows
    ]


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
        "replies_locale": funnel.spoken("funnel"),
        "support_url": support_url(tools, funnel),
        "privacy_url": f"{tools.base_url}/{funnel.slug}/privacy",
        "yours_url": f"{tools.base_url}/{funnel.slug}/data",
        "link_only": False,
    }


def support_url(tools: Tools, funnel: Funnel) -> str:
    return f"{tools.base_url}/{funnel.slug}/support"


def envelope(funnel: Funnel, kind: Kind) -> dict[str, Any]:
    """The sender and the headers that a whole batch shares. They name nothing but the funnel's neutral title."""
    headers = {"Auto-Submitted": "auto-generated", "Content-Language": funnel.locale}
    if kind == Kind.LESSON:
        headers["List-Id"] = f"<{funnel.slug}.{domain_of(funnel)}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return {"sender_name": funnel.sender.name, "sender_address": funnel.sender.address, "headers": headers}


def domain_of(funnel: Funnel) -> str:
    """The sender's domain, which List-Id and Message-IDs end with."""
    return funnel.sender.address.rpartition("@")[2]
