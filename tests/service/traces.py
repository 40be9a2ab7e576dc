"""Everything that a service leaves: (where, what stands there), for tests that look for words in it."""

import contextlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import redis
from sqlalchemy import create_engine, inspect, text

Found = Iterator[tuple[str, bytes]]


def in_tables(url: str) -> Found:
    """Every column of every row, and what is in it when it is compressed."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    names = inspect(engine).get_table_names()
    with engine.connect() as connection:
        for name in names:
            for row in connection.execute(text(f'SELECT * FROM "{name}"')):
                yield from ((f"table {name}", each) for value in row for each in _unpacked(value))
    engine.dispose()


def _unpacked(value: object) -> Iterator[bytes]:
    raw = value if isinstance(value, bytes) else str(value).encode()
    yield raw
    if isinstance(value, bytes):
        with contextlib.suppress(zlib.error):
            yield zlib.decompress(value)


def in_files(home: Path) -> Found:
    """Every file, by its name and its bytes. A mail of the outbox is the mail itself, which holds address and name by
    nature: of these, and of these alone, only the file's own name counts."""
    for path in sorted(home.rglob("*")):
        yield "a name", path.name.encode()
        if path.is_file() and path.suffix != ".eml":
            yield path.relative_to(home).as_posix(), path.read_bytes()


def in_redis(socket: Path) -> Found:
    """Every key with its value."""
    with redis.Redis(unix_socket_path=str(socket)) as client:
        for key in client.scan_iter():
            yield "a key", key
            kind = client.type(key)
            value = {
                b"string": lambda k: client.get(k),
                b"hash": lambda k: client.hgetall(k),
                b"zset": lambda k: client.zrange(k, 0, -1, withscores=True),
                b"list": lambda k: client.lrange(k, 0, -1),
                b"set": lambda k: client.smembers(k),
            }.get(kind, lambda k: client.dump(k))(key)
            yield f"the value of {key!r}", repr(value).encode()


def in_processes(pids: Iterable[int]) -> Found:
    """What `ps` shows of each: its command line, its surroundings, and the names of its threads."""
    for pid in pids:
        folder = Path("/proc", str(pid))
        for path in (folder / "cmdline", folder / "environ", *folder.glob("task/*/comm")):
            with contextlib.suppress(OSError):
                yield f"process: {path.name}", path.read_bytes()


def hits(places: Iterable[tuple[str, bytes]], words: set[str]) -> list[tuple[str, str]]:
    """Where a word stands, as text or as hexadecimal digits."""
    return [
        (place, word)
        for place, found in places
        for word in words
        if word.encode().lower() in found.lower() or word.encode().hex().encode() in found
    ]
