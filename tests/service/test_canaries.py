"""A whole service is used by somebody whose every word is a canary; then everything that it leaves is searched."""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx2
import pytest
import redis

from funnel.core.sequence import Funnel
from funnel.up import _socket_path
from tests.payloads import in_path
from tests.robot import Robot
from tests.service.conftest import Service, running
from tests.service.test_journey import take_quiz

pytestmark = pytest.mark.service
BIRD = "qzcanary"
ADDRESS, NAME = f"{BIRD}@example.org", f"{BIRD}Name"
Found = Iterator[tuple[str, bytes]]


def visit(robot: Robot, service: Service, funnel: Funnel) -> set[str]:
    """A whole course, and canaries wherever a request can carry one. Returns the secrets that links are made of."""
    take_quiz(robot, funnel, "flight")
    robot.follow("by email")
    robot.send("Send me", fill={"email": f"{BIRD}@", "first_name": NAME}, status=400)
    robot.send("Send me", fill={"email": ADDRESS, "first_name": NAME})
    service.until_mail(ADDRESS, 1)
    links = [service.mails(ADDRESS)[0].link("Confirm")]
    robot.open(links[0])
    robot.send("Confirm")
    service.until_mail(ADDRESS, 3)
    first = service.mails(ADDRESS)[1]
    links += [first.link(words) for words in ("Read in the browser", "Stop", "hoose")]
    sent = {"user-agent": BIRD, "referer": f"https://{BIRD}.example/", "accept-language": BIRD, "x-forwarded-for": BIRD}
    for path in ("", "/house", "/house/q/1", f"/{BIRD}", f"/r/{BIRD}", f"/static/{BIRD}", f"/house/{in_path(BIRD)}"):
        for method in ("GET", "POST", "PUT"):
            robot.client.request(method, f"{service.url}{path}?{BIRD}={BIRD}", headers=sent, data={"answer": BIRD})
    robot.client.get(f"{service.url}/house/result", headers={"cookie": f"house={BIRD}"})
    robot.client.post(f"{service.url}/hooks/sendgrid", content=BIRD.encode(), headers={"content-type": BIRD})
    robot.open(links[2])
    robot.send("Stop the notes")
    return {link.rpartition("/")[2] for link in links}


def unpacked(value: object) -> Iterator[bytes]:
    """A value of a table, and what is in it when it is compressed."""
    raw = value if isinstance(value, bytes) else str(value).encode()
    yield raw
    if isinstance(value, bytes):
        try:
            yield zlib.decompress(value)
        except zlib.error:
            return


def in_tables(home: Path) -> Found:
    """Every column of every row. What the content itself is may say its own keys: that is left to the caller."""
    with sqlite3.connect(next(home.glob("*.db"))) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            for row in connection.execute(f'SELECT * FROM "{name}"'):
                yield from ((f"table {name}", each) for value in row for each in unpacked(value))


def in_files(home: Path) -> Found:
    """Every file, by its name and its bytes. A mail of the outbox is the mail itself, which holds address and name by
    nature: of these, and of these alone, only the file's own name counts."""
    for path in sorted(home.rglob("*")):
        yield "a name", path.name.encode()
        if path.is_file() and path.suffix != ".eml":
            yield path.relative_to(home).as_posix(), path.read_bytes()


def in_redis(url: str) -> Found:
    with redis.Redis(unix_socket_path=url) as client:
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


def hits(places: Iterable[tuple[str, bytes]], words: set[str]) -> list[tuple[str, str]]:
    """Where a word stands, as text or as hexadecimal digits."""
    return [
        (place, word)
        for place, found in places
        for word in words
        if word.encode().lower() in found.lower() or word.encode().hex().encode() in found
    ]


def test_a_canary_that_was_left_is_found_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"x{BIRD.upper()}x")
    (tmp_path / f"{BIRD}.eml").write_text("")
    with sqlite3.connect(tmp_path / "funnel.db") as connection:
        connection.execute("CREATE TABLE held (packed BLOB, text TEXT)")
        connection.execute("INSERT INTO held VALUES (?, ?)", (zlib.compress(BIRD.encode() * 9), BIRD.encode().hex()))
    connection.close()
    found = hits([*in_files(tmp_path), *in_tables(tmp_path)], {BIRD})
    assert sorted(place for place, _ in found) == ["a name", "a.log", "funnel.db", "table held", "table held"]


def test_nothing_that_somebody_types_is_left_anywhere_but_in_their_mail(tmp_path: Path, funnel: Funnel) -> None:
    with running(tmp_path / "home") as service:
        with Robot(service.url) as robot:
            secrets = visit(robot, service, funnel)
            places = list(in_redis(str(_socket_path(service.home / "valkey"))))
            assert places, "the running Valkey was not read"
            places.append(("metrics", httpx2.get(f"{service.url}/metrics").content))
        service.stop()
        places += [*in_files(service.home), *in_tables(service.home)]
        lines = [line for line in service.log.read_text().splitlines() if line.startswith("{")]
        assert all(isinstance(json.loads(line), dict) for line in lines)
    assert hits(places, {BIRD, *secrets}) == []
    answers = {answer.key for question in funnel.quiz.questions for answer in question.answers if len(answer.key) > 5}
    told = {place for place, found in places for key in answers if key.encode() in found}
    assert told <= {"table revision", *(name for name, _ in places if name.endswith((".db", ".db-wal")))}
