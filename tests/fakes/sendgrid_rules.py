"""What SendGrid's v3 API refuses in a mail/send payload, and in which words.

The wording follows SendGrid's public error reference and answers seen in the wild; where neither says,
the limit is real and the wording is ours.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

Json = dict[str, Any]

MAX_RECIPIENTS = 1_000
MAX_BYTES = 10_000
MAX_AHEAD_SECONDS = 72 * 3_600
ERRORS_PAGE = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"
RESERVED_HEADERS = frozenset({
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding",
    "to", "from", "subject", "reply-to", "cc", "bcc",
})  # fmt: skip
ADDRESS = re.compile(
    r"(?=.{3,320}\Z)(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])"
)

STRINGS = {"*": str}
MAILBOX = {"email": str, "name": str}
MAILBOXES = [MAILBOX]
PERSONAL = {
    "to": MAILBOXES, "cc": MAILBOXES, "bcc": MAILBOXES, "subject": str, "send_at": int,
    "headers": STRINGS, "substitutions": STRINGS, "custom_args": STRINGS,
}  # fmt: skip
SHAPE = {
    "personalizations": [PERSONAL], "from": MAILBOX, "reply_to": MAILBOX, "subject": str, "send_at": int,
    "content": [{"type": str, "value": str}], "headers": STRINGS, "custom_args": STRINGS,
    "template_id": str, "mail_settings": {"sandbox_mode": {"enable": bool}},
}  # fmt: skip
JSON_NAMES: dict[type, str] = {
    dict: "object", list: "array", str: "string", int: "integer",
    float: "number", bool: "boolean", type(None): "null",
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One reason to refuse. `field` is a path such as `personalizations.3.to.0.email`, or None."""

    message: str
    field: str | None = None


def error_body(*problems: Problem) -> Json:
    """SendGrid's error JSON: {"errors": [{"message", "field", "help"}]}."""
    return {"errors": [{"message": p.message, "field": p.field, "help": _help(p.field)} for p in problems]}


def find_problems(payload: Any) -> list[Problem]:
    """Everything SendGrid would refuse in a mail/send payload; wrong JSON types hide all the rest."""
    return list(_misshapen(payload, SHAPE, "")) or [*_in_message(payload), *_in_personalizations(payload)]


def _misshapen(value: Any, shape: Any, path: str) -> Iterator[Problem]:
    kind: type = shape if isinstance(shape, type) else type(shape)
    if type(value) is not kind:
        yield Problem(f"Invalid type. Expected: {JSON_NAMES[kind]}, given: {JSON_NAMES[type(value)]}.", path or None)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _misshapen(item, shape[0], f"{path}.{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            if inner := shape.get(key, shape.get("*")):
                yield from _misshapen(item, inner, f"{path}.{key}" if path else key)


def _in_message(payload: Json) -> Iterator[Problem]:
    people = payload.get("personalizations", [])
    recipients = sum(1 for one in people for _ in mailboxes(one))
    if not people:
        wording = "The personalizations field is required and must have at least one personalization."
        yield Problem(wording, "personalizations")
    if len(people) > MAX_RECIPIENTS:
        wording = "The personalization block is limited to 1000 personalizations per API request."
        yield Problem(f"{wording} You have provided {len(people)} personalizations.", "personalizations")
    if recipients > MAX_RECIPIENTS:
        wording = "There is a limit of 1000 total recipients (to + cc + bcc) per request."
        yield Problem(wording, "personalizations")
    yield from _in_sender(payload)
    yield from _in_subject_and_content(payload)
    yield from _in_headers(payload, "")
    yield from _in_send_at(payload, "")


def _in_sender(payload: Json) -> Iterator[Problem]:
    if "email" not in payload.get("from", {}):
        yield Problem("The from object must be provided for every email send.", "from.email")
    for key in ("from", "reply_to"):
        if key in payload and not ADDRESS.fullmatch(payload[key].get("email", "")):
            yield Problem("Does not contain a valid address.", f"{key}.email")


def _in_subject_and_content(payload: Json) -> Iterator[Problem]:
    templated = "template_id" in payload
    subjects = [one.get("subject") for one in payload.get("personalizations", [])]
    if not (payload.get("subject") or templated or (subjects and all(subjects))):
        yield Problem("The subject is required.", "subject")
    content = payload.get("content", [])
    if not content and not templated:
        yield Problem("There must be at least one defined content block.", "content")
    for index, part in enumerate(content):
        for key in ("type", "value"):
            if not part.get(key):
                wording = f"The content {key} must be a string at least one character in length."
                yield Problem(wording, f"content.{index}.{key}")
    ranks = [{"text/plain": 0, "text/html": 1}.get(part.get("type", ""), 2) for part in content]
    if ranks != sorted(ranks):
        wording = "text/plain needs to be first, followed by text/html, followed by any other content."
        yield Problem(f"Following RFC 1341, section 7.2, {wording}", "content")
    if max(ranks.count(0), ranks.count(1)) > 1:
        yield Problem("If present, text/plain and text/html may only be provided once.", "content")


def _in_personalizations(payload: Json) -> Iterator[Problem]:
    for index, one in enumerate(payload.get("personalizations", [])):
        path = f"personalizations.{index}"
        yield from _in_recipients(one, path)
        yield from _in_substitutions(one, path, templated="template_id" in payload or "dynamic_template_data" in one)
        yield from _in_headers(one, f"{path}.")
        yield from _in_send_at(one, f"{path}.")
        if one.get("subject") == "":
            yield Problem(
                "The subject of your email must be a string at least one character in length.", f"{path}.subject"
            )
        if _size(payload.get("custom_args", {}) | one.get("custom_args", {})) > MAX_BYTES:
            wording = (
                "The combined size of both global and personalization custom arguments may not exceed 10,000 bytes"
            )
            yield Problem(f"{wording} per personalization.", f"{path}.custom_args")


def _in_recipients(one: Json, path: str) -> Iterator[Problem]:
    if not one.get("to"):
        wording = "The to array is required for all personalization objects, and must have at least one email object"
        yield Problem(f"{wording} with a valid email address.", f"{path}.to")
    seen: set[str] = set()
    for place, email in mailboxes(one):
        if not ADDRESS.fullmatch(email):
            yield Problem("Does not contain a valid address.", f"{path}.{place}.email")
        elif email.lower() in seen:
            wording = "Each email address in the personalization block should be unique between to, cc, and bcc."
            found = f"We found the first duplicate instance of [{email}] in the {path}.{place.split('.')[0]} field."
            yield Problem(f"{wording} {found}", path)
        seen.add(email.lower())


def _in_substitutions(one: Json, path: str, *, templated: bool) -> Iterator[Problem]:
    if "substitutions" in one and templated:
        # Older "legacy" templates allow this; we never want to depend on it.
        yield Problem("Substitutions may not be used with dynamic templating", f"{path}.substitutions")
    if _size(one.get("substitutions", {})) > MAX_BYTES:
        wording = (
            "The total collective size of your substitutions may not exceed 10,000 bytes per personalization object."
        )
        yield Problem(wording, f"{path}.substitutions")


def _in_headers(holder: Json, prefix: str) -> Iterator[Problem]:
    for name, value in holder.get("headers", {}).items():
        if name.lower() in RESERVED_HEADERS:
            yield Problem(f"Header cannot be one of the reserved keys: {name}.", f"{prefix}headers")
        if not re.fullmatch(r"[!-9;-~]+", name):
            yield Problem("Header keys cannot contain non-ASCII characters or empty spaces.", f"{prefix}headers")
        if not re.fullmatch(r"[ -~\t]*", value):
            yield Problem(f"Header values cannot contain non-ASCII characters: {name}.", f"{prefix}headers")


def _in_send_at(holder: Json, prefix: str) -> Iterator[Problem]:
    if holder.get("send_at", 0) > time.time() + MAX_AHEAD_SECONDS:
        yield Problem("Scheduling more than 72 hours in advance is forbidden.", f"{prefix}send_at")


def mailboxes(one: Json) -> Iterator[tuple[str, str]]:
    """("to.0", "alice@example.org") for each recipient of a personalization."""
    for kind in ("to", "cc", "bcc"):
        for index, mailbox in enumerate(one.get(kind, [])):
            yield f"{kind}.{index}", mailbox.get("email", "")


def _size(strings: dict[str, str]) -> int:
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in chain(strings, strings.values()))


def _help(path: str | None) -> str | None:
    names = [name for name in (path or "").split(".") if name != "email" and not name.isdigit()]
    return f"{ERRORS_PAGE}#message.{'.'.join(names)}" if path else None
