"""To which domains a confirm mail goes: few an hour to a small one, none to one that takes no mail.

It acts in silence, in the worker: the form answers as always, and the reason stands with the notice.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

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
        waiting = signups.requested(connection, most)
        known = {row.id: row for row in subscribers.sealed_by_id(connection, {row.subscriber_id for row in waiting})}
    asking = [(known[row.subscriber_id], row.sealed) for row in waiting if row.subscriber_id in known]
    domains = {_domain(tools.keyring, person, sealed) for person, sealed in asking}
    tools.exchanges.look_up([domain for domain in domains if domain])


def refusal(tools: "Tools", person: Record | None, sealed: bytes | None, now_ms: int) -> str | None:
    """Why no service mail goes to this person's domain now, or to that of the new address in `sealed`; or None."""
    domain = _domain(tools.keyring, person, sealed) if person else None
    if not domain:
        return None
    if tools.exchanges.refuses(domain):
        return NO_MAIL
    return None if tools.may_mail(domain, now_ms) else TOO_MANY


def _domain(keyring: Keyring, person: Record, sealed: bytes | None) -> str | None:
    """None for somebody who cannot be read: the start of their mail will say so."""
    try:
        return people.open_wrapped(keyring, person, sealed).address.rpartition("@")[2].lower()
    except (Unreadable, Outdated):
        return None
