"""The preview's own small site, for this machine only."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from funnel.core.schedule import PACES
from funnel.lint.finding import Finding
from funnel.preview import shelf
from funnel.preview.draft import Draft
from funnel.preview.scheme import SCHEMES, forced
from funnel.preview.studio import State, Studio
from funnel.settings import LOOPBACK
from funnel.web.pages import STATIC

HERE = Path(__file__).parent
OURS = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; frame-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
# What is shown in a frame runs nothing and sends nothing; only mails have styles of their own.
SHOWN = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
WIDTHS = {"phone": "Phone", "desktop": "Desktop"}


class Unshowable(Exception):
    """What was asked for is not there; the message says why."""


def create_app(studio: Studio) -> Starlette:
    views = {"/": _index, "/show/{kind}/{name}": _show, "/frame/{kind}/{name}": _frame, "/style/{scheme}.css": _style}
    app = Starlette(
        routes=[
            *(Route(path, _in_thread(view), methods=["GET"]) for path, view in views.items()),
            Route("/changed", _in_thread(_changed), methods=["GET"]),
            Mount("/preview-static", StaticFiles(directory=HERE / "static")),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/{path:path}", _nowhere, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(OnlyHere)],
    )
    app.state.studio = studio
    app.state.render = _renderer()
    return app


class OnlyHere:
    """Answers this machine alone, under its own names: another name that leads here is somebody else's page asking."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        here = request.client is not None and request.client.host in LOOPBACK and request.url.hostname in LOOPBACK
        answer = self.app if here else Response("This preview is for the machine it runs on.", 403)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                held = {name for name, _ in message["headers"]}
                policy = [] if b"content-security-policy" in held else [(b"content-security-policy", OURS.encode())]
                message["headers"] += [*policy, (b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer")]
            await send(message)

        await answer(scope, receive, sending)


def _in_thread(view: Callable[[Request], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_answered, view, request)

    return endpoint


def _answered(view: Callable[[Request], Response], request: Request) -> Response:
    """The view's answer; a page that says why, where what was asked for cannot be shown."""
    studio: Studio = request.app.state.studio
    try:
        return view(request)
    except (Unshowable, LookupError) as error:
        said = str(error.args[0]) if error.args else "It is not there."
        return _page(request, "trouble", 404, state=studio.state(), message=said[:1].upper() + said[1:])


def _renderer() -> Callable[..., str]:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip

    def render(template: str, **known: Any) -> str:
        return environment.get_template(f"{template}.html").render(known)

    return render


def _page(request: Request, template: str, status: int = 200, **known: Any) -> Response:
    studio: Studio = request.app.state.studio
    html = request.app.state.render(template, version=studio.version(), **known)
    return Response(html, status, media_type="text/html")


class _Asked:
    """What the address asks for: a funnel as in the files or as in a revision, and an invented reader."""

    def __init__(self, request: Request) -> None:
        self.query = request.query_params
        studio: Studio = request.app.state.studio
        self.state: State = studio.state()
        self.revision = self.query.get("revision", "").strip()
        self.draft = self._draft(studio)
        patterns = list(self.draft.funnel.patterns)
        pattern = self._one_of("pattern", patterns)
        others = [key for key in patterns if key != pattern]
        secondary = self._one_of("secondary", ["", *others]) or None
        locale, pace = self._one_of("locale", list(self.draft.locales)), self._one_of("pace", list(PACES))
        self.wanted = shelf.Wanted(pattern, locale, secondary, pace)
        self.scheme = self._one_of("scheme", list(SCHEMES))
        self.choices = {"pattern": patterns, "secondary": ["", *others], "pace": list(PACES), "scheme": list(SCHEMES)}

    def _draft(self, studio: Studio) -> Draft:
        if self.revision:
            return studio.revision(self.revision)
        drafts = self.state.drafts
        if not drafts:
            raise Unshowable("no funnel can be read as it is" if self.state.problems else "there is no funnel here")
        return drafts.get(self.query.get("funnel", "")) or next(iter(drafts.values()))

    def _one_of(self, name: str, known: list[str]) -> str:
        asked = self.query.get(name, "")
        return asked if asked in known else known[0]

    @property
    def chosen(self) -> dict[str, str]:
        return {
            "funnel": self.draft.funnel.name,
            "pattern": self.wanted.pattern,
            "secondary": self.wanted.secondary or "",
            "pace": self.wanted.pace,
            "locale": self.wanted.locale,
            "scheme": self.scheme,
            "revision": self.revision,
        }

    def about(self, file: str) -> list[Finding]:
        """What the lint says of one file as it is now."""
        return [one for one in self.state.findings or [] if one.file == file and not self.revision]

    def known(self) -> dict[str, Any]:
        """What every page of ours shows."""
        items = list(shelf.items(self.draft, self.wanted.pattern, self.wanted.locale))
        return {
            "state": self.state,
            "asked": self,
            "chosen": self.chosen,
            "query": urlencode({name: value for name, value in self.chosen.items() if value}),
            "groups": {kind: [item for item in items if item.kind == kind] for kind in shelf.KINDS},
            "funnels": list(self.state.drafts),
        }


def _index(request: Request) -> Response:
    asked = _Asked(request)
    files = {item.file for group in asked.known()["groups"].values() for item in group}
    others = [one for one in asked.state.findings or [] if one.file not in files]
    return _page(request, "index", others=others, item=None, **asked.known())


def _show(request: Request) -> Response:
    asked, path = _Asked(request), request.path_params
    known = asked.known()
    item = next((one for one in known["groups"].get(path["kind"], []) if one.name == path["name"]), None)
    if not item:
        raise Unshowable("this is not, or no longer, among what can be shown")
    mail = shelf.mail(asked.draft, item.kind, item.name, asked.wanted)
    return _page(
        request,
        "show",
        item=item,
        mail=mail,
        sender=asked.draft.spoken(asked.wanted.locale).sender,
        widths=WIDTHS,
        **known,
    )


def _frame(request: Request) -> Response:
    asked, path = _Asked(request), request.path_params
    if not asked.state.site:
        raise Unshowable("the service mails cannot be read")
    html = shelf.html(asked.state.site, asked.draft, path["kind"], path["name"], asked.wanted)
    if path["kind"] in (shelf.PAGE, shelf.READ):
        html = _with_style(html, asked.scheme)
    return Response(forced(html, asked.scheme), media_type="text/html", headers={"Content-Security-Policy": SHOWN})


def _with_style(html: str, scheme: str) -> str:
    """The page with the site's style sheet in the color scheme that is wanted."""
    before, found, after = html.partition('href="/static/style.css?')
    return f'{before}href="/style/{scheme}.css?{after}' if found else html


def _style(request: Request) -> Response:
    scheme = request.path_params["scheme"]
    if scheme not in SCHEMES:
        raise HTTPException(404)
    return Response(forced((STATIC / "style.css").read_text(encoding="utf-8"), scheme), media_type="text/css")


def _changed(request: Request) -> Response:
    """The version of what is shown, as an ETag: 304 until a file is saved or the lint has looked."""
    studio: Studio = request.app.state.studio
    tag = f'"{studio.version()}"'
    return Response(status_code=304 if request.headers.get("if-none-match") == tag else 200, headers={"ETag": tag})


async def _nowhere(request: Request) -> Response:
    """Where every link of a mail or page leads."""
    html = request.app.state.render("nowhere", path=f"/{request.path_params['path']}")
    return Response(html, media_type="text/html", headers={"Content-Security-Policy": SHOWN})


def serve(studio: Studio, port: int) -> None:
    """Until somebody stops it."""
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    uvicorn.run(
        create_app(studio), host="127.0.0.1", port=port, log_level="error", access_log=False, server_header=False
    )
