"""Engines: what a database that is not well may cost, and what a healthy one keeps."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from funnel.store import db
from funnel.store.db import empty_journal, open_engine, reading, writing


@pytest.mark.parametrize("where", ["setting", "url"])
def test_a_postgresql_that_accepts_and_never_answers_is_not_waited_for(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = 2  # seconds; libpq takes no less
    if where == "setting":
        monkeypatch.setitem(db.PATIENCE, "connect_timeout", soon)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        own = f"?connect_timeout={soon}" if where == "url" else ""
        engine = open_engine(f"postgres://somebody@127.0.0.1:{silent.getsockname()[1]}/funnel{own}")
        with pytest.raises(OperationalError), reading(engine):
            pass


SECRET = "freeze, and what they answered"


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Engine]:
    """A database that was told a secret."""
    engine = open_engine(f"sqlite:///{tmp_path / 'funnel.db'}")
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE answer (said TEXT)"))
        connection.execute(text("INSERT INTO answer VALUES (:said)"), {"said": SECRET})
    yield engine
    engine.dispose()


def test_nothing_deleted_is_left_in_sqlites_journal_or_its_database(told: Engine, tmp_path: Path) -> None:
    with writing(told) as connection:
        connection.execute(text("DELETE FROM answer"))
    assert SECRET.encode() in on_disk(tmp_path)
    empty_journal(told)
    assert SECRET.encode() not in on_disk(tmp_path)


def test_whoever_reads_is_not_waited_for_when_the_journal_is_emptied(told: Engine, tmp_path: Path) -> None:
    with reading(told) as slow:
        assert slow.scalar(text("SELECT said FROM answer")) == SECRET
        with writing(told) as connection:
            connection.execute(text("DELETE FROM answer"))
        empty_journal(told)
        assert slow.scalar(text("SELECT said FROM answer")) == SECRET  # as it was when they began to read
    empty_journal(told)
    assert SECRET.encode() not in on_disk(tmp_path)
    with writing(told) as connection:
        assert connection.scalar(text("PRAGMA busy_timeout")) == db.BUSY_TIMEOUT_MS


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm"))
