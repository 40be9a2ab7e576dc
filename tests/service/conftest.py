"""The service as its operator runs it: real processes, on ports and folders of their own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.robot import Mail, mails

PATIENCE_S = 120.0  # on however busy a machine; a wait that is over ends at once


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(ready: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Waits for other processes: their clock cannot be moved."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {patience_s} s for {what}")


@dataclass
class Service:
    home: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def outbox(self) -> Path:
        return self.home / "outbox"

    def mails(self, to: str | None = None) -> list[Mail]:
        return mails(self.outbox, to)

    def lessons(self, to: str) -> list[str]:
        return [mail.subject for mail in self.mails(to) if mail.path.name.startswith("lesson")]

    def until_mail(self, to: str, count: int) -> None:
        until(lambda: len(self.mails(to)) >= count, f"{count} mails to {to}")

    def ready(self) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(f"{self.url}/readyz").status_code == 200
        return False

    def family(self) -> dict[int, str]:
        """pid → command line of every process that works on this data folder or port, found as an operator would."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (folder / "environ").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                here = (folder / "cwd").readlink().is_relative_to(self.home)  # Valkey overwrites its environment
                if state != "Z" and (here or f"FUNNEL_HOME={self.home}\0".encode() in environment):
                    found[int(folder.name)] = command
        return found

    def pid(self, words: str) -> int:
        """The process whose command line ends with these words."""
        return next(pid for pid, command in self.family().items() if command.strip().endswith(words))

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(PATIENCE_S)


def launch(
    home: Path, port: int | None = None, command: tuple[str, ...] = ("up",), env: dict[str, str] | None = None
) -> Service:
    port = port or free_port()
    home.mkdir(exist_ok=True, parents=True)
    log = home / "service.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FUNNEL_")}
    settings = {"FUNNEL_HOME": str(home), "PORT": str(port), "FUNNEL_DAY": "400ms", "FUNNEL_LEASE": "2s", **(env or {})}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "funnel", *command],
            env={**clean, **settings},
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
    return Service(home, port, process, log)


@contextlib.contextmanager
def running(home: Path, env: dict[str, str] | None = None) -> Iterator[Service]:
    service = launch(home, env=env)
    try:
        until(lambda: service.ready() or service.process.poll() is not None, "the service to be ready")
        assert service.process.poll() is None, service.log.read_text()
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()
        for pid in service.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests that only visit it."""
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found
