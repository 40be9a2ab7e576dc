"""Engines: what a database that is not well may cost."""

import socket

import pytest
from sqlalchemy.exc import OperationalError

from funnel.store import db
from funnel.store.db import open_engine, reading


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
