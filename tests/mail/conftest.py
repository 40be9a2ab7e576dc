"""The shipped mails, compiled once, and the people they go to."""

import socket
from typing import Any

import pytest
from sqlalchemy import create_engine

from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.mail.compile import Template
from funnel.mail.provider import Mailing
from tests.conftest import make_tools
from tests.mail import letters


@pytest.fixture(scope="session")
def desk(keyring: Keyring) -> Tools:
    """What composing needs. No test here opens the database."""
    return make_tools(create_engine("sqlite://"), keyring)


@pytest.fixture(scope="session")
def lessons(desk: Tools, funnel: Funnel) -> dict[tuple[str, str], Template]:
    """Every shipped lesson in every segment, by (key, segment)."""
    return {
        (one.key, segment): letters.lesson(desk, funnel, one.key, segment)
        for pattern in funnel.patterns.values()
        for one in pattern.lessons
        for segment in letters.segments(one.source)
    }


@pytest.fixture(scope="session")
def notices(desk: Tools, funnel: Funnel) -> dict[str, Template]:
    return {kind: letters.notice(desk, funnel, kind) for kind in desk.notices}


@pytest.fixture(scope="session")
def mailing(lessons: dict[tuple[str, str], Template], funnel: Funnel) -> Mailing:
    """A real lesson on its way to Alice, Bob and Charlie."""
    return letters.mailing(lessons["fight-meet", ""], funnel)


def look_up_slowly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that have been looked up from now on: a clock that a look-up moves."""
    looked_up: list[str] = []
    look_up = socket.getaddrinfo

    def slowly(host: str, *others: Any, **more: Any) -> Any:
        looked_up.append(host)
        return look_up(host, *others, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    return looked_up
