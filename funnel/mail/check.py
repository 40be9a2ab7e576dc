"""Would the provider take our mail? Asked without sending any, within seconds, and told in a sentence."""

import http.client
import logging
import os
import smtplib
import ssl
from pathlib import Path
from typing import NamedTuple

import orjson

from funnel.mail.smtp import Smtp

TIMEOUT_S = 10
NEEDED = "mail.send"


class Answer(NamedTuple):
    """Whether mail may be sent; what the provider `says`, and what to `do` about it."""

    ok: bool
    says: str
    do: str = ""


NOT_SENDGRID = Answer(False, "what answers is not SendGrid", "Check SENDGRID_API_URL.")


def outbox(folder: Path) -> Answer:
    """Whether a file can be written there."""
    probe = folder / f".doctor.{os.getpid()}.part"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Answer(False, f"the outbox cannot be written ({error.strerror})", f"Make {folder} writable.")
    return Answer(True, "the outbox can be written")


def sendgrid(key: str, url: str) -> Answer:
    """Whether SendGrid knows the key, and lets it send."""
    from python_http_client.exceptions import HTTPError  # slow to load, and of use only here
    from sendgrid import SendGridAPIClient

    logging.getLogger("python_http_client.client").disabled = True  # at DEBUG it logs the key
    client = SendGridAPIClient(key, host=url).client
    try:
        scopes = orjson.loads(client.scopes.get(timeout=TIMEOUT_S).body)["scopes"]
    except HTTPError as error:
        if error.status_code in (401, 403):
            do = "Set SENDGRID_API_KEY to a key that is valid."
            return Answer(False, f"SendGrid refuses the key ({error.status_code})", do)
        return Answer(False, f"SendGrid answers {error.status_code}", "Try again later; see its status page.")
    except (OSError, http.client.HTTPException) as error:
        do = "Check this machine's network, and SENDGRID_API_URL."
        return Answer(False, f"SendGrid cannot be reached ({type(error).__name__})", do)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return NOT_SENDGRID
    if not isinstance(scopes, list):
        return NOT_SENDGRID
    if NEEDED not in scopes:
        return Answer(False, f"SendGrid's key lacks {NEEDED}", "Give the key the permission to send mail.")
    return Answer(True, "SendGrid takes our mail")


def smtp(url: str, tls: ssl.SSLContext | None = None) -> Answer:
    """Whether the server takes a connection, TLS and login as the sending path makes them, and answers then."""
    try:
        connection = Smtp(url, tls, connections=1)._connect()  # the one way in which mail is sent, too
        try:
            code, _ = connection.noop()
        finally:
            connection.close()
    except smtplib.SMTPAuthenticationError as error:
        do = "Set FUNNEL_MAIL to a user and password that are valid."
        return Answer(False, f"the mail server refuses the login ({error.smtp_code})", do)
    except ssl.SSLError:
        do = "Use the name that stands in its certificate, and check this machine's authorities."
        return Answer(False, "the mail server's TLS cannot be trusted", do)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        do = "Check the host and port in FUNNEL_MAIL, and that the server offers TLS."
        return Answer(False, f"the mail server cannot be used ({type(error).__name__})", do)
    if code != 250:
        return Answer(False, f"the mail server answers {code}", "See the server's own log.")
    return Answer(True, "the mail server takes our login")
