"""To which domains a confirm mail goes: few an hour to a small one, none to one that takes no mail.

It acts in silence, in the worker: the form answers as always, and the reason stands with the notice.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection

from funnel.flow import people
from funnel.keyring import Keyring, Outdated, Unreadable
from funnel.store import signups, subscribers
from funnel.store.db import reading
from funnel.store.tables import Record

if TYPE_CHECKING:
    from funnel.flow.tools import Tools

TOO_MANY = "too many to this domain"
NO_MAIL = "the domain takes no mail"


class Exchanges(Protocol):
    """Knows which domains take mail."""

    def look_up(self, domains: Collection[str]) -> None:
        """Learns about these, for a second at most."""
        ...

    def refuses(self, domain: str) -> bool:
        """Whether the domain takes no mail; False while nobody knows."""
        ...

    def close(self) -> None: ...


class AnyDomain:
    """For a service that asks no DNS: nothing is known of any domain."""

    def look_up(self, domains: Collection[str]) -> None:
        """There is nobody to ask."""

    def refuses(self, domain: str) -> bool:  # noqa: ARG002 -- nothing is known
        return False

    def close(self) -> None:
        """There is nothing to close."""


def look_up(tools: "Tools", most: int) -> None:
    """Before the confirm mails are planned, and outside of any transaction: the DNS takes its time."""
    if isinstance(tools.exchanges, AnyDomain):
        return
    with reading(tools.engine) as connection:
        waiting = _waiting(connection, most)
    domains = {_domain(tools.keyring, row) for row in waiting}
    tools.exchanges.look_up([domain for domain in domains if domain])


def refusal(tools: "Tools", person: Record | None, now_ms: int) -> str | None:
    """Why no confirm mail goes to the domain of this person now, or None when one may."""
    domain = _domain(tools.keyring, person) if person else None
    if not domain:
        return None
    if tools.exchanges.refuses(domain):
        return NO_MAIL
    return None if tools.may_mail(domain, now_ms) else TOO_MANY


def _waiting(connection: Connection, most: int) -> list[Record]:
    ids = {row.subscriber_id for row in signups.requested(connection, most)}
    return subscribers.sealed_by_id(connection, ids)


def _domain(keyring: Keyring, person: Record) -> str | None:
    """None for somebody who cannot be read: the start of their mail will say so."""
    try:
        return people.open_wrapped(keyring, person).address.rpartition("@")[2].lower()
    except (Unreadable, Outdated):
        return None
