"""The main job over plain HTTP: a visitor that knows no ids and no routes does it by reading pages."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

import httpx2
import pytest
import redis

from funnel.core.sequence import Funnel
from tests.robot import Page, Robot
from tests.service.conftest import PATIENCE_S, Service, free_port, launch, running, until

pytestmark = pytest.mark.service
Visitors = Callable[[Service], Robot]


@pytest.fixture
def visitor() -> Iterator[Visitors]:
    """Makes robots and sends them home after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda service: stack.enter_context(Robot(service.url))


def take_quiz(robot: Robot, funnel: Funnel, pattern: str) -> Page:
    """Reads the article, starts, and answers every question as somebody of this pattern would."""
    robot.follow("Take the quiz")
    robot.send("start")
    for question in funnel.quiz.questions:
        answer = max(question.answers, key=lambda each: each.weights.get(pattern, 0))
        robot.send(robot.page.forms[0].buttons[0].label, pick=answer.text)
    return robot.page


def join(robot: Robot, service: Service, address: str) -> None:
    robot.follow("by email")
    robot.send("Send me", fill={"email": address, "first_name": "Robin"})
    service.until_mail(address, 1)
    robot.open(service.mails(address)[-1].link("Confirm"))
    robot.send("Confirm")


def subjects(funnel: Funnel, pattern: str) -> list[str]:
    return [lesson.source.subject for lesson in funnel.patterns[pattern].lessons]


def test_article_quiz_result_sign_up_confirmation_and_seven_lessons_then_leaving(
    service: Service, funnel: Funnel, visitor: Visitors
) -> None:
    robot, address = visitor(service), "robot@example.org"
    assert funnel.patterns["flight"].name.lower() in take_quiz(robot, funnel, "flight").text.lower()
    join(robot, service, address)
    service.until_mail(address, 8)
    assert service.lessons(address) == subjects(funnel, "flight")
    last = service.mails(address)[-1]
    assert "Robin" in "".join(mail.text for mail in service.mails(address))
    robot.open(last.link("Read in the browser"))
    robot.open(last.link("Stop"))
    robot.send("Stop the notes")
    assert "stopped" in robot.page.text


def test_after_leaving_nothing_more_arrives(service: Service, funnel: Funnel, visitor: Visitors) -> None:
    robot, address = visitor(service), "leaver@example.org"
    take_quiz(robot, funnel, "fawn")
    join(robot, service, address)
    service.until_mail(address, 2)
    robot.open(service.mails(address)[1].link("Stop"))
    robot.send("Stop the notes")
    there = service.lessons(address)
    other, later = visitor(service), "later@example.org"
    take_quiz(other, funnel, "fawn")
    join(other, service, later)
    service.until_mail(later, 8)  # a whole course goes by meanwhile
    assert service.lessons(address) == there
    assert len(there) < 7


def test_flushing_redis_and_killing_the_worker_in_mid_course_loses_and_doubles_nothing(
    funnel: Funnel, visitor: Visitors, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(tmp_path_factory.mktemp("chaos")) as service:
        robot, address = visitor(service), "survivor@example.org"
        take_quiz(robot, funnel, "fight")
        join(robot, service, address)
        for count in (3, 5):
            service.until_mail(address, count)
            with redis.Redis(unix_socket_path=str(_socket(service))) as client:
                client.flushall()
            os.kill(service.pid("worker"), signal.SIGKILL)
        service.until_mail(address, 8)
        assert service.lessons(address) == subjects(funnel, "fight")


def _socket(service: Service) -> str:
    pointer = service.home / "valkey" / "socket"
    return f"{pointer.read_text()}/valkey.sock" if pointer.exists() else str(service.home / "valkey" / "valkey.sock")


def test_the_pages_go_on_without_redis(
    funnel: Funnel, visitor: Visitors, tmp_path_factory: pytest.TempPathFactory
) -> None:
    env = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    home = tmp_path_factory.mktemp("alone")
    service = launch(home, command=("migrate",), env=env)
    assert service.process.wait(PATIENCE_S) == 0, service.log.read_text()
    service = launch(home, command=("web",), env=env)
    try:
        until(lambda: _answers(service), "the web process")
        robot = visitor(service)
        take_quiz(robot, funnel, "freeze")
        robot.follow("by email")
        robot.send("Send me", fill={"email": "alone@example.org"})
        assert "inbox" in robot.page.text
        robot.open(f"{service.url}/readyz", status=503)
    finally:
        assert service.stop() in (0, -signal.SIGTERM)


def _answers(service: Service) -> bool:
    try:
        return httpx2.get(f"{service.url}/healthz").status_code == 200
    except httpx2.HTTPError:
        return False
