"""Your data: asking for a fresh link, and the page behind it. Opening a link shows nothing and changes nothing; the
holder presses a button first, and everything is done by forms.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from funnel.core import links
from funnel.core.consent import Action, Purpose
from funnel.core.links import Use
from funnel.core.schedule import PACES, is_zone
from funnel.flow import correcting, rights, takeout
from funnel.flow.correcting import Swap, Wishes
from funnel.flow.rights import Door, Holder
from funnel.language import later
from funnel.web.joining import LINK, LONGEST_ADDRESS, LONGEST_NAME, address_of, is_name
from funnel.web.visit import Visit, knock

NO_ADDRESS = later("That doesn't look like an email address. It should read like name@example.org.")
NO_NAME = later("A first name may have up to %(longest)s letters and no control characters.")
NO_ZONE = later("Please pick a time zone from the list.")
NOT_SURE = later("Please tick the box first: this can't be undone.")
SAVED = later("Saved.")
PAUSED = later("Paused. Nothing more comes until you go on.")
WITHDRAWN = later("Taken back. It counts from this moment on.")
ASKABLE = (Use.READ, Use.UNSUBSCRIBE, Use.CHOOSE)


def form(visit: Visit) -> Response:
    """Where somebody without a mail of ours at hand asks for a link. The same reply for every address."""
    if visit.request.method != "POST":
        return visit.page("data", address="", problem="")
    typed = visit.form.get("email", "").strip()
    address = address_of(typed, local=visit.site.settings.local_mail)
    if address is None:
        shown = typed if typed.isprintable() and len(typed) <= LONGEST_ADDRESS else ""
        return visit.page("data", 400, address=shown, problem=NO_ADDRESS)
    rights.ask_by_address(visit.tools, address, visit.now_ms)
    return visit.page("asked")


def ask(visit: Visit) -> Response:
    """The button on a lesson's pages. The mail goes to the reader, not to whoever has the link."""
    use = visit.request.path_params["use"]
    token = visit.request.path_params["token"]
    delivery_id = links.subject_of(visit.tools.keyring.link_keys, Use(use), token) if use in ASKABLE else None
    found = rights.ask_by_delivery(visit.tools, delivery_id, visit.now_ms) if delivery_id is not None else None
    if found is None:
        raise HTTPException(404)
    return visit.page("asked", funnel=found.funnel, theirs=found.locale, here=f"/{use}/{token}")


def door(visit: Visit) -> Response:
    """A fresh link: a button, and behind it the page."""
    holder = _holder(visit)
    if visit.request.method == "POST" and holder.state == Door.OPEN:
        return _yours(visit, holder)
    return _closed(visit, holder) if holder.state != Door.OPEN else _page(visit, holder, "door", state="open")


def act(visit: Visit) -> Response:
    """What is done on the page, by the name of the form's address."""
    holder = _holder(visit)
    wanted = ACTS.get(visit.request.path_params["act"])
    if wanted is None:
        raise HTTPException(404)
    if wanted is _again:
        return _again(visit, holder)
    return wanted(visit, holder) if holder.state == Door.OPEN else _closed(visit, holder)


def swap(visit: Visit) -> Response:
    """The link in a mail to a new address."""
    token = visit.request.path_params["token"]
    pressed = visit.request.method == "POST"
    found = (correcting.swap if pressed else correcting.look_at)(visit.tools, token, visit.now_ms)
    if found.state == Swap.UNKNOWN or found.funnel is None:
        raise HTTPException(404)
    status = {Swap.EXPIRED: 410, Swap.TAKEN: 409}.get(found.state, 200)
    return visit.page("swap", status, funnel=found.funnel, theirs=found.locale, state=found.state, path=f"/a/{token}")


def _download_json(visit: Visit, _holder: Holder) -> Response:
    body = orjson.dumps(_data(visit), option=orjson.OPT_INDENT_2)
    return _file(body, "application/json", "my-data.json")


def _download_html(visit: Visit, holder: Holder) -> Response:
    return _file(export_of(visit, holder, _data(visit)).encode(), "text/html; charset=utf-8", "my-data.html")


def export_of(visit: Visit, holder: Holder, data: takeout.Data) -> str:
    """The page to take along."""
    assert holder.funnel is not None
    shown = holder.funnel.read_in(visit.speaks(holder.funnel, holder.locale))
    return visit.site.render("export", funnel=shown, data=data)


def _correct(visit: Visit, holder: Holder) -> Response:
    first_name = visit.form.get("first_name", "").replace("\xa0", " ").strip(" ")
    zone, locale = visit.form.get("zone", ""), visit.form.get("locale", "")
    if not is_name(first_name):
        return _yours(visit, holder, problems={"first_name": NO_NAME})
    if zone and not is_zone(zone):
        return _yours(visit, holder, problems={"zone": NO_ZONE})
    assert holder.funnel is not None
    paces = {_number(name[5:]): pace for name, pace in visit.form.items() if name.startswith("pace-")}
    spoken = locale if locale in holder.funnel.locales else None
    link_only = visit.form["mail"] == LINK if "mail" in visit.form else None
    wishes = Wishes(first_name, zone or None, spoken, paces, link_only)
    correcting.correct(visit.tools, _token(visit), wishes, visit.now_ms)
    return _yours(visit, holder, done=SAVED)


def _address(visit: Visit, holder: Holder) -> Response:
    address = address_of(visit.form.get("email", "").strip(), local=visit.site.settings.local_mail)
    if address is None:
        return _yours(visit, holder, problems={"email": NO_ADDRESS})
    knock(visit)
    correcting.ask_for_address(visit.tools, _token(visit), address, visit.now_ms)
    return _yours(
        visit, holder, done=later("A mail is on its way to the new address. It counts once you press the button there.")
    )


def _pause(visit: Visit, holder: Holder) -> Response:
    rights.pause(visit.tools, _token(visit), _course(visit), visit.now_ms)
    return _yours(visit, holder, done=PAUSED)


def _resume(visit: Visit, holder: Holder) -> Response:
    rights.resume(visit.tools, _token(visit), _course(visit), visit.now_ms)
    return _yours(visit, holder, done=later("The notes go on where they stood."))


def _withdraw(visit: Visit, holder: Holder) -> Response:
    try:
        purpose = Purpose(visit.form.get("purpose", ""))
    except ValueError:
        raise HTTPException(400) from None
    rights.withdraw(visit.tools, _token(visit), purpose, visit.now_ms)
    return _yours(visit, holder, done=WITHDRAWN)


def _erase(visit: Visit, holder: Holder) -> Response:
    if visit.form.get("sure") != "yes":
        return _yours(visit, holder, problems={"sure": NOT_SURE})
    rights.erase(visit.tools, _token(visit), visit.now_ms)
    return _page(visit, holder, "door", state="erased")


def _close(visit: Visit, holder: Holder) -> Response:
    rights.close(visit.tools, _token(visit), visit.now_ms)
    return _page(visit, holder, "door", state="closed")


def _again(visit: Visit, holder: Holder) -> Response:
    knock(visit)
    rights.ask_anew(visit.tools, _token(visit), visit.now_ms)
    return _page(visit, holder, "asked")


ACTS: Mapping[str, Callable[[Visit, Holder], Response]] = {
    **{"json": _download_json, "html": _download_html, "correct": _correct, "address": _address},
    **{"pause": _pause, "resume": _resume, "withdraw": _withdraw, "erase": _erase, "close": _close, "again": _again},
}


def _yours(visit: Visit, holder: Holder, done: str = "", problems: Mapping[str, str] | None = None) -> Response:
    return yours(visit, holder, _data(visit), done, problems)


def yours(
    visit: Visit,
    holder: Holder,
    data: takeout.Data,
    done: str = "",
    problems: Mapping[str, str] | None = None,
    **known: Any,
) -> Response:
    """Everything at a glance, and what can be done with it. `done` says what has just been."""
    return _page(
        visit,
        holder,
        "yours",
        400 if problems else 200,
        data=data,
        local=_clock(data["person"]["time_zone"]),
        standing_consents=_standing(data),
        done=done,
        problems=problems or {},
        minutes=max(1, (holder.until_ms - visit.now_ms) // 60_000),
        zones=_zones(),
        paces=PACES,
        longest_name=LONGEST_NAME,
        **known,
    )


def _clock(zone: str) -> Callable[[str], datetime]:
    """Turns a moment of the data into the reader's own time."""
    theirs = ZoneInfo(zone) if is_zone(zone) else UTC
    return lambda moment: datetime.fromisoformat(moment).astimezone(theirs)


def _standing(data: takeout.Data) -> list[takeout.Data]:
    """The last word of each purpose, where it is a yes."""
    last = {each["purpose"]: each for each in data["consents"] if each["action"] != Action.GIVEN}
    return [each for each in last.values() if each["action"] == Action.CONFIRMED]


def _data(visit: Visit) -> takeout.Data:
    found = takeout.of_holder(visit.tools, _token(visit), visit.now_ms)
    if found is None:  # erased or closed in another window, this very moment
        raise HTTPException(410)
    return found


def _page(visit: Visit, holder: Holder, template: str, status: int = 200, **known: Any) -> Response:
    path = f"/{Use.DATA}/{_token(visit)}"
    shared: dict[str, Any] = {"funnel": holder.funnel, "theirs": holder.locale, "path": path, "here": path}
    return visit.page(template, status, **{**shared, **known})


def _closed(visit: Visit, holder: Holder) -> Response:
    return _page(visit, holder, "door", 410, state="expired")


def _holder(visit: Visit) -> Holder:
    found = rights.look_at(visit.tools, _token(visit), visit.now_ms)
    if found.state == Door.UNKNOWN:
        raise HTTPException(404)
    return found


def _token(visit: Visit) -> str:
    return str(visit.request.path_params["token"])


def _course(visit: Visit) -> int:
    return _number(visit.form.get("course", ""))


def _number(text: str) -> int:
    """The id that a form holds; 0, which is nobody's, for everything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def _file(body: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Robots-Tag": "noindex"}
    return Response(body, media_type=media_type, headers=headers)


@lru_cache(1)
def _zones() -> tuple[str, ...]:
    """The zones that people live in, by name."""
    odd = ("Etc/", "SystemV/", "US/")
    return tuple(sorted(name for name in available_timezones() if "/" in name and not name.startswith(odd)))
