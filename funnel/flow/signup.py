"""From a request to a confirmed reader. Every public call does the same for every address."""

from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import Connection

from funnel.core import links
from funnel.core.consent import Action, Standing, Suppressed, confirming_lifts
from funnel.core.sequence import Funnel
from funnel.flow import admission, course, leaving, people
from funnel.flow.people import Person, Request
from funnel.flow.tools import Tools
from funnel.keyring import Unreadable
from funnel.store import positions, revisions, signups, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record


class Link(StrEnum):
    """What a confirm link finds."""

    OPEN = "open"
    EXPIRED = "expired"
    DONE = "done"
    REPLACED = "replaced"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Confirmable:
    """A confirm link's sign-up: `funnel` is None only for an unknown link. `locale` is the language of its mail."""

    state: Link
    funnel: Funnel | None = None
    signup_id: int | None = None
    locale: str = ""


def sign_up(
    tools: Tools,
    revision_id: str,
    address: str,
    request: Request,
    now_ms: int,
    corrects: int | None = None,
    doubt: str | None = None,
) -> int:
    """Writes a request down for the worker, who looks whose it is. Returns the sign-up's id.

    `corrects` is an earlier sign-up of the same browser that went to a mistyped address; it is withdrawn. `doubt` says
    why no confirm mail shall be sent unless its reader asks for one. Nothing of a known subscriber changes before the
    request is confirmed.
    """
    asked = admission.Asked(address, corrects, doubt, request)
    with writing(tools.engine) as connection:
        name = tools.funnel(connection, revision_id).name
        sealed = admission.seal(tools.keyring, asked)
        return signups.ask(connection, name, revision_id, sealed, now_ms, request.locale)


def ask_again(tools: Tools, signup_id: int, now_ms: int) -> None:
    """Asks for another confirm mail, if the sign-up is still open. The worker limits how often one is sent."""
    with writing(tools.engine) as connection:
        signups.request_again(connection, signup_id, "confirm", now_ms)


def look_at(tools: Tools, token: str, now_ms: int) -> Confirmable:
    """What a confirm link would do. Changes nothing."""
    hash_ = links.token_hash(token)
    with reading(tools.engine) as connection:
        notice = signups.by_token(connection, hash_) if hash_ else None
        if not notice:
            return Confirmable(Link.UNKNOWN)
        _, funnel = tools.current(connection)[notice.funnel]
        state = {signups.CONFIRMED: Link.DONE, signups.REPLACED: Link.REPLACED}.get(notice.signup_state, Link.OPEN)
        if state == Link.OPEN and notice.expires_ms <= now_ms:
            state = Link.EXPIRED
        return Confirmable(state, funnel, notice.signup_id, notice.locale)


def confirm(tools: Tools, token: str, now_ms: int) -> Confirmable:
    """Confirms the sign-up behind an open link and enrolls its reader; the first lesson is due at once."""
    seen = look_at(tools, token, now_ms)
    if seen.state != Link.OPEN or seen.signup_id is None:
        return seen
    with writing(tools.engine) as connection:
        asked = signups.by_id(connection, seen.signup_id)
        reader = asked and subscribers.by_id(connection, asked.subscriber_id, lock=True)
        if not asked or not reader or not asked.sealed or not signups.close(connection, asked.id, signups.CONFIRMED):
            return replace(seen, state=Link.DONE)
        try:
            key = people.key_for(connection, tools.keyring, reader)
            request = people.open_request(key, reader.address_hash, asked.sealed)
            address = people.open_person(key, reader.address_hash, reader.sealed).address
        except (LookupError, Unreadable):  # erased meanwhile
            return replace(seen, state=Link.DONE)
        hashes = tools.keyring.address_hashes(address)
        against = subscribers.suppression_of(connection, hashes)
        if not confirming_lifts(reader.state, against, now_ms):
            return replace(seen, state=Link.DONE)
        if against:
            subscribers.lift(connection, hashes, [against.reason])
        sealed = people.seal_person(key, reader.address_hash, Person(address, request.first_name))
        subscribers.activate(connection, reader.id, sealed, request.zone, request.locale, now_ms)
        if request.link_only:  # a form that says nothing of it takes back nothing
            positions.set_link_only(connection, reader.id, link_only=True)
        _record_confirmed(connection, tools, asked, now_ms)
        signups.replace_all(connection, reader.id, asked.funnel)
        active = subscribers.by_id(connection, reader.id)
        _, funnel = tools.current(connection)[asked.funnel]
        assert active is not None
        course.enroll(connection, tools, active, funnel, request.pattern, request.secondary, now_ms)
        return replace(seen, state=Link.DONE)


def disown(tools: Tools, token: str, now_ms: int) -> bool:
    """ "This wasn't me": the sign-up behind a link is closed, and its address gets no more mail from anybody's sign-up.

    Whoever has confirmed before keeps what they asked for. False for a link that is unknown or has been confirmed.
    """
    hash_ = links.token_hash(token)
    with writing(tools.engine) as connection:
        notice = signups.by_token(connection, hash_) if hash_ else None
        reader = notice and subscribers.by_id(connection, notice.subscriber_id, lock=True)
        if not notice or not reader or notice.signup_state == signups.CONFIRMED:
            return False
        signups.replace_all(connection, reader.id)
        if reader.state != Standing.ACTIVE:
            leaving.suppress(connection, reader, Suppressed.NOT_ME, now_ms, now_ms)
        return True


def _record_confirmed(connection: Connection, tools: Tools, asked: Record, now_ms: int) -> None:
    """Confirms what was agreed to: the same wordings, in the same language."""
    wordings = signups.given_wordings(connection, asked.id)
    agreed_in = tools.funnel(connection, asked.revision_id).read_in(asked.locale).spoken("funnel")
    signups.record_consents(
        connection, asked.subscriber_id, asked.id, wordings, asked.revision_id, agreed_in, Action.CONFIRMED, now_ms
    )


def current_revision(tools: Tools, funnel_name: str) -> str:
    with reading(tools.engine) as connection:
        return revisions.current(connection)[funnel_name]
