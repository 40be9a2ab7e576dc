"""One request as the views see it: the site, the funnel, the form, the moment, and what the browser keeps for us."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from funnel.core import links
from funnel.core.links import Use
from funnel.core.locale import preferred
from funnel.core.quiz import Quiz, Result, score
from funnel.core.sequence import Funnel
from funnel.doors import Doors
from funnel.flow.tools import Tools
from funnel.keyring import Unreadable
from funnel.language import later, own_name
from funnel.settings import Settings
from funnel.store.db import reading
from funnel.web.guard import Unbearable

COOKIE_SECONDS = 24 * 3600
LONGEST_FIELD = 2_000
MOST_FIELDS = 20
STALE = later("This page belongs to an earlier visit. Please go back, load it again, and send it once more.")
TOO_OFTEN = later(
    "More forms arrived just now than we can take. Please wait a few minutes, then go back and send yours again."
)
UNREADABLE = later("We couldn't read what this browser kept for us, so we have cleared it. Please start again.")


class Refusal(HTTPException):
    """A clear 4xx page. `message` says what to do and repeats nothing of what was sent."""

    def __init__(
        self, status: int, message: str, *, forget: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.forget = forget


@dataclass(frozen=True)
class Site:
    """What every view works with."""

    settings: Settings
    tools: Tools
    render: Callable[..., str]
    now_ms: Callable[[], int]
    nudge: Callable[[], None]
    doors: Doors = field(default_factory=Doors)


@dataclass
class Kept:
    """What the browser keeps, encrypted: the quiz's revision and answers, the chosen pattern, the sign-up.

    `browser` is random: forms shown to this browser are stamped for it. `at_ms` is when it was given out: who copies a
    cookie opens nothing with it once its day is over.
    """

    revision_id: str
    answers: dict[str, str] = field(default_factory=dict)
    choice: str | None = None
    signup_id: int | None = None
    address: str | None = None
    first_name: str | None = None
    browser: str = ""
    at_ms: int = 0


@dataclass
class Visit:
    site: Site
    request: Request
    form: Mapping[str, str]
    now_ms: int

    @property
    def tools(self) -> Tools:
        return self.site.tools

    @cached_property
    def funnels(self) -> dict[str, tuple[str, Funnel]]:
        """slug → (current revision id, funnel)."""
        with reading(self.tools.engine) as connection:
            return {funnel.slug: (id_, funnel) for id_, funnel in self.tools.current(connection).values()}

    @cached_property
    def funnel(self) -> Funnel:
        """The funnel that the path names, as published now, in the visitor's language."""
        return self._found[1].read_in(self.locale)

    @cached_property
    def locale(self) -> str:
        """The language of this funnel's pages for this visitor."""
        return self.speaks(self._found[1])

    def speaks(self, funnel: Funnel, theirs: str = "") -> str:
        """The language chosen in this browser, else `theirs` (a reader's own), else the best of what it asks for."""
        headers = self.request.headers
        wanted = (self.request.cookies.get(language_cookie(self.site.settings.secure)), theirs)
        found = next((locale for locale in wanted if locale in funnel.locales), None)
        return found or preferred(headers.get("accept-language", ""), funnel.locales) or funnel.locale

    @property
    def _found(self) -> tuple[str, Funnel]:
        found = self.funnels.get(self.request.path_params["slug"])
        if not found:
            raise HTTPException(404)
        return found

    @cached_property
    def kept(self) -> Kept | None:
        """What this browser kept since a day ago, or None. Raises Refusal for a cookie that is not ours, or broken."""
        text = self.request.cookies.get(self._cookie)
        if text is None:
            return None
        try:
            found = Kept(**json.loads(self.tools.keyring.open_cookie(text, self._cookie)))
            return found if self.now_ms - found.at_ms <= COOKIE_SECONDS * 1000 else None
        except (Unreadable, ValueError, TypeError):
            raise Refusal(400, UNREADABLE, forget=self._cookie) from None

    @cached_property
    def seen(self) -> Funnel:
        """The funnel as this visitor saw it: in the revision of their own quiz, in the language they read now."""
        return self._seen.read_in(self.locale)

    @cached_property
    def _seen(self) -> Funnel:
        if self.kept is None:
            return self._found[1]
        try:
            with reading(self.tools.engine) as connection:
                return self.tools.funnel(connection, self.kept.revision_id)
        except LookupError:
            return self._found[1]

    @property
    def agreed_in(self) -> str:
        """The language of the form that was sent: its wordings are what was agreed to, whatever was chosen since."""
        offered = self.form.get("locale", "")
        return offered if offered in self._seen.locales else self.seen.locale

    @property
    def quiz(self) -> Quiz:
        return self.seen.quiz

    @cached_property
    def result(self) -> Result:
        return score(self.quiz, self.kept.answers if self.kept else {})

    def fresh(self) -> Kept:
        return Kept(self._found[0], browser=secrets.token_hex(8))

    def stamp(self) -> str:
        """What a form carries that is shown to this browser now; without it, the form is not taken."""
        return links.token(self._stamp_keys[0], Use.FORM, self.now_ms)

    @cached_property
    def stamped_ms(self) -> int | None:
        """When the form that was sent was shown to this browser; None when it never was."""
        return links.subject_of(self._stamp_keys, Use.FORM, self.form.get("form", ""))

    @property
    def _stamp_keys(self) -> list[bytes]:
        return self.tools.keyring.form_keys(self.kept.browser if self.kept else "")

    def page(
        self, template: str, status: int = 200, funnel: Funnel | None = None, theirs: str = "", **known: Any
    ) -> Response:
        """An HTML page in the site's look. `theirs` is the language of the reader whose link was followed."""
        main = funnel or self._found[1]
        shown = main.read_in(self.speaks(main, theirs))
        languages = {locale: own_name(locale) for locale in main.locales} if main.translations else {}
        known = {"here": self.request.url.path, "stamp": self.stamp, "languages": languages, "site": self.site, **known}
        text = self.site.render(template, funnel=shown, **known)
        headers = {
            "X-Robots-Tag": "noindex",
            "Content-Language": shown.locale,
            "Vary": "Accept-Language, Cookie",
        }
        return Response(text, status, media_type="text/html", headers=headers)

    def go(self, path: str, keep: Kept | None = None) -> Response:
        """To a page of this funnel, after a form; with `keep`, the browser keeps that."""
        response = RedirectResponse(f"/{self.funnel.slug}/{path}", 303)
        return self.keep(response, keep) if keep else response

    def keep(self, response: Response, kept: Kept) -> Response:
        kept.at_ms = self.now_ms
        sealed = self.tools.keyring.seal_cookie(json.dumps(vars(kept)).encode(), self._cookie)
        response.set_cookie(
            self._cookie, sealed, COOKIE_SECONDS, secure=self.site.settings.secure, httponly=True, samesite="lax"
        )
        return response

    @property
    def _cookie(self) -> str:
        return cookie_name(self.funnel.slug, self.site.settings.secure)


def cookie_name(slug: str, secure: bool) -> str:
    return f"{'__Host-' if secure else ''}{slug}"


def language_cookie(secure: bool) -> str:
    """Holds nothing but the language chosen in this browser; no funnel's slug may be this word."""
    return cookie_name("language", secure)


def view(
    function: Callable[[Visit], Response], *, nudges: bool = False, limited: bool = False, stamped: bool = False
) -> Callable[[Request], Any]:
    """Makes an endpoint of a plain function, which runs in a thread. `now` is read here, once.

    With `nudges`, the workers are told after the answer to a form: somebody is waiting for a mail. A `limited` form may
    be sent only so often. One that is `stamped` must have been shown to the browser whose cookie comes with it.
    """

    def answer(visit: Visit) -> Response:
        if visit.request.method == "POST":
            if limited:
                knock(visit)
            if stamped and visit.kept and visit.stamped_ms is None:
                raise Refusal(403, STALE)
        return function(visit)

    async def endpoint(request: Request) -> Response:
        if refused := request.scope.get("refused"):
            raise HTTPException(refused)
        form = await _form(request) if request.method == "POST" else {}
        site: Site = request.app.state.site
        response = await run_in_threadpool(answer, Visit(site, request, form, site.now_ms()))
        if nudges and request.method == "POST":
            response.background = BackgroundTask(site.nudge)
        return response

    return endpoint


def knock(visit: Visit) -> None:
    """Raises a Refusal for who, or when everybody together, has sent too many forms."""
    client = visit.request.client
    wait_ms = visit.site.doors.knock(client.host if client else "", visit.now_ms)
    if wait_ms:
        raise Refusal(429, TOO_OFTEN, headers={"Retry-After": str(-(-wait_ms // 1000))})


async def _form(request: Request) -> dict[str, str]:
    """The form's text fields. Raises Refusal for everything that none of our forms sends."""
    try:
        async with request.form(max_files=0, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD * 4) as form:
            pairs = form.multi_items()
    except Unbearable as error:
        raise HTTPException(error.status) from None
    except (HTTPException, ClientDisconnect, UnicodeError, ValueError):
        raise Refusal(400, later("The form arrived damaged. Please go back and send it again.")) from None
    fields = {name: value for name, value in pairs if isinstance(value, str)}
    if len(fields) != len(pairs):
        raise Refusal(400, later("The form holds something twice. Please go back and send it again."))
    if any(len(value) > LONGEST_FIELD for value in fields.values()):
        raise Refusal(400, later("Something in the form is longer than it may be. Please go back and shorten it."))
    if any(not _is_text(value) for value in fields.values()):
        raise Refusal(400, later("The form holds characters that are not text. Please go back and type it again."))
    return fields


def _is_text(value: str) -> bool:
    """Whether the bytes that were sent are text. What is not UTF-8 arrives as U+FFFD."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return not {"\x00", "\ufffd"} & set(value)
