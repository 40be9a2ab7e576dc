"""SMTP over persistent connections, one per thread. TLS is verified; only this machine is spoken to without it."""

import contextlib
import smtplib
import ssl
import threading
from urllib.parse import unquote, urlsplit

from funnel.core.delivery import ACCEPTED, Fate, Report, State, Unknowns
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing, Recipient

WINDOW = 50
TIMEOUT_S = 20
SOON_MS = 30_000
LATER_MS = 15 * 60_000
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TROUBLE = (OSError, smtplib.SMTPException, ValueError)  # ValueError: credentials that SMTP cannot express
_NO_CONNECTION = Fate(State.PLANNED, "connection", retry_ms=SOON_MS)
_SENDER_REFUSED = Fate(State.PLANNED, "sender refused", retry_ms=LATER_MS)


class Smtp:
    """A server named by smtp://user:password@host:port."""

    name = "smtp"
    unknowns = Unknowns.HOLD
    batch_size = WINDOW

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 587
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._tls = tls or ssl.create_default_context()
        self._local = threading.local()
        self._open: set[smtplib.SMTP] = set()

    def hand_over(self, mailing: Mailing) -> Report:
        """Sends message after message; what was not begun when a connection broke goes back to be planned."""
        try:
            connection = self._connection()
        except _TROUBLE:
            return Report(_NO_CONNECTION)
        fates: list[Fate] = []
        for recipient in mailing.recipients:
            fates.append(self._send(connection, mailing, recipient))
            if fates[-1].reason in (_NO_CONNECTION.reason, _SENDER_REFUSED.reason):
                break
        rest = _SENDER_REFUSED if fates[-1] == _SENDER_REFUSED else _NO_CONNECTION
        fates += [rest] * (len(mailing.recipients) - len(fates))
        if set(fates) in ({_SENDER_REFUSED}, {_NO_CONNECTION}):
            return Report(fates[0])
        return Report(ACCEPTED, {place: fate for place, fate in enumerate(fates) if fate != ACCEPTED})

    def close(self) -> None:
        for connection in list(self._open):
            self._drop(connection)

    def _send(self, connection: smtplib.SMTP, mailing: Mailing, recipient: Recipient) -> Fate:
        message = to_mime(mailing, recipient)
        try:
            code, _ = connection.mail(mailing.sender_address)
            if code >= 400:
                connection.rset()
                return _SENDER_REFUSED
            code, _ = connection.rcpt(recipient.address)
            if code >= 400:
                connection.rset()
                return _refused(code)
        except _TROUBLE:
            self._drop(connection)
            return _NO_CONNECTION
        try:
            code, _ = connection.data(message)
        except smtplib.SMTPDataError as error:  # refused before the message was sent
            with contextlib.suppress(*_TROUBLE):
                connection.rset()
            return _refused(error.smtp_code)
        except _TROUBLE:
            # The message may have arrived: nobody can tell.
            self._drop(connection)
            return Fate(State.UNKNOWN, _NO_CONNECTION.reason)
        return ACCEPTED if code < 400 else _refused(code)

    def _connection(self) -> smtplib.SMTP:
        """This thread's connection, opened anew when the server has closed it."""
        held = self._held()
        if held is not None and _alive(held):
            return held
        self._drop(held)
        self._local.connection = fresh = self._connect()
        self._open.add(fresh)
        return fresh

    def _connect(self) -> smtplib.SMTP:
        connection = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.ehlo()
            encrypted = connection.has_extn("starttls")
            if encrypted:
                connection.starttls(context=self._tls)
                connection.ehlo()
            if not encrypted and self._host not in _LOOPBACK:
                raise smtplib.SMTPException("the server offers no TLS; nothing of ours travels in the clear")
            if self._user:
                connection.login(self._user, self._password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _held(self) -> smtplib.SMTP | None:
        held: smtplib.SMTP | None = getattr(self._local, "connection", None)
        return held

    def _drop(self, connection: smtplib.SMTP | None) -> None:
        if connection is None:
            return
        self._open.discard(connection)
        if self._held() is connection:
            self._local.connection = None
        with contextlib.suppress(*_TROUBLE):
            connection.quit()
        connection.close()


def _refused(code: int) -> Fate:
    if code < 500:
        return Fate(State.PLANNED, f"refused for now ({code})", retry_ms=LATER_MS)
    return Fate(State.FAILED, f"refused ({code})")


def _alive(connection: smtplib.SMTP) -> bool:
    """Whether the server still answers on a connection that has been idle."""
    try:
        return connection.noop()[0] == 250
    except _TROUBLE:
        return False
