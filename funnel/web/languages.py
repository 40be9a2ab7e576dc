"""The switch between languages. The choice stays in the browser, in a cookie that holds nothing else."""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from funnel.language import later
from funnel.web.visit import COOKIE_SECONDS, Refusal, Visit, language_cookie

# A path of ours, and nothing that a browser would read as another site's address.
_PATH = re.compile(r"/(?:[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*)?")
# Pages that are only answers to forms → the page whose form it was.
_ASKED = re.compile(r"(/c/[^/]+)/again|(/u/[^/]+)/(?:undo|delete)")


def choose_language(visit: Visit) -> Response:
    """Remembers a language and goes back to the page it was chosen on."""
    wanted = visit.form.get("language", "")
    if not any(wanted in funnel.locales for _, funnel in visit.funnels.values()):
        raise Refusal(400, later("That language isn't one of ours. Please go back and pick again."))
    response = RedirectResponse(_back(visit.request, visit.form.get("to", "")), 303)
    secure = visit.site.settings.secure
    response.set_cookie(language_cookie(secure), wanted, COOKIE_SECONDS, secure=secure, httponly=True, samesite="lax")
    return response


def _back(request: Request, path: str) -> str:
    """Where the form stood; the front page when that is not a page of ours."""
    if asked := _ASKED.fullmatch(path):
        path = asked[1] or asked[2]
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    routes = request.app.routes
    ours = _PATH.fullmatch(path) and any(route.matches(scope)[0] == Match.FULL for route in routes)
    return path if ours else "/"
