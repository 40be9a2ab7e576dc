"""SendGrid's v3 API over pooled connections. One request hands over one batch."""

import re
import ssl
from typing import Any

import orjson
import urllib3

from funnel.core.delivery import Fate, Report, State, Unknowns
from funnel.mail.compile import Template, escape_html, value_of
from funnel.mail.message import one_line
from funnel.mail.provider import Mailing, Recipient

CONNECT_S = 5.0
READ_S = 30.0
SOON_MS = 30_000
LATER_MS = 10 * 60_000
REFUSALS = frozenset({400, 401, 403, 404, 405, 406, 413, 415})
_POSITION = re.compile(r"personalizations\.(\d{1,4})\b")


class SendGrid:
    name = "sendgrid"
    unknowns = Unknowns.EVIDENCE

    def __init__(self, key: str, url: str, batch_size: int) -> None:
        self.batch_size = batch_size
        self._url = f"{url}/v3/mail/send"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=timeout)

    def hand_over(self, mailing: Mailing) -> Report:
        body = orjson.dumps(payload(mailing))
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=self._headers, redirect=False)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            return Report(Fate(State.PLANNED, "no connection", retry_ms=SOON_MS))
        except urllib3.exceptions.SSLError as error:
            # Before the handshake is done nothing is sent; later on, nobody can tell.
            if isinstance(error.args[0], ssl.SSLCertVerificationError):
                return Report(Fate(State.PLANNED, "certificate not trusted", retry_ms=LATER_MS))
            return Report(Fate(State.UNKNOWN, "no answer"))
        except urllib3.exceptions.HTTPError:
            # Sent, and no answer that can be read: it may have been accepted.
            return Report(Fate(State.UNKNOWN, "no answer"))
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return _report(answer.status, headers, answer.data, mailing)

    def close(self) -> None:
        self._pool.clear()


def payload(mailing: Mailing) -> dict[str, Any]:
    """The request's JSON. Fields travel as substitutions between delimiters that nobody can guess."""
    template = mailing.template
    texts = {field: f"[t{template.nonce}.{place}]" for place, field in enumerate(template.fields)}
    htmls = {field: f"[h{template.nonce}.{place}]" for place, field in enumerate(template.fields)}
    subject, text = (
        "".join(part if isinstance(part, str) else texts[part] for part in pieces.parts)
        for pieces in (template.subject, template.text)
    )
    html = "".join(part if isinstance(part, str) else htmls[part] for part in template.html.parts)
    return {
        "from": {"email": mailing.sender_address, "name": mailing.sender_name},
        "subject": one_line(subject),
        "content": [{"type": "text/plain", "value": text}, {"type": "text/html", "value": html}],
        "headers": dict(mailing.headers),
        "custom_args": {"batch": mailing.uid},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
        "personalizations": [
            _personalization(place, recipient, template, texts, htmls)
            for place, recipient in enumerate(mailing.recipients)
        ],
    }


def _personalization(
    place: int, recipient: Recipient, template: Template, texts: dict[Any, str], htmls: dict[Any, str]
) -> dict[str, Any]:
    substitutions = {}
    for field in template.fields:
        value = value_of(field, recipient.values)
        substitutions[texts[field]] = value
        substitutions[htmls[field]] = escape_html(value)
    return {
        "to": [{"email": recipient.address}],
        "headers": {"Message-ID": recipient.message_id, **recipient.headers},
        "substitutions": substitutions,
        "custom_args": {"position": str(place)},
    }


def _report(status: int, headers: dict[str, str], body: bytes, mailing: Mailing) -> Report:
    if status == 202:
        return Report(Fate(State.ACCEPTED, reference=headers.get("x-message-id", "")[:200]))
    if status == 429:
        return Report(Fate(State.PLANNED, "rate limit", retry_ms=_until_reset(headers, mailing.date_ms)))
    if status == 400 and (places := _refused_places(body, len(mailing.recipients))):
        refused = Fate(State.FAILED, "address refused")
        return Report(Fate(State.PLANNED, "another address was refused"), dict.fromkeys(places, refused))
    if status in REFUSALS or 300 <= status < 400:
        # Nothing was sent and nothing will be until a person looks: hold the batch, and say so in the log.
        return Report(Fate(State.PLANNED, f"answer {status}", retry_ms=LATER_MS))
    return Report(Fate(State.UNKNOWN, f"answer {status}"))


def _until_reset(headers: dict[str, str], now_ms: int) -> int:
    reset = headers.get("x-ratelimit-reset", "")
    if not reset.isdecimal() or len(reset) > 12:
        return SOON_MS
    return min(max(int(reset) * 1000 - now_ms, 1000), LATER_MS)


def _refused_places(body: bytes, size: int) -> set[int]:
    """The places of the recipients that a 400 blames; none when it blames anything else too, or makes no sense."""
    try:
        matches = [_POSITION.match(str(error.get("field"))) for error in orjson.loads(body)["errors"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return set()
    places = {int(match[1]) for match in matches if match}
    return places if None not in matches and all(place < size for place in places) else set()
