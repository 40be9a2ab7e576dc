"""Signing up and confirming. Every reply is the same for every address."""

from typing import Any

from email_validator import EmailNotValidError, validate_email
from starlette.exceptions import HTTPException
from starlette.responses import Response

from funnel.core.consent import Purpose
from funnel.core.schedule import is_zone
from funnel.flow import signup
from funnel.flow.people import Request
from funnel.flow.signup import Confirmable, Link
from funnel.language import later
from funnel.web.visit import Kept, Visit
from funnel.web.visitor import chosen_pattern, chosen_secondary

LONGEST_ADDRESS = 254
LONGEST_NAME = 60
JOINERS = {0x200C: None, 0x200D: None}  # names in some scripts need them


def join(visit: Visit) -> Response:
    if visit.kept is None:
        return visit.go("start")
    pattern = chosen_pattern(visit)
    if pattern is None:
        return visit.go("result")
    if visit.request.method != "POST":
        kept = visit.kept
        return _join_page(visit, pattern, {}, kept.address or "", kept.first_name or "")
    return _sign_up(visit, visit.kept, pattern)


def _join_page(visit: Visit, pattern: str, errors: dict[str, str], address: str, first_name: str) -> Response:
    return visit.page(
        "join",
        400 if errors else 200,
        seen=visit.seen,
        pattern=visit.seen.patterns[pattern],
        errors=errors,
        address=address,
        first_name=first_name,
        ticked={purpose for purpose in Purpose if visit.form.get(purpose)} if errors else set(),
        wordings=visit.seen.wordings,
        longest_name=LONGEST_NAME,
    )


def _sign_up(visit: Visit, kept: Kept, pattern: str) -> Response:
    typed = visit.form.get("email", "").strip()
    first_name = visit.form.get("first_name", "").replace("\xa0", " ").strip(" ")
    address = address_of(typed, local=visit.site.settings.local_mail)
    errors = {}
    if address is None:
        errors["email"] = later("That doesn't look like an email address. It should read like name@example.org.")
    if not is_name(first_name):
        errors["first_name"] = later("A first name may have up to %(longest)s letters and no control characters.")
        first_name = ""
    for purpose in Purpose:
        if visit.form.get(purpose) != "yes":
            errors[purpose] = later(
                "We can only send the notes if you tick this box. If you would rather not, that's fine too."
            )
    if errors or address is None:
        shown = typed if typed.isprintable() and len(typed) <= LONGEST_ADDRESS else ""
        return _join_page(visit, pattern, errors, shown, first_name)
    offered = visit.form.get("zone", "")
    request = Request(
        first_name=first_name,
        pattern=pattern,
        secondary=chosen_secondary(visit, pattern),
        zone=offered if is_zone(offered) else "",
        locale=visit.agreed_in,
    )
    revision_id = kept.revision_id if visit.seen is not visit.funnel else visit.fresh().revision_id
    kept.signup_id = signup.sign_up(visit.tools, revision_id, address, request, visit.now_ms, kept.signup_id)
    kept.address, kept.first_name = address, first_name
    return visit.go("inbox", kept)


def is_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and text.translate(JOINERS).isprintable()


def address_of(typed: str, *, local: bool) -> str | None:
    """The address as we write to it, with its domain in ASCII; None when it is not one."""
    if len(typed) > LONGEST_ADDRESS:
        return None
    try:
        found = validate_email(
            typed, check_deliverability=False, allow_smtputf8=False, strict=True, test_environment=local
        )
    except EmailNotValidError:
        return None
    return found.ascii_email


def inbox(visit: Visit) -> Response:
    if visit.kept is None or visit.kept.signup_id is None:
        return visit.go("start")
    again = False
    if visit.request.method == "POST":
        signup.ask_again(visit.tools, visit.kept.signup_id, visit.now_ms)
        again = True
    return visit.page(
        "inbox",
        address=visit.kept.address,
        again=again,
        subject=visit.tools.notice("confirm", visit.locale).subject.replace("{{ title }}", visit.funnel.title),
        local=visit.site.settings.mail == "outbox",
    )


def confirm(visit: Visit) -> Response:
    token = visit.request.path_params["token"]
    if visit.request.method == "POST":
        return _confirm_page(visit, signup.confirm(visit.tools, token, visit.now_ms), pressed=True)
    return _confirm_page(visit, signup.look_at(visit.tools, token, visit.now_ms), pressed=False)


def _confirm_page(visit: Visit, found: Confirmable, *, pressed: bool) -> Response:
    if found.state == Link.UNKNOWN or found.funnel is None:
        raise HTTPException(404)
    status = 410 if found.state in (Link.EXPIRED, Link.REPLACED) else 200
    known: dict[str, Any] = {"funnel": found.funnel, "theirs": found.locale, "path": _path(visit)}
    return visit.page("confirm", status, state=found.state, pressed=pressed, **known)


def confirm_again(visit: Visit) -> Response:
    """An expired link offers a new mail; what is known of the address stays unsaid."""
    found = signup.look_at(visit.tools, visit.request.path_params["token"], visit.now_ms)
    if found.state == Link.UNKNOWN or found.funnel is None or found.signup_id is None:
        raise HTTPException(404)
    signup.ask_again(visit.tools, found.signup_id, visit.now_ms)
    known: dict[str, Any] = {"funnel": found.funnel, "theirs": found.locale, "path": _path(visit)}
    return visit.page("confirm", state="asked", pressed=True, **known)


def _path(visit: Visit) -> str:
    return f"/c/{visit.request.path_params['token']}"
