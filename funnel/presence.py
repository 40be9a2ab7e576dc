"""Which processes are there, and which versions of the keyring each has: hints in Redis that fade by themselves.

They tell an operator whom a new version has not reached; nothing else depends on them.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NamedTuple

import redis

PREFIX = "funnel:there:"
FADES_MS = 60_000
AGAIN_S = 15.0


class Process(NamedTuple):
    """A process that said lately that it is there; `versions` are those that open what is sealed under them."""

    name: str
    versions: frozenset[int]


def said(role: str, versions: Collection[int]) -> tuple[str, str]:
    """The key and the value by which this process says that it is there."""
    name = f"{role} (process {os.getpid()} on {socket.gethostname()})"
    return f"{PREFIX}{name}", json.dumps({"name": name, "versions": sorted(versions)})


def keep_saying(client: "redis.Redis", role: str, versions: Callable[[], Collection[int]]) -> Callable[[], None]:
    """Says so again and again, in a thread of its own. Returns what ends it."""
    over = threading.Event()

    def say() -> None:
        while True:
            with suppress(redis.RedisError, OSError):
                client.set(*said(role, versions()), px=FADES_MS)
            if over.wait(AGAIN_S):
                return

    threading.Thread(target=say, name="presence", daemon=True).start()
    return over.set


def processes(client: "redis.Redis") -> list[Process] | None:
    """Everybody who said so within the last minute, by name; None while Redis does not answer."""
    try:
        values: list[Any] = [client.get(key) for key in client.scan_iter(f"{PREFIX}*", 1000)]
    except (redis.RedisError, OSError):
        return None
    told = [json.loads(value) for value in values if value]
    return sorted(Process(each["name"], frozenset(each["versions"])) for each in told)
