"""What is sealed about a person, and how it is opened: the only place where keys meet subscribers."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import orjson
from sqlalchemy import Connection

from funnel.keyring import Keyring, new_key, seal, unseal
from funnel.store import keys, subscribers
from funnel.store.tables import Record


class Person(NamedTuple):
    """What we know somebody by. `first_name` may be empty."""

    address: str
    first_name: str


@dataclass(frozen=True)
class Request:
    """What somebody asked for when signing up, sealed until confirmed. `pattern` is the result or the own choice;
    `link_only` asks for mails that hold a link in place of the lesson.
    """

    first_name: str
    pattern: str
    secondary: str | None
    zone: str
    locale: str
    link_only: bool = False


def seal_person(key: bytes, address_hash: bytes, person: Person) -> bytes:
    return seal(key, orjson.dumps(person._asdict()), b"person" + address_hash)


def open_person(key: bytes, address_hash: bytes, sealed: bytes) -> Person:
    return _person(unseal(key, sealed, b"person" + address_hash))


def open_wrapped(keyring: Keyring, row: Record, sealed: bytes | None = None) -> Person:
    """The person of a row of address_hash, sealed, version and wrapped; or of `sealed`, in place of the row's own.

    Raises Unreadable or Outdated.
    """
    context = b"person" + row.address_hash
    return _person(keyring.open(row.version, row.wrapped, row.address_hash, sealed or row.sealed, context))


def _person(plain: bytes) -> Person:
    known = orjson.loads(plain)
    return Person(known["address"], known["first_name"])


def seal_request(key: bytes, address_hash: bytes, request: Request) -> bytes:
    return seal(key, orjson.dumps(asdict(request)), b"request" + address_hash)


def open_request(key: bytes, address_hash: bytes, sealed: bytes) -> Request:
    return Request(**orjson.loads(unseal(key, sealed, b"request" + address_hash)))


def key_for(connection: Connection, keyring: Keyring, subscriber: Record) -> bytes:
    """A subscriber's own key. Raises LookupError once it has been erased, and Unreadable or Outdated."""
    found = subscribers.key_of(connection, subscriber.id)
    if not found:
        raise LookupError("the key was erased")
    return keyring.unwrap(*found, subscriber.address_hash)


def enter(connection: Connection, keyring: Keyring, address: str, zone: str, locale: str, now_ms: int) -> Record:
    """The subscriber of this address: known already, or new and pending, as is one whose key was erased."""
    version, hashes = names(connection, keyring, address, now_ms)
    known = subscribers.by_hash(connection, hashes)
    if known and subscribers.key_of(connection, known.id):
        return known
    key, own = new_key(), known.address_hash if known else hashes[0]
    sealed, wrapped = seal_person(key, own, Person(address, "")), keyring.wrap(key, own, version)
    if known:
        subscribers.renew(connection, known.id, sealed, wrapped, now_ms)
    else:
        subscribers.add(connection, own, sealed, wrapped, zone, locale, now_ms)
    found = subscribers.by_hash(connection, hashes)
    assert found is not None
    return found


def names(connection: Connection, keyring: Keyring, address: str, now_ms: int) -> tuple[int, list[bytes]]:
    """The version to wrap under, until the transaction ends; and every hash that an address may be known by.

    The first is the one to keep it by: the one that is suppressed already, or else that of the version in use.
    Otherwise a rotation would make us forget what an address was suppressed for. Raises Outdated.
    """
    version = keys.hold(connection, keyring.version, now_ms)
    hashes = keyring.address_hashes(address, version)
    suppressed = list(subscribers.suppressed(connection, hashes))
    return version, [*suppressed, *(hash_ for hash_ in hashes if hash_ not in suppressed)]
