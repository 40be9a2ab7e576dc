"""SMTP over a few persistent connections. TLS is verified; only this machine is spoken to without it."""

import contextlib
import smtplib
import ssl
from queue import Empty, LifoQueue
from urllib.parse import unquote, urlsplit

from funnel.core.delivery import Fate, Health, Report, State, Unknowns
from funnel.mail.provider import Mailing
from funnel.mail.smtp_session import Session
from funnel.mail.smtp_window import LATER_MS, NO_CONNECTION, Window

WINDOW = 50
CONNECT_S = 10.0
READ_S = 30.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TROUBLE = (OSError, smtplib.SMTPException, ValueError)  # ValueError: credentials that SMTP cannot express
_ANSWERS = (smtplib.SMTPConnectError, smtplib.SMTPHeloError, smtplib.SMTPAuthenticationError)
_LOGIN_REFUSED = Fate(State.PLANNED, "login refused", retry_ms=LATER_MS)


class Smtp:
    """A server named by smtp://user:password@host:port.

    At most `connections` are open at once, one for each thread that hands over. Each carries at most `limit` messages:
    many servers want no more than 100. A server has `read_s` seconds for an answer.
    """

    name = "smtp"
    unknowns = Unknowns.POLICY
    batch_size = WINDOW

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext | None = None,
        *,
        connections: int = 4,
        limit: int = 100,
        read_s: float = READ_S,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 587
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._tls = tls or ssl.create_default_context()
        self.width = connections
        self._limit, self._read_s = limit, read_s
        self._own_name: str | None = None
        # Last in, first out: what is open is used before more is opened.
        self._slots: LifoQueue[Session | None] = LifoQueue()
        for _ in range(connections):
            self._slots.put(None)

    def hand_over(self, mailing: Mailing) -> Report:
        """Sends message after message; what was not begun when a connection broke goes back to be planned."""
        window = Window(mailing)
        held, kept = self._slots.get(), None
        try:
            while window.waiting and (held := held or self._session(window)):
                held = held if window.send(held) else None
            kept = held
        finally:
            self._slots.put(kept)
        return window.report()

    def close(self) -> None:
        """Closes the connections that nobody uses at the moment."""
        held = []
        with contextlib.suppress(Empty):
            while True:
                held.append(self._slots.get_nowait())
        for session in held:
            if session:
                session.quit()
            self._slots.put(None)

    def _session(self, window: Window) -> Session | None:
        try:
            return Session(self._connect(), self._read_s, self._limit)
        except _TROUBLE as error:
            window.stop(*_why(error))
            return None

    def _connect(self) -> smtplib.SMTP:
        connection = smtplib.SMTP(self._host, self._port, local_hostname=self._own_name, timeout=CONNECT_S)
        self._own_name = connection.local_hostname  # finding it out may ask a name server
        try:
            connection.ehlo_or_helo_if_needed()
            encrypted = connection.has_extn("starttls")
            if encrypted:
                connection.starttls(context=self._tls)
                connection.ehlo_or_helo_if_needed()
            if not encrypted and self._host not in _LOOPBACK:
                raise smtplib.SMTPException("the server offers no TLS; nothing of ours travels in the clear")
            if self._user:
                connection.login(self._user, self._password)
        except BaseException:
            connection.close()
            raise
        return connection


def _why(error: Exception) -> tuple[Fate, Health]:
    """What becomes of the mail when no connection can be had, and what that says about the server."""
    code = error.smtp_code if isinstance(error, _ANSWERS) else 0
    if code >= 500:
        login = isinstance(error, smtplib.SMTPAuthenticationError)
        return _LOGIN_REFUSED if login else NO_CONNECTION, Health.REFUSING
    return NO_CONNECTION, Health.BUSY if code >= 400 else Health.FAILING
