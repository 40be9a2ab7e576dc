"""What SendGrid's event webhook sends, and how it signs."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET_REASON = "550 5.1.1 <canary@example.org>: nobody here by that name"


class Signer:
    """Holds the private key. `public` is what the operator copies into SENDGRID_WEBHOOK_KEY."""

    def __init__(self) -> None:
        self._key = generate_private_key(SECP256R1())
        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = base64.b64encode(der).decode()

    def sign(self, timestamp: str, body: bytes) -> str:
        return base64.b64encode(self._key.sign(timestamp.encode() + body, ECDSA(SHA256()))).decode()

    def headers(self, body: bytes, now_ms: int) -> dict[str, str]:
        timestamp = str(now_ms // 1000)
        return {
            "Content-Type": "application/json;charset=utf-8",
            "X-Twilio-Email-Event-Webhook-Signature": self.sign(timestamp, body),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }


def event(uid: str, position: int, kind: str, at_ms: int, attempt: int = 1, **more: Any) -> dict[str, Any]:
    """One event as SendGrid writes it; `more` overrides."""
    return {
        "email": "canary@example.org",
        "timestamp": at_ms // 1000,
        "smtp-id": "<canary@sendgrid.example>",
        "event": kind,
        "sg_event_id": "c2VjcmV0LWNhbmFyeQ==",
        "sg_message_id": "canary.filter0001.1234.5678-0",
        "ip": "203.0.113.9",
        "useragent": "Canary/1.0",
        "batch": f"{uid}.{attempt}",
        "position": str(position),
        **MORE.get(kind, {}),
        **more,
    }


MORE: Mapping[str, Mapping[str, Any]] = {
    "bounce": {"type": "bounce", "status": "5.1.1", "reason": SECRET_REASON},
    "dropped": {"reason": "Bounced Address", "status": "5.0.0"},
    "deferred": {"response": "451 4.7.1 canary@example.org try again later", "attempt": "5"},
    "delivered": {"response": "250 OK canary@example.org", "tls": 1},
    "group_unsubscribe": {"asm_group_id": 10},
}


def dump(*events: Any) -> bytes:
    return json.dumps(list(events)).encode()
