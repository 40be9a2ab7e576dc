"""A service is used by somebody whose every word is a canary, and then breaks; whatever it leaves is searched."""

import asyncio
import base64
import json
import os
import socket
import sqlite3
import time
import zlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import create_engine, text

from funnel import worker
from funnel.core.sequence import Funnel
from funnel.logs import MAY_BE_LOGGED
from funnel.up import _socket_path
from tests.databases import Databases
from tests.fakes.sendgrid import Answer
from tests.fakes.webhook import dump, event
from tests.payloads import in_path
from tests.robot import Robot
from tests.service.conftest import Service, running, until
from tests.service.posts import Post, opened
from tests.service.test_journey import take_quiz
from tests.service.traces import hits, in_files, in_processes, in_redis, in_tables

pytestmark = pytest.mark.service
BIRD = "qzcanary"
ADDRESS, NAME, PATTERN = f"{BIRD}@example.org", f"{BIRD}Name", "flight"
MISTYPED, NEW = f"{BIRD}.other@example.org", f"{BIRD}.new@example.org"
POISON = "qzpoison"  # what somebody puts into Redis
KEYS = f"1:{base64.b64encode(bytes(32)).decode()}"


def visit(robot: Robot, service: Service, post: Post, funnel: Funnel) -> set[str]:
    """A whole course, and canaries wherever a request can carry one. Returns the secrets that links are made of."""
    links = [*apply(robot, post, funnel), *use_rights(robot, service, post)]
    speak_nonsense(robot, service)
    robot.open(post.mails(ADDRESS)[1].link("Stop"))
    robot.send("Stop the notes")
    return {link.rpartition("/")[2] for link in links}


def apply(robot: Robot, post: Post, funnel: Funnel) -> list[str]:
    take_quiz(robot, funnel, PATTERN)
    robot.follow("by email")
    robot.send("Send me", fill={"email": f"{BIRD}@", "first_name": NAME}, status=400)
    robot.send("Send me", fill={"email": MISTYPED, "first_name": NAME})
    robot.follow("Correct the address")
    robot.send("Send me", fill={"email": ADDRESS, "first_name": NAME})
    until(lambda: post.mails(ADDRESS), "the confirm mail")
    confirm = post.mails(ADDRESS)[0].link("Confirm")
    robot.open(confirm)
    robot.send("Confirm")
    until(lambda: len(post.mails(ADDRESS)) >= 3, "two lessons")
    first = post.mails(ADDRESS)[1]
    return [confirm, *(first.link(words) for words in ("Read in the browser", "Stop", "hoose"))]


def use_rights(robot: Robot, service: Service, post: Post) -> list[str]:
    robot.open(f"{service.url}/house/data")
    robot.send("Send me a link", fill={"email": ADDRESS})
    until(lambda: mailed(post, ADDRESS, "/d/"), "the mail with the link to the data")
    data = mailed(post, ADDRESS, "/d/")[0]
    robot.open(data)
    robot.send("Show my data")
    robot.send("Save", fill={"first_name": f"{NAME}Two"})
    robot.send("Change the address", fill={"email": NEW})
    until(lambda: mailed(post, NEW, "/a/"), "the mail to the new address")
    return [data, *mailed(post, NEW, "/a/")]


def mailed(post: Post, address: str, path: str) -> list[str]:
    return [word for mail in post.mails(address) for word in mail.text.split() if path in word]


def speak_nonsense(robot: Robot, service: Service) -> None:
    """What no page of ours would send."""
    sent = {"user-agent": BIRD, "referer": f"https://{BIRD}.example/", "accept-language": BIRD, "x-forwarded-for": BIRD}
    for path in ("", "/house", "/house/q/1", f"/{BIRD}", f"/r/{BIRD}", f"/static/{BIRD}", f"/house/{in_path(BIRD)}"):
        for method in ("GET", "POST", "PUT"):
            robot.client.request(method, f"{service.url}{path}?{BIRD}={BIRD}", headers=sent, data={"answer": BIRD})
    robot.client.get(f"{service.url}/house/result", headers={"cookie": f"house={BIRD}"})
    robot.client.post(f"{service.url}/hooks/sendgrid", content=BIRD.encode(), headers={"content-type": BIRD})
    with socket.create_connection(("127.0.0.1", service.port)) as raw:
        raw.sendall(f"{BIRD} {BIRD}\r\n{BIRD}\r\n\r\n".encode())
        assert b"400" in raw.recv(100)


def misbehave(post: Post) -> None:
    """The provider says what it has been told, and more."""
    if post.name == "smtp":
        post.server.refuse(MISTYPED, f"550-5.1.1 {MISTYPED}\r\n550 5.1.1 \x1b[31m{BIRD}")
    if post.name == "sendgrid":
        said = {"errors": [{"message": BIRD, "field": BIRD}], BIRD: BIRD}
        soon = {"X-RateLimit-Reset": str(int(time.time()) + 1), "X-Message-Id": BIRD, BIRD: BIRD}
        post.server.script(Answer(429, said, soon))


def tell_later(service: Service, post: Post) -> None:
    """Events of a delivery, signed, and full of canaries."""
    if post.name != "sendgrid":
        return
    batch, position = next(
        ((request["custom_args"]["batch"], one["custom_args"]["position"]))
        for request in post.server.requests
        for one in request["personalizations"]
        if one["to"][0]["email"] == ADDRESS and "List-Id" in request["headers"]
    )
    uid, now_ms = batch.partition(".")[0], int(time.time() * 1000)
    more: dict[str, Any] = dict.fromkeys(
        ("email", "reason", "response", "smtp-id", "useragent", "sg_event_id", BIRD), BIRD
    )
    body = dump(*(event(uid, int(position), kind, now_ms, **more) for kind in ("delivered", "deferred", "bounce")))
    told = httpx2.post(f"{service.url}/hooks/sendgrid", content=body, headers=post.signer.headers(body, now_ms))
    assert told.status_code < 300


def break_down(robot: Robot, service: Service, url: str, valkey: Path) -> None:
    """The tables that the web and the worker write to are gone, and what is in Redis is not ours."""

    async def poison() -> None:
        hints = worker.connect(f"unix://{valkey}")
        await hints.enqueue_job("send_batches", [POISON], _job_id=f"{POISON}1")
        await hints.enqueue_job("send_batches", [], POISON, _job_id=f"{POISON}2")
        await hints.enqueue_job(POISON, POISON, _job_id=f"{POISON}3")
        await hints.aclose(close_connection_pool=True)

    asyncio.run(poison())
    log = service.log.read_text
    until(lambda: "job %s, function %r not found" in log() and "failed, %s: %s" in log(), "arq to tell of such jobs")
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for name in ("request", "due"):
            connection.execute(text(f"ALTER TABLE {name} RENAME TO {name}_away"))
    engine.dispose()
    robot.open(f"{service.url}/house/data")
    robot.send("Send me a link", fill={"email": ADDRESS}, status=500)
    until(lambda: '"event": "fault"' in log() and '"event": "tick"' in log(), "both to tell that something is wrong")


def test_a_canary_that_was_left_is_found_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"x{BIRD.upper()}x")
    (tmp_path / f"{BIRD}.eml").write_text("")
    with sqlite3.connect(tmp_path / "funnel.db") as connection:
        connection.execute("CREATE TABLE held (packed BLOB, text TEXT)")
        connection.execute("INSERT INTO held VALUES (?, ?)", (zlib.compress(BIRD.encode() * 9), BIRD.encode().hex()))
    connection.close()
    found = hits([*in_files(tmp_path), *in_tables(f"sqlite:///{tmp_path}/funnel.db")], {BIRD})
    assert sorted(place for place, _ in found) == ["a name", "a.log", "funnel.db", "table held", "table held"]
    assert hits(in_processes([os.getpid()]), {Path(os.__file__).parts[1]})


@pytest.mark.parametrize(("kind", "carrier"), [("sqlite", "outbox"), ("sqlite", "smtp"), ("postgresql", "sendgrid")])
def test_nothing_that_somebody_types_is_left_anywhere_but_in_their_mail(
    kind: str, carrier: str, tmp_path: Path, funnel: Funnel, databases: Databases
) -> None:
    home = tmp_path / "home"
    url = f"sqlite:///{home}/funnel.db" if kind == "sqlite" else databases.empty(kind)
    hosted = {} if kind == "sqlite" else {"DATABASE_URL": url, "FUNNEL_KEYS": KEYS, "FUNNEL_HOST": "127.0.0.1"}
    with opened(carrier, home) as post, running(home, {**post.env, **hosted}) as service:
        valkey = _socket_path(home / "valkey")
        with Robot(service.url) as robot:
            misbehave(post)
            secrets = visit(robot, service, post, funnel)
            tell_later(service, post)
            shown = list(in_redis(valkey))
            assert shown, "the running Valkey was not read"
            shown += [("metrics", httpx2.get(f"{service.url}/metrics").content), *in_processes(service.family())]
            break_down(robot, service, url, valkey)
        service.stop()
    kept, log = [*in_files(home), *in_tables(url)], service.log.read_text()
    assert hits([*shown, *kept, ("log", log.encode())], {BIRD, *secrets}) == []
    assert hits([*shown, ("log", log.encode())], {PATTERN, POISON}) == []
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert all(set(line) <= {*MAY_BE_LOGGED, "event", "level", "timestamp", "dropped"} for line in lines)
    answers = {answer.key for question in funnel.quiz.questions for answer in question.answers if len(answer.key) > 5}
    told = {place for place, found in [*shown, *kept] for key in answers if key.encode() in found}
    assert told <= {"table revision", *(name for name, _ in kept if name.endswith((".db", ".db-wal")))}
