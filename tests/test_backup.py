"""Backups in two parts: what is erased is gone from the old ones as well, and what nobody wants to lose comes back."""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import LargeBinary, select

from funnel.core.consent import Standing, Suppressed
from funnel.flow import erasing, leaving
from funnel.flow.tools import Tools
from funnel.keyring import Keyring, Outdated, Unreadable, unseal
from funnel.store.db import open_engine, reading, writing
from funnel.store.tables import (
    consent,
    delivery,
    enrollment,
    metadata,
    signup,
    subscriber,
    subscriber_key,
    suppression,
)
from tests.conftest import make_tools
from tests.databases import Databases, programs
from tests.test_operate import Terminal, terminal
from tests.world import ALICE, BOB, CHARLIE, World

__all__ = ["terminal"]
DAVE = "dave@example.org"


@dataclass
class Disaster:
    """A service, an empty database to restore it into, and the two files between them."""

    before: Terminal
    after: Terminal
    data: Path
    keys: Path

    def save(self, *parts: str) -> None:
        told = self.before.type(f"backup {' '.join(f'--{part} {getattr(self, part)}' for part in parts)}")
        assert told.exit_code == 0, told.output

    def restore(self) -> str:
        told = self.after.type(f"restore --data {self.data} --keys {self.keys}")
        assert told.exit_code == 0, told.output
        return told.output


@pytest.fixture
def disaster(
    terminal: Terminal, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Disaster]:
    monkeypatch.setenv("PATH", f"{programs()}{os.pathsep}{os.environ['PATH']}")
    kind = terminal.world.tools.engine.dialect.name
    url = databases.empty(kind)
    engine = open_engine(url)
    tools = make_tools(engine, terminal.world.tools.keyring)
    after = World(tools, terminal.world.clock, tmp_path / "outbox")
    there = Terminal(after, {**terminal.env, "DATABASE_URL": url})
    yield Disaster(terminal, there, tmp_path / "data", tmp_path / "keys")
    engine.dispose()


def opened(tools: Tools) -> set[bytes]:
    """Whatever the keyring opens of all that is in the database, by brute force: every key on every sealed text."""
    with reading(tools.engine) as connection:
        blobs = {
            bytes(value)
            for table in metadata.sorted_tables
            for column in table.c
            if isinstance(column.type, LargeBinary)
            for value in connection.scalars(select(column))
            if value
        }
        hashes = list(connection.scalars(select(subscriber.c.address_hash)))
    contexts = [prefix + hash_ for hash_ in hashes for prefix in (b"", b"person", b"request")]
    own = {found for blob in blobs for context in hashes if (found := _unwrapped(tools.keyring, blob, context))}
    return {found for key in own for blob in blobs for context in contexts if (found := _unsealed(key, blob, context))}


def _unwrapped(keyring: Keyring, blob: bytes, context: bytes) -> bytes | None:
    try:
        return keyring.unwrap(1, blob, context)
    except (Unreadable, Outdated):
        return None


def _unsealed(key: bytes, blob: bytes, context: bytes) -> bytes | None:
    try:
        return unseal(key, blob, context)
    except Unreadable:
        return None


def test_an_old_dump_restored_after_an_erasure_recovers_nothing_of_the_person(disaster: Disaster) -> None:
    world = disaster.before.world
    world.join(ALICE, name="Alice")
    world.join(BOB, name="Bob")
    world.sign_up(CHARLIE)
    world.work()
    everything = b"".join(opened(world.tools))
    assert [word in everything for word in (b"Alice", b"alice@", b"bob@", b"charlie@")] == [True] * 4
    disaster.save("data", "keys")
    assert erasing.erase(world.tools, ALICE, world.clock())
    assert erasing.erase(world.tools, CHARLIE, world.clock())
    disaster.save("keys")
    assert "1 people are back; 2 were erased since" in disaster.restore()
    restored = disaster.after.world
    everything = b"".join(opened(restored.tools))
    assert [word in everything for word in (b"Alice", b"alice@", b"bob@", b"charlie@")] == [False, False, True, False]
    for table in (subscriber, subscriber_key, enrollment, delivery, consent, signup):
        assert {getattr(row, "subscriber_id", None) or row.id for row in restored.rows(table)} == {2}, table.name
    assert {row.reason for row in restored.rows(suppression)} == {Suppressed.ERASED}


def test_the_part_that_is_kept_long_holds_no_key(disaster: Disaster) -> None:
    world = disaster.before.world
    world.join(ALICE)
    disaster.save("data")
    told = disaster.data.read_bytes()
    assert [row.wrapped in told for row in world.rows(subscriber_key)] == [False]
    if world.tools.engine.dialect.name == "sqlite":
        assert world.rows(subscriber)[0].sealed in told
        with sqlite3.connect(disaster.data) as copy:
            assert copy.execute("SELECT count(*) FROM subscriber_key").fetchone() == (0,)
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_after_a_disaster_everybody_goes_on_and_who_left_meanwhile_has_left(disaster: Disaster) -> None:
    world = disaster.before.world
    for address in (ALICE, BOB):
        world.join(address)
    world.work()
    disaster.save("data")
    world.join(DAVE)
    hers = next(row for row in world.rows(delivery) if row.subscriber_id == 1)
    leaving.unsubscribe(world.tools, hers.id, world.clock())
    before = world.rows(subscriber_key)
    disaster.save("keys")
    disaster.restore()
    restored = disaster.after.world
    assert restored.rows(subscriber_key) == [row for row in before if row.subscriber_id != 3]
    assert [row.state for row in restored.rows(subscriber)] == [Standing.UNSUBSCRIBED, Standing.ACTIVE]
    restored.days(20)
    assert len(restored.lessons(ALICE)) == 1
    assert restored.lessons(BOB) == [each.source.subject for each in restored.funnel().patterns["freeze"].lessons]
    restored.sign_up(CHARLIE)
    with pytest.raises(Exception, match="is never changed"), writing(restored.tools.engine) as connection:
        connection.execute(consent.update().values(at_ms=0))
    assert "bad" not in {line.split()[0] for line in disaster.after.type("doctor").output.splitlines() if "key" in line}


def test_a_link_from_after_the_backup_names_nobody_else_in_the_restored_database(disaster: Disaster) -> None:
    world = disaster.before.world
    world.join(ALICE)
    disaster.save("data", "keys")
    world.join(DAVE)
    world.work()
    lost = {row.id for row in world.rows(delivery)}
    disaster.restore()
    restored = disaster.after.world
    restored.join(CHARLIE)
    restored.work()
    assert not lost & {row.id for row in restored.rows(delivery) if row.subscriber_id != 1}
    for table in (subscriber, delivery, enrollment, signup, consent):
        assert max(row.id for row in restored.rows(table)) > 1 << 32


def test_a_backup_is_its_owners_alone_and_data_are_never_overwritten(disaster: Disaster) -> None:
    disaster.before.world.sign_up(ALICE)
    disaster.save("data", "keys")
    assert [path.stat().st_mode & 0o777 for path in (disaster.data, disaster.keys)] == [0o600, 0o600]
    assert ALICE not in disaster.keys.read_text()
    again = disaster.before.type(f"backup --data {disaster.data}")
    assert (again.exit_code, "exists already" in again.output) == (1, True)
    disaster.save("keys")
    assert {path.name for path in disaster.data.parent.iterdir()} <= {"data", "keys", "outbox", "funnel.db"}


@pytest.mark.parametrize("harm", ["cut", "emptied", "another file", "missing"])
def test_a_file_of_keys_that_is_not_whole_restores_nothing(disaster: Disaster, harm: str) -> None:
    disaster.before.world.sign_up(ALICE)
    disaster.save("data", "keys")
    held = disaster.keys.read_bytes()
    harmed = {"cut": held[: len(held) * 2 // 3], "emptied": b"", "another file": b"[1]\n[2]\n"}
    disaster.keys.unlink()
    if harm in harmed:
        disaster.keys.write_bytes(harmed[harm])
    refused = disaster.after.type(f"restore --data {disaster.data} --keys {disaster.keys}")
    assert (refused.exit_code, "not a whole file of keys" in refused.output) == (1, True)
    disaster.keys.write_bytes(held)
    disaster.data.write_bytes(b"nothing of the kind")
    refused = disaster.after.type(f"restore --data {disaster.data} --keys {disaster.keys}")
    assert (refused.exit_code, "Error: " in refused.output) == (1, True)


def test_nothing_is_restored_over_a_database_that_holds_anything(disaster: Disaster) -> None:
    disaster.before.world.sign_up(ALICE)
    disaster.save("data", "keys")
    refused = disaster.before.type(f"restore --data {disaster.data} --keys {disaster.keys}")
    assert (refused.exit_code, "not empty" in refused.output) == (1, True)
    assert len(disaster.before.world.rows(subscriber)) == 1


@pytest.mark.parametrize("line", ["backup", "restore", "restore --data x", "restore --keys x"])
def test_files_that_are_not_named_are_asked_for(disaster: Disaster, line: str) -> None:
    assert disaster.before.type(line).exit_code == 2


def test_without_postgresqls_programs_there_is_a_clear_word(
    disaster: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    if disaster.before.world.tools.engine.dialect.name == "sqlite":
        pytest.skip("SQLite needs none")
    monkeypatch.setattr("funnel.backup.shutil.which", lambda _: None)
    refused = disaster.before.type(f"backup --data {disaster.data}")
    assert (refused.exit_code, "pg_dump is missing" in refused.output) == (1, True)
    assert not disaster.data.exists()
