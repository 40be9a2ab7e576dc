"""What a confirm link opens: one button that confirms, a new mail for an old link, and "this wasn't me"."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from funnel.flow import signup
from funnel.flow.signup import Confirmable, Link
from funnel.web.visit import Visit


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


def not_me(visit: Visit) -> Response:
    """Somebody else typed this address: once pressed, it gets no more mail from anybody's sign-up."""
    token = visit.request.path_params["token"]
    found = signup.look_at(visit.tools, token, visit.now_ms)
    if found.state == Link.UNKNOWN or found.funnel is None:
        raise HTTPException(404)
    state: str = found.state
    if state != Link.DONE:
        pressed = visit.request.method == "POST" and signup.disown(visit.tools, token, visit.now_ms)
        state = "disowned" if pressed else "disown"
    known: dict[str, Any] = {"funnel": found.funnel, "theirs": found.locale, "path": _path(visit)}
    return visit.page("confirm", state=state, pressed=False, **known)


def _path(visit: Visit) -> str:
    return f"/c/{visit.request.path_params['token']}"
