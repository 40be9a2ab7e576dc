"""Every page as invented visitors see it, through the views and templates of the real ones. Nothing is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from starlette.requests import Request
from starlette.responses import Response

from funnel import respondents
from funnel.core.consent import Standing
from funnel.core.quiz import Outcome, secondary_beside
from funnel.core.schedule import HOUR_MS
from funnel.core.sequence import Funnel
from funnel.flow import pausing, takeout
from funnel.flow.correcting import Swap
from funnel.flow.reading import page_of
from funnel.flow.rights import Door, Holder
from funnel.flow.signup import Link
from funnel.flow.specimen import FIRST_NAME, NOWHERE
from funnel.web import invented, joining, rights, visitor
from funnel.web import pages as site_pages
from funnel.web.visit import Kept, Site, Visit

ADDRESS = "alex@example.org"
DOWNLOAD = "data-download"  # a file to keep, not a page of the site


@dataclass(frozen=True)
class Shown:
    """Whose pages: a revision of a funnel, and the result and language of the visitor."""

    revision_id: str
    funnel: Funnel
    pattern: str
    secondary: str | None = None
    locale: str = ""


@dataclass
class _Invented(Visit):
    """A visit with a funnel and a cookie of our choice instead of the database's and the browser's."""

    shown: Shown | None = None
    invented: Kept | None = None

    @cached_property
    def funnels(self) -> dict[str, tuple[str, Funnel]]:
        assert self.shown is not None
        return {self.shown.funnel.slug: (self.shown.revision_id, self.shown.funnel)}

    @cached_property
    def kept(self) -> Kept | None:
        return self.invented

    @cached_property
    def seen(self) -> Funnel:
        return self.funnel


View = Callable[[_Invented], Response]


def pages(funnel: Funnel) -> list[str]:
    """The names of every page of a funnel."""
    questions = [f"question-{number}" for number in range(1, len(funnel.quiz.questions) + 1)]
    return [name for name in _PAGES if name != "question"] + questions


def page(site: Site, shown: Shown, name: str) -> str:
    """The HTML of a page. Raises LookupError when there is none of that name."""
    kind, _, number = name.rpartition("-") if name.startswith("question-") else (name, "", "")
    if kind not in _PAGES or name not in pages(shown.funnel):
        raise LookupError("no such page")
    path = _PATHS.get(kind, NOWHERE).format(slug=shown.funnel.slug, number=number)
    return _html(_PAGES[kind](_visit(site, shown, path, number)))


def lesson(site: Site, shown: Shown, key: str, traits: Mapping[str, str]) -> str:
    """A lesson as the page that "Read in the browser" opens. Raises LookupError when there is none."""
    found = page_of(site.tools, shown.funnel, key, {**traits, "locale": shown.locale}, NOWHERE, shown.locale)
    if not found:
        raise LookupError("no such lesson")
    return _html(_visit(site, shown, NOWHERE).page("read", lesson=found, path=NOWHERE))


def _visit(site: Site, shown: Shown, path: str, number: str = "") -> _Invented:
    """A visit by somebody who has answered every question; `number` is the one that the path names."""
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "server": ("127.0.0.1", 80)}
    headers = [(b"accept-language", shown.locale.encode())]
    params = {"slug": shown.funnel.slug, "number": number, "token": ""}
    request = Request({**scope, "headers": headers, "path_params": params})
    kept = Kept(shown.revision_id, dict(_answers(shown)), shown.pattern, 0, ADDRESS, FIRST_NAME)
    return _Invented(site, request, {}, site.now_ms(), shown=shown, invented=kept)


def _html(answer: Response) -> str:
    return bytes(answer.body).decode()


def _answers(shown: Shown) -> Mapping[str, str]:
    """Answers that lead to the result, or as near to it as one of many people comes."""
    quiz, wanted = shown.funnel.quiz, (shown.pattern, shown.secondary)
    best: Mapping[str, str] = {}
    for answers, result in respondents.results(quiz):
        if result.outcome == Outcome.DECIDED and (result.primary, result.secondary) == wanted:
            return answers
        if not best and secondary_beside(quiz, result, shown.pattern) == shown.secondary:
            best = answers
    return best


def _with_outcome(outcome: Outcome) -> View:
    def view(visit: _Invented) -> Response:
        found = next((answers for answers, result in respondents.results(visit.quiz) if result.outcome == outcome), {})
        visit.invented = Kept(visit.fresh().revision_id, dict(found))
        return visitor.result(visit)

    return view


def _declined(visit: _Invented) -> Response:
    assert visit.kept is not None
    visit.kept.choice = visitor.NO_COURSE
    return visitor.result(visit)


def _confirm(state: str, *, pressed: bool = False) -> View:
    return lambda visit: visit.page("confirm", state=state, pressed=pressed, path=NOWHERE)


def _stop(state: str) -> View:
    return lambda visit: visit.page("stop", state=state, path=NOWHERE)


def _choose(standing: Standing, *, chosen: bool = False) -> View:
    def view(visit: _Invented) -> Response:
        assert visit.shown is not None
        running = visit.shown.pattern
        done = visit.funnel.patterns[running] if chosen else None
        return visit.page("choose", standing=standing, running=running, done=done, path=NOWHERE, leave=NOWHERE)

    return view


def _door(state: str) -> View:
    return lambda visit: visit.page("door", state=state, path=NOWHERE)


def _swap(state: Swap) -> View:
    return lambda visit: visit.page("swap", state=state, path=NOWHERE)


def _yours(*, done: str = "", problems: Mapping[str, str] | None = None, paused: bool = False) -> View:
    def view(visit: _Invented) -> Response:
        data = _kept(visit)
        if paused:
            data["courses"][0] |= {"state": "paused", "why": pausing.PAUSED_BY_READER, "next_note": None}
        return rights.yours(visit, _holder(visit), data, done, problems, path=NOWHERE, here=NOWHERE)

    return view


def _download(visit: _Invented) -> Response:
    return Response(rights.export_of(visit, _holder(visit), _kept(visit)))


def _kept(visit: _Invented) -> takeout.Data:
    assert visit.shown is not None
    whose = visit.shown.pattern, visit.shown.secondary, visit.shown.locale or visit.shown.funnel.locale
    data = invented.data(visit.shown.funnel, *whose, (ADDRESS, FIRST_NAME), visit.now_ms)
    for consent in data["consents"]:
        consent["revision"] = visit.shown.revision_id
    return data


def _holder(visit: _Invented) -> Holder:
    assert visit.shown is not None
    return Holder(Door.OPEN, visit.shown.funnel, visit.shown.locale, visit.now_ms + HOUR_MS)


def _missing(visit: _Invented) -> Response:
    return visit.page("error", 404, message=site_pages.MESSAGES[404], code=404)


_PAGES: dict[str, View] = {
    "landing": visitor.landing,
    "start": visitor.start,
    "question": visitor.question,
    "result": visitor.result,
    **{f"result-{outcome.value}": _with_outcome(outcome) for outcome in Outcome if outcome != Outcome.DECIDED},
    "result-declined": _declined,
    "join": joining.join,
    "inbox": joining.inbox,
    "confirm": _confirm(Link.OPEN),
    "confirm-done": _confirm(Link.DONE, pressed=True),
    "confirm-before": _confirm(Link.DONE),
    "confirm-expired": _confirm(Link.EXPIRED),
    "confirm-replaced": _confirm(Link.REPLACED),
    "not-me": _confirm("disown"),
    "not-me-done": _confirm("disowned"),
    "choose": _choose(Standing.ACTIVE),
    "choose-done": _choose(Standing.ACTIVE, chosen=True),
    "choose-stopped": _choose(Standing.UNSUBSCRIBED),
    "stop": _stop("running"),
    "stop-done": _stop("stopped"),
    "stop-deleted": _stop("deleted"),
    "resumed": lambda visit: visit.page("resumed"),
    "how": visitor.how,
    "privacy": visitor.privacy,
    "support": visitor.support,
    "data": rights.form,
    "data-problem": lambda visit: visit.page("data", 400, address="alex@example", problem=rights.NO_ADDRESS),
    "data-asked": lambda visit: visit.page("asked"),
    "data-door": _door("open"),
    "data-yours": _yours(),
    "data-saved": _yours(done=rights.SAVED),
    "data-paused": _yours(done=rights.PAUSED, paused=True),
    "data-withdrawn": _yours(done=rights.WITHDRAWN),
    "data-problems": _yours(problems={"first_name": rights.NO_NAME, "sure": rights.NOT_SURE}),
    DOWNLOAD: _download,
    "data-erased": _door("erased"),
    "data-closed": _door("closed"),
    "data-expired": _door("expired"),
    **{f"address-{state.value}": _swap(state) for state in Swap if state != Swap.UNKNOWN},
    "error": _missing,
}
# Those of readers' own links lead nowhere.
_PATHS = {
    "landing": "/{slug}",
    "question": "/{slug}/q/{number}",
    **{name: "/{slug}/result" for name in _PAGES if name.startswith("result")},
    **{name: f"/{{slug}}/{name}" for name in ("start", "join", "inbox", "how", "data", "privacy", "support")},
}
