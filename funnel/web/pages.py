"""The pages' templates, and the answer to everything that goes wrong."""

import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from funnel.core.lesson import fill
from funnel.core.sequence import Funnel
from funnel.language import later, speak
from funnel.markdown import to_html
from funnel.web.visit import Refusal, Site, Visit

HERE = Path(__file__).parent
STATIC = HERE / "static"

log = structlog.get_logger()

MESSAGES = {
    400: later("We couldn't make sense of that. Please go back and try again."),
    403: later("That form came from another site, so we left it alone. Please open our own page and try again."),
    404: later("There is no page here. The link may have been cut off; try copying all of it."),
    405: later("This page can't be used that way. Please go back and try again."),
    408: later("Your form took too long to arrive. Please go back and send it again."),
    410: later("This link has done its work, or its time is up."),
    413: later("That was more than any of our forms can hold. Please go back and send less."),
    421: later("This page is not known by that name. Please use the address in our mails."),
    500: later("Something broke on our side. Nothing you typed was kept. Please try again in a minute."),
}


def renderer() -> Callable[..., str]:
    """render(template, funnel=…, **known) → HTML in the funnel's language."""
    environments: dict[str, Environment] = {}

    def render(template: str, *, funnel: Funnel, **known: Any) -> str:
        if funnel.locale not in environments:
            environments[funnel.locale] = _environment(funnel.locale)
        return environments[funnel.locale].get_template(f"{template}.html").render(known, funnel=funnel)

    return render


def _environment(locale: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    speak(environment, locale)
    environment.globals["asset"] = _assets()
    environment.globals["lang"] = lambda funnel, part: _lang(funnel.spoken(part), locale)
    environment.filters["within"] = lambda html, spoken: Markup(f"<div{spoken}>{html}</div>") if spoken else html  # noqa: S704 -- both are markup
    environment.filters["markdown"] = _markdown
    environment.filters["curly"] = lambda text: re.sub(r"(?<=\w)'|'(?=\w)", "’", text)
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def _lang(spoken: str, locale: str) -> Markup:
    """The attribute that marks what is in another language than its page."""
    return Markup("") if spoken == locale else Markup(' lang="{}"').format(spoken)


def _assets() -> dict[str, str]:
    """file name → URL that changes with its content."""
    return {
        path.name: f"/static/{path.name}?{hashlib.sha256(path.read_bytes()).hexdigest()[:10]}"
        for path in STATIC.iterdir()
        if path.is_file()
    }


def _markdown(text: str, funnel: Funnel) -> Markup:
    urls = {"quiz_url": f"/{funnel.slug}/start", "support_url": f"/{funnel.slug}/support"}
    return Markup(to_html(fill(text, urls)))  # noqa: S704 -- sanitized by to_html


async def refused(request: Request, error: Exception) -> Response:
    """Any HTTP error, as a page in the site's own look."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = str(error.detail) if isinstance(error, Refusal) else MESSAGES.get(status, HTTPStatus(status).phrase)
    response = _error_page(request, status, message)
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    if isinstance(error, Refusal) and error.forget:
        response.delete_cookie(error.forget, secure=error.forget.startswith("__Host-"), httponly=True)
    return response


def broken(request: Request, error: Exception) -> Response:
    """A fault of ours: logged by its kind and place, never with what was typed."""
    where = error.__traceback__
    while where and where.tb_next:
        where = where.tb_next
    place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
    log.error("fault", kind=type(error).__name__, place=place)
    return _error_page(request, 500, MESSAGES[500])


def _error_page(request: Request, status: int, message: str) -> Response:
    site: Site = request.app.state.site
    visit = Visit(site, request, {}, site.now_ms())
    try:
        funnels = [funnel for _, funnel in visit.funnels.values()]
    except Exception as error:  # noqa: BLE001 -- the page about a fault must not be a second fault
        log.error("no content for the error page", kind=type(error).__name__)
        funnels = []
    if not funnels:
        return Response(message, status, media_type="text/plain")
    slug = request.path_params.get("slug")
    funnel = next((funnel for funnel in funnels if funnel.slug == slug), funnels[0])
    # `here` is not the path: a page about a mistake repeats nothing of what was sent.
    return visit.page("error", status, funnel=funnel, message=message, code=status, here="/")
