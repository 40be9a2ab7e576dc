"""Sends a request over a socket of its own, and reads what comes back."""

import contextlib
import http.client
import socket
from dataclasses import dataclass

from tests.web.fuzz.case import Case, Framing

PATIENCE_S = 40.0  # longer than the service waits for anything
UNFINISHED = (Framing.SHORT, Framing.BROKEN, Framing.JUNK)
NONE_DUE = "no answer"


@dataclass(frozen=True)
class Answer:
    """`status` is None where nothing came; `fault` says what is wrong with it, in words."""

    status: int | None
    fault: str = ""


def ask(address: tuple[str, int], case: Case) -> Answer:
    """Never raises for anything that the service does."""
    try:
        with socket.create_connection(address, PATIENCE_S) as connection:
            return _judged(case, _exchange(connection, case))
    except TimeoutError:
        return Answer(None, "neither answered nor closed")
    except ConnectionRefusedError:
        return Answer(None, "nobody listens")


def _exchange(connection: socket.socket, case: Case) -> Answer:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(case.raw)
        if case.framing in UNFINISHED:
            connection.shutdown(socket.SHUT_WR)
    answer = http.client.HTTPResponse(connection, method=case.method.decode("latin-1"))
    try:
        answer.begin()
        answer.read()
    except http.client.IncompleteRead:
        return Answer(answer.status, "an answer that breaks off")
    except (http.client.HTTPException, ConnectionResetError):
        return Answer(None)
    finally:
        answer.close()
    return Answer(answer.status)


def _judged(case: Case, answer: Answer) -> Answer:
    if answer.status is None and case.due:
        return Answer(None, "the connection was closed without an answer")
    if answer.status and answer.status >= 500 and case.route != "/readyz":
        return Answer(answer.status, f"answered with {answer.status}")
    return answer if case.due or answer.status is None else Answer(answer.status)
