"""Fast local ends for what the service sends, each a process of its own: their CPU is not the service's."""

import argparse
import asyncio
import json
import smtplib
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sink_http import HttpSink, Tally
from benchmarks.sink_smtp import SmtpSink

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Sink:
    """A running sink on loopback. `pid` must not be among the processes that are measured."""

    scheme: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def count(self) -> Tally:
        """What it has taken so far; for SMTP, `requests` are messages."""
        if self.scheme == "http":
            with urllib.request.urlopen(f"{self.url}/count") as answer:
                return Tally(**json.loads(answer.read()))
        with smtplib.SMTP("127.0.0.1", self.port) as connection:
            return Tally(**json.loads(connection.verify("count")[1]))


@contextmanager
def http_sink(*, latency_ms: int = 0, counting: bool = False) -> Iterator[Sink]:
    """Plays SendGrid, `latency_ms` after each request. `counting` looks for recipients in every body."""
    with _process("http", f"--latency-ms={latency_ms}", *(["--counting"] if counting else [])) as sink:
        yield sink


@contextmanager
def smtp_sink() -> Iterator[Sink]:
    with _process("smtp") as sink:
        yield sink


@contextmanager
def _process(scheme: str, *options: str) -> Iterator[Sink]:
    command = [sys.executable, "-m", "benchmarks.sinks", scheme, *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Sink(scheme, int(process.stdout.readline()), process.pid)
        finally:
            process.stdin.close()  # the sink ends with its input, so it cannot outlive us
            process.wait()


async def _serve(make: Callable[[], asyncio.BaseProtocol]) -> None:
    """Prints its port, then serves until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    server = await loop.create_server(make, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scheme", choices=("http", "smtp"))
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--counting", action="store_true")
    chosen = parser.parse_args()
    tally = Tally()
    if chosen.scheme == "smtp":
        asyncio.run(_serve(lambda: SmtpSink(tally)))
    else:
        asyncio.run(_serve(lambda: HttpSink(tally, chosen.latency_ms / 1000, chosen.counting)))


if __name__ == "__main__":
    main()
