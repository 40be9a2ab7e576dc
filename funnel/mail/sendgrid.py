"""SendGrid's v3 API over pooled connections. One request hands over one batch."""

import ssl
from http.client import HTTPException
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ClosedPoolError, EmptyPoolError, HTTPError

from funnel.core.delivery import Report, Unknowns
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid_answers import NO_ANSWER, NO_CONNECTION, NO_ROOM, NOT_TRUSTED, TOO_LATE, read_answer
from funnel.mail.sendgrid_body import request_body
from funnel.mail.sendgrid_wire import LIMITS, Body, Limits, NotConnectedError, TooLateError, open_pool

WIDTH = 32
LONGEST_ANSWER = 512 * 1024  # a refusal of 1,000 addresses comes to 250 kB


class SendGrid:
    """Up to `width` threads hand over at once, each on a connection of its own; any others wait for a free one."""

    name = "sendgrid"
    unknowns = Unknowns.EVIDENCE

    def __init__(
        self,
        key: str,
        url: str,
        batch_size: int,
        width: int = WIDTH,
        limits: Limits = LIMITS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the key holds characters that no key has")  # http.client would quote it
        self.batch_size = batch_size
        self.width = width
        self._wait_s = limits.connect
        self._path = f"{urlsplit(url).path}/v3/mail/send"
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        self._pool = open_pool(url, tls, width, limits)

    def hand_over(self, mailing: Mailing) -> Report:
        body = Body(request_body(mailing), mailing.in_time)
        try:
            answer, said = self._post(body)
        except (EmptyPoolError, ClosedPoolError):
            return NO_ROOM
        except TooLateError:
            return TOO_LATE
        except NotConnectedError as error:
            return NOT_TRUSTED if _is_distrust(error.__cause__) else NO_CONNECTION
        except (HTTPError, HTTPException, OSError, ValueError):
            # Sent, at least in part, and no answer that can be read: it may have been accepted.
            return NO_ANSWER
        if len(said) > LONGEST_ANSWER:
            return NO_ANSWER
        return read_answer(answer.status, answer.headers, said, mailing)

    def close(self) -> None:
        self._pool.close()

    def _post(self, body: Body) -> tuple[BaseHTTPResponse, bytes]:
        """The answer and its body, which is cut when it is longer than LONGEST_ANSWER."""
        answer = self._pool.urlopen(
            "POST",
            self._path,
            body=body,  # type: ignore[arg-type]  # which our own connection unpacks
            headers=self._headers,
            redirect=False,
            pool_timeout=self._wait_s,
            preload_content=False,
        )
        said, whole = b"", False
        try:
            # Piece by piece to the end: a single read would take a body that breaks off for a whole one.
            for piece in answer.stream(decode_content=False):
                said += piece
                if len(said) > LONGEST_ANSWER:
                    break
            else:
                whole = True
        finally:
            if not whole:
                answer.close()
            answer.release_conn()  # a closed one too: the pool counts it, and opens it again
        return answer, said


def _is_distrust(error: BaseException | None) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError)
