"""Rows of people: subscribers with their keys, and the consents they have given."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.mix import FIRST_NAMES, ZONES, Mix
from funnel.core.consent import Action, Standing
from funnel.flow.people import Person, seal_person
from funnel.keyring import Keyring, new_key

Rows = Iterator[tuple[Any, ...]]
SUBSCRIBER = ("id", "address_hash", "sealed", "state", "zone", "locale", "created_ms", "changed_ms")
KEY = ("subscriber_id", "version", "wrapped")
CONSENT = ("subscriber_id", "purpose", "wording_hash", "revision_id", "locale", "action", "at_ms")
Sealed = tuple[bytes, bytes, tuple[int, bytes]]  # address hash, sealed person, (key version, wrapped key)


def seal_readers(ids: Sequence[int], keyring: Keyring) -> list[Sealed]:
    """Everybody's address and name, each under a key of its own, sealed as the service does it."""
    found = []
    for id_ in ids:
        address = f"reader.{id_ * 7919 % 99_999_989}@mail{id_ % 40}.example.org"
        hash_, key = keyring.address_hashes(address)[0], new_key()
        person = Person(address, FIRST_NAMES[id_ % len(FIRST_NAMES)])
        found.append((hash_, seal_person(key, hash_, person), keyring.wrap(key, hash_)))
    return found


def same_for_all(ids: Sequence[int], keyring: Keyring) -> list[Sealed]:
    """For measurements that open nothing and look nobody up: one sealed person for all, and hashes that ascend."""
    hash_, sealed, wrapped = seal_readers([1], keyring)[0]
    return [(id_.to_bytes(8, "big") + hash_[8:], sealed, wrapped) for id_ in ids]


def subscriber_rows(ids: Sequence[int], sealed: Sequence[Sealed], joined_ms: int) -> Rows:
    zones = len(ZONES)
    for id_, (hash_, person, _) in zip(ids, sealed, strict=True):
        yield id_, hash_, person, Standing.ACTIVE.value, ZONES[id_ * 31 % zones], "en", joined_ms, joined_ms


def key_rows(ids: Sequence[int], sealed: Sequence[Sealed]) -> Rows:
    return ((id_, *wrapped) for id_, (_, _, wrapped) in zip(ids, sealed, strict=True))


def consent_rows(ids: Sequence[int], mix: Mix, joined_ms: int) -> Rows:
    """Each purpose given, then confirmed."""
    shared = [
        (purpose, wording, mix.revision_id, "en", action.value, joined_ms)
        for action in (Action.GIVEN, Action.CONFIRMED)
        for purpose, wording in mix.wordings
    ]
    return ((id_, *row) for id_ in ids for row in shared)
