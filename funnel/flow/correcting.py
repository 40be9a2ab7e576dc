"""Correcting what is kept about somebody: name, zone, language, pace, and the address itself."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from funnel.core import links
from funnel.core.consent import confirming_lifts
from funnel.core.notice import ADDRESS, RIGHTS
from funnel.core.schedule import PACES, is_zone
from funnel.core.sequence import Funnel
from funnel.flow import erasing, people, placing, watch
from funnel.flow.people import Person
from funnel.flow.rights import held
from funnel.flow.tools import Tools
from funnel.keyring import Unreadable
from funnel.store import enrollments, history, positions, rights, signups, subscribers
from funnel.store.db import exclude_starts, reading, writing
from funnel.store.tables import Record


@dataclass(frozen=True)
class Wishes:
    """How a reader wants to be known. None leaves a thing as it is; `paces` are enrollment → pace. `link_only` asks for
    mails that hold a link in place of the lesson.
    """

    first_name: str
    zone: str | None
    locale: str | None
    paces: dict[int, str]
    link_only: bool | None = None


class Swap(StrEnum):
    """What became of a link to a new address."""

    OPEN = "open"
    DONE = "done"
    EXPIRED = "expired"
    TAKEN = "taken"  # somebody is known there already
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Swapped:
    state: Swap
    funnel: Funnel | None = None
    locale: str = ""


def correct(tools: Tools, token: str, wishes: Wishes, now_ms: int) -> bool:
    """Writes what the link's holder wishes; what does not change stays, due rows among it. False without a link."""
    with held(tools, token, now_ms) as (connection, found):
        if not found:
            return False
        reader = found.reader
        _rename(connection, tools, reader, wishes.first_name)
        _live_by(connection, reader, wishes)
        moved = _differing(connection, tools, reader, wishes)
        for running in moved:
            _, funnel = tools.current(connection)[running.funnel]
            placing.replace_due(connection, tools, funnel, [running.id], now_ms)
        return True


def _rename(connection: Connection, tools: Tools, reader: Record, first_name: str) -> None:
    key = people.key_for(connection, tools.keyring, reader)
    known = people.open_person(key, reader.address_hash, reader.sealed)
    if first_name != known.first_name:
        sealed = people.seal_person(key, reader.address_hash, known._replace(first_name=first_name))
        subscribers.reseal(connection, reader.id, sealed)


def _live_by(connection: Connection, reader: Record, wishes: Wishes) -> None:
    if wishes.zone is not None and is_zone(wishes.zone):
        positions.set_zone(connection, reader.id, wishes.zone)
    if wishes.locale is not None:
        subscribers.set_locale(connection, reader.id, wishes.locale)
    if wishes.link_only is not None:
        positions.set_link_only(connection, reader.id, wishes.link_only)


def _differing(connection: Connection, tools: Tools, reader: Record, wishes: Wishes) -> list[Record]:
    """The live courses that must be placed anew. Writes their paces and languages."""
    found = []
    for running in enrollments.all_live(connection, reader.id):
        _, funnel = tools.current(connection)[running.funnel]
        pace = wishes.paces.get(running.id, running.pace)
        spoken = wishes.locale is not None and wishes.locale in funnel.locales
        locale = str(wishes.locale) if spoken else running.locale
        anew = wishes.zone is not None and wishes.zone != reader.zone and is_zone(wishes.zone)
        if pace in PACES and pace != running.pace:
            positions.set_pace(connection, running.id, pace)
            anew = True
        if locale != running.locale:
            enrollments.set_traits(connection, running.id, running.secondary, locale)
            anew = anew or "locale" in funnel.reads
        if anew:
            found.append(running)
    return found


def ask_for_address(tools: Tools, token: str, address: str, now_ms: int) -> bool:
    """Asks the new address whether it wants to be the link's holder's. The same for every address."""
    with held(tools, token, now_ms) as (connection, found):
        if not found:
            return False
        reader = found.reader
        key = people.key_for(connection, tools.keyring, reader)
        known = people.open_person(key, reader.address_hash, reader.sealed)
        rights.drop_waiting(connection, reader.id, ADDRESS, "asked anew")
        rights.expire(connection, reader.id, ADDRESS, now_ms)
        _, (hash_, *_) = people.names(connection, tools.keyring, address, now_ms)
        sealed = people.seal_person(key, reader.address_hash, known._replace(address=address))
        signups.request_notice(connection, reader.id, 0, found.notice.funnel, ADDRESS, now_ms, (hash_, sealed))
        return True


def look_at(tools: Tools, token: str, now_ms: int) -> Swapped:
    """What a link to a new address would do. Changes nothing."""
    with reading(tools.engine) as connection:
        return _look_at(connection, tools, token, now_ms)[0]


def swap(tools: Tools, token: str, now_ms: int) -> Swapped:
    """Makes the address that the link was mailed to its reader's own. Once."""
    try:
        swapped, old, lessons = _swap(tools, token, now_ms)
    except IntegrityError:  # somebody has just signed up there, this very moment: they are found now
        swapped, old, lessons = _swap(tools, token, now_ms)
    if old:  # whoever has the old address from now on may begin there
        watch.forget(tools.marks, tools.keyring.tag_key, lessons, old, now_ms)
    return swapped


def _swap(tools: Tools, token: str, now_ms: int) -> tuple[Swapped, str, list[int]]:
    """What became of it; and if it was done, the address that was left, and the lessons that were sent there."""
    with writing(tools.engine) as connection:
        seen, notice = _look_at(connection, tools, token, now_ms)
        reader = notice and subscribers.by_id(connection, notice.subscriber_id, lock=True)
        if reader:
            seen, notice = _look_at(connection, tools, token, now_ms)  # pressed twice: the other one may be through
        if seen.state != Swap.OPEN or not notice or not reader:
            return seen, "", []
        try:
            key = people.key_for(connection, tools.keyring, reader)
            new = people.open_person(key, reader.address_hash, notice.sealed).address
            known = people.open_person(key, reader.address_hash, reader.sealed)
        except (LookupError, Unreadable):
            return Swapped(Swap.UNKNOWN), "", []
        hashes = tools.keyring.address_hashes(new)
        other = subscribers.by_hash(connection, hashes)
        against = subscribers.suppression_of(connection, hashes)
        if (other and other.id != reader.id) or not confirming_lifts(reader.state, against, now_ms):
            return Swapped(Swap.TAKEN, seen.funnel, seen.locale), "", []
        if against:
            subscribers.lift(connection, hashes, [against.reason])
        _move(connection, tools, reader, key, Person(new, known.first_name), now_ms)
        for kind in (ADDRESS, RIGHTS):  # whoever reads the old address opens nothing any more
            rights.expire(connection, reader.id, kind, now_ms)
        done = Swapped(Swap.DONE, seen.funnel, seen.locale)
        return (
            (done, "", [])
            if reader.address_hash in hashes
            else (done, *_leave(connection, tools, reader, known, now_ms))
        )


def _leave(connection: Connection, tools: Tools, reader: Record, known: Person, now_ms: int) -> tuple[str, list[int]]:
    """The address that was left, and what was sent there; others are to forget it."""
    lessons = list(history.ledger_entries(connection, reader.id))
    erasing.leave_address(connection, tools, reader.id, known.address, lessons, now_ms)
    return known.address, lessons


def _move(connection: Connection, tools: Tools, reader: Record, key: bytes, person: Person, now_ms: int) -> None:
    """Everything sealed is bound to the address it was sealed for, and what was only asked for is let go."""
    exclude_starts(connection)  # whoever is being started is still mailed at the old address
    version, (hash_, *_) = people.names(connection, tools.keyring, person.address, now_ms)
    signups.replace_all(connection, reader.id)
    subscribers.move_in(connection, reader.id, hash_, people.seal_person(key, hash_, person), now_ms)
    subscribers.rewrap(connection, reader.id, tools.keyring.wrap(key, hash_, version))


def _look_at(connection: Connection, tools: Tools, token: str, now_ms: int) -> tuple[Swapped, Record | None]:
    hash_ = links.token_hash(token)
    notice = rights.by_token(connection, ADDRESS, hash_) if hash_ else None
    reader = subscribers.by_id(connection, notice.subscriber_id) if notice else None
    if not notice or not reader:
        return Swapped(Swap.UNKNOWN), None
    published = tools.current(connection)
    _, funnel = published.get(notice.funnel) or next(iter(published.values()))
    open_ = notice.sealed is not None and notice.expires_ms > now_ms
    state = Swap.OPEN if open_ else Swap.EXPIRED
    return Swapped(state, funnel, reader.locale), notice
