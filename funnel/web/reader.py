"""What a reader's links open: read a lesson, stop the notes, choose another course. GET changes nothing."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from funnel.core import links
from funnel.core.consent import Standing
from funnel.core.links import Use
from funnel.flow import course, leaving, reaching, reading
from funnel.flow.course import Found
from funnel.language import later
from funnel.web.visit import Refusal, Visit


def read(visit: Visit) -> Response:
    """A lesson in the browser. The link opens this one lesson and nothing else."""
    found = reading.lesson_page(visit.tools, _delivery(visit, Use.READ))
    if not found:
        raise HTTPException(404)
    path = _path(visit, Use.READ)
    return visit.page("read", funnel=found.funnel, theirs=found.reader_locale, lesson=found, path=path)


def reach(visit: Visit) -> Response:
    """The button of an event on a lesson's page. Pressing it twice is once."""
    event = visit.request.path_params["event"]
    known = reaching.reach(visit.tools, _delivery(visit, Use.READ), event, visit.now_ms)
    if known is None:
        raise HTTPException(404)
    if not known:
        raise Refusal(
            410, later("There is nothing to press any more: these notes have ended, or this one has changed.")
        )
    return RedirectResponse(_path(visit, Use.READ), 303)


def unsubscribe(visit: Visit) -> Response:
    """A page with one button; and the POST of people and mail clients alike, which answers 200 and never redirects."""
    delivery_id = _delivery(visit, Use.UNSUBSCRIBE)
    pressed = visit.request.method == "POST"
    if pressed:
        leaving.unsubscribe(visit.tools, delivery_id, visit.now_ms)
    found = course.reader_of(visit.tools, delivery_id)
    if not found:
        return _stop_page(visit, None, "deleted")
    running = found.standing == Standing.ACTIVE
    return _stop_page(visit, found, "running" if running else "deleted" if found.deleted else "stopped")


def withdraw(visit: Visit) -> Response:
    """Stops the notes and deletes the result."""
    delivery_id = _delivery(visit, Use.UNSUBSCRIBE)
    found = course.reader_of(visit.tools, delivery_id)
    leaving.withdraw(visit.tools, delivery_id, visit.now_ms)
    return _stop_page(visit, found, "deleted")


def _stop_page(visit: Visit, found: Found | None, state: str) -> Response:
    """`state`: running, stopped (can be taken back) or deleted, which a link of ours without its delivery is too."""
    shown = found.funnel if found else next(iter(visit.funnels.values()))[1]
    theirs = found.locale if found else ""
    return visit.page("stop", funnel=shown, theirs=theirs, state=state, path=_path(visit, Use.UNSUBSCRIBE))


def undo(visit: Visit) -> Response:
    delivery_id, found = _reader(visit, Use.UNSUBSCRIBE)
    if not leaving.undo_unsubscribe(visit.tools, delivery_id, visit.now_ms):
        raise Refusal(
            410, later("The day for taking it back is over. You are welcome to sign up again whenever you like.")
        )
    return visit.page("resumed", funnel=found.funnel, theirs=found.locale)


def choose(visit: Visit) -> Response:
    delivery_id, found = _reader(visit, Use.CHOOSE)
    leave = links.token(visit.tools.keyring.link_key, Use.UNSUBSCRIBE, delivery_id)
    known: dict[str, Any] = {
        **{"path": _path(visit, Use.CHOOSE), "leave": f"/{Use.UNSUBSCRIBE}/{leave}"},
        **{"funnel": found.funnel, "theirs": found.locale, "standing": found.standing},
    }
    if visit.request.method != "POST":
        return visit.page("choose", running=found.running, done=None, **known)
    pattern = visit.form.get("pattern", "")
    if pattern not in found.funnel.patterns:
        raise Refusal(400, later("Nothing was chosen. Please go back and pick one."))
    if not course.choose(visit.tools, delivery_id, pattern, visit.now_ms):
        raise Refusal(410, later("The notes have been stopped. To start again, take the quiz and sign up anew."))
    done = found.funnel.read_in(visit.speaks(found.funnel, found.locale)).patterns[pattern]
    return visit.page("choose", running=pattern, done=done, **known)


def _delivery(visit: Visit, use: Use) -> int:
    found = links.subject_of(visit.tools.keyring.link_keys, use, visit.request.path_params["token"])
    if found is None:
        raise HTTPException(404)
    lasts_ms = visit.site.settings.retention_ms["links"]
    if use != Use.UNSUBSCRIBE and reading.is_over(visit.tools, found, lasts_ms, visit.now_ms):
        raise Refusal(410, later("This link has run out. You are welcome to take the quiz again."))
    return found


def _reader(visit: Visit, use: Use) -> tuple[int, Found]:
    delivery_id = _delivery(visit, use)
    found = course.reader_of(visit.tools, delivery_id)
    if not found:
        raise HTTPException(404)
    return delivery_id, found


def _path(visit: Visit, use: Use) -> str:
    return f"/{use}/{visit.request.path_params['token']}"
