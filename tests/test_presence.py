"""Who is there, with which keys: what processes say of themselves, and what a rotation makes of it."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
import redis
from redis.asyncio import Redis as AsyncRedis

from funnel import hints, presence
from funnel.bucket import connect
from funnel.presence import PREFIX, processes, said
from tests.service.conftest import until
from tests.test_bucket import nobody, server
from tests.test_keeping import SECOND, embedded, wrapped
from tests.test_operate import KEYS, Terminal, terminal
from tests.world import ALICE

__all__ = ["embedded", "nobody", "server", "terminal"]
BOTH = f"{KEYS},{SECOND}"


@pytest.fixture
def client(server: str) -> Iterator[redis.Redis]:
    with connect(server) as found:
        found.flushall()
        yield found


def say(client: redis.Redis, role: str, *versions: int) -> None:
    client.set(*said(role, versions), px=presence.FADES_MS)


def test_a_process_says_again_and_again_which_versions_it_has_and_fades_without(client: redis.Redis) -> None:
    versions = {1}
    leave = presence.keep_saying(client, "web", lambda: versions)
    until(lambda: processes(client), "a process to say that it is there")
    leave()
    (key,) = client.scan_iter(f"{PREFIX}*")
    assert 0 < client.pttl(key) <= presence.FADES_MS  # type: ignore[operator]
    told = (processes(client) or [])[0]
    assert (told.name.startswith("web (process "), told.versions) == (True, frozenset({1}))


def test_a_worker_says_so_with_its_tick(client: redis.Redis, server: str, terminal: Terminal) -> None:
    async def tick() -> None:
        async with AsyncRedis.from_url(server) as there:
            runtime = SimpleNamespace(tools=terminal.world.tools, now_ms=lambda: 0)
            hands = SimpleNamespace(runtime=runtime, begin=AsyncMock())
            await hints.hint({"redis": there, "hands": hands}, [])

    asyncio.run(tick())
    assert [each.versions for each in processes(client) or ()] == [{1}]


def test_while_redis_is_away_nobody_is_known_and_nothing_breaks(nobody: redis.Redis) -> None:
    assert processes(nobody) is None
    presence.keep_saying(nobody, "web", lambda: {1})()


def test_a_rotation_waits_until_every_process_that_is_there_has_the_new_version(
    terminal: Terminal, client: redis.Redis, server: str
) -> None:
    terminal.world.sign_up(ALICE)
    env = {"FUNNEL_KEYS": BOTH, "REDIS_URL": server}
    say(client, "web", 1, 2)
    say(client, "worker", 1)
    for line in ("keys rotate", "keys rotate --yes"):
        refused = terminal.type(line, answer="y\n", **env)
        assert refused.exit_code == 1
        assert "worker (process" in refused.output
        assert "web (process" not in refused.output
    assert wrapped(terminal) == [1]
    say(client, "worker", 1, 2)
    done = terminal.type("keys rotate", answer="y\n", **env)
    assert "2 known to be running have it" in done.output
    assert wrapped(terminal) == [2]


def test_a_keyring_in_a_file_reaches_everybody_and_waits_for_nobody(
    embedded: Terminal, client: redis.Redis, server: str
) -> None:
    say(client, "worker", 1)
    assert embedded.type("keys rotate", REDIS_URL=server).exit_code == 0
