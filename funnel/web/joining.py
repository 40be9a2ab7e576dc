"""Signing up. Every reply is the same for every address, and takes the same work."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from email_validator import EmailNotValidError, validate_email
from starlette.responses import Response

from funnel.core.consent import Purpose
from funnel.core.domains import meant
from funnel.core.limits import TOO_FAST_MS, TOO_OLD_MS, WAIT_MS, WORK_BITS, shows_work
from funnel.core.schedule import is_zone
from funnel.flow import signup
from funnel.flow.people import Request
from funnel.language import later
from funnel.web.visit import Kept, Visit
from funnel.web.visitor import chosen_pattern, chosen_secondary

LONGEST_ADDRESS = 254
LONGEST_NAME = 60
BAIT = "website"  # the field that only programs fill in
AS_TYPED = "typed"
LINK = "link"  # of the field "mail": what a mail holds, where it is not the note
JOINERS = {0x200C: None, 0x200D: None}  # names in some scripts need them


@dataclass(frozen=True)
class _Typed:
    """What somebody has filled in; `address` is None when it is not one. `shown` goes back into the form."""

    shown: str
    address: str | None
    first_name: str
    errors: Mapping[str, str]


def join(visit: Visit) -> Response:
    if visit.kept is None:
        return visit.go("start")
    pattern = chosen_pattern(visit)
    if pattern is None:
        return visit.go("result")
    if visit.request.method != "POST":
        blank = _Typed(visit.kept.address or "", None, visit.kept.first_name or "", {})
        return _join_page(visit, pattern, blank, crowded=visit.site.doors.is_crowded(visit.now_ms))
    return _taken(visit, visit.kept, pattern, _typed(visit))


def _join_page(
    visit: Visit,
    pattern: str,
    typed: _Typed,
    status: int = 200,
    *,
    note: str = "",
    guess: str = "",
    crowded: bool = False,
) -> Response:
    """The form, with what was filled in. `guess` is a domain that may have been meant; `note` says why it is back."""
    return visit.page(
        "join",
        status,
        seen=visit.seen,
        pattern=visit.seen.patterns[pattern],
        errors=typed.errors,
        address=typed.shown,
        first_name=typed.first_name,
        mail=visit.form.get("mail"),
        ticked={purpose for purpose in Purpose if visit.form.get(purpose)},
        wordings=visit.seen.wordings,
        longest_name=LONGEST_NAME,
        note=note,
        guess=guess,
        work_bits=WORK_BITS if crowded else 0,
    )


def _taken(visit: Visit, kept: Kept, pattern: str, typed: _Typed) -> Response:
    """Takes a sign-up, or shows the form again. Nothing here looks at whose address it is."""
    shown_ms = visit.stamped_ms
    crowded = visit.site.doors.is_crowded(visit.now_ms)
    if shown_ms is None or not 0 <= visit.now_ms - shown_ms <= TOO_OLD_MS:
        return _join_page(visit, pattern, replace(typed, errors={}), 403, note="stale", crowded=crowded)
    if typed.errors or typed.address is None:
        return _join_page(visit, pattern, typed, 400, crowded=crowded)
    name, _, domain = typed.address.rpartition("@")
    guess = meant(domain.lower())
    if guess and visit.form.get("meant") not in (guess, AS_TYPED):
        return _join_page(visit, pattern, typed, guess=guess, crowded=crowded)
    if guess and visit.form["meant"] == guess:
        typed = replace(typed, address=f"{name}@{guess}")
    visit.site.doors.arrive(visit.now_ms)
    if crowded and not _has_worked(visit, shown_ms):
        again = _join_page(visit, pattern, typed, 429, note="crowded", crowded=True)
        again.headers["Retry-After"] = str(WAIT_MS // 1000)
        return again
    return _sign_up(visit, kept, pattern, typed, shown_ms)


def _has_worked(visit: Visit, shown_ms: int) -> bool:
    """Whether the form shows the work that it asked for, or half a minute of waiting; each form counts once."""
    stamp = visit.form.get("form", "")
    worked = shows_work(stamp, visit.form.get("work", "")) or visit.now_ms - shown_ms >= WAIT_MS
    return worked and visit.site.doors.spend(stamp, visit.now_ms)


def _typed(visit: Visit) -> _Typed:
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
    shown = typed if typed.isprintable() and len(typed) <= LONGEST_ADDRESS else ""
    return _Typed(shown, address, first_name, errors)


def _sign_up(visit: Visit, kept: Kept, pattern: str, typed: _Typed, shown_ms: int) -> Response:
    assert typed.address is not None
    offered = visit.form.get("zone", "")
    request = Request(
        first_name=typed.first_name,
        pattern=pattern,
        secondary=chosen_secondary(visit, pattern),
        zone=offered if is_zone(offered) else "",
        locale=visit.agreed_in,
        link_only=visit.form.get("mail") == LINK,
    )
    revision_id = kept.revision_id if visit.seen is not visit.funnel else visit.fresh().revision_id
    doubt = _doubt(visit, shown_ms)
    kept.signup_id = signup.sign_up(
        visit.tools, revision_id, typed.address, request, visit.now_ms, kept.signup_id, doubt
    )
    kept.address, kept.first_name = typed.address, typed.first_name
    return visit.go("inbox", kept)


def _doubt(visit: Visit, shown_ms: int) -> str | None:
    """Why this is probably a program. It is answered like a person, who can still ask for the mail on the next page."""
    if visit.form.get(BAIT):
        return "filled in what nobody sees"
    if visit.now_ms - shown_ms < TOO_FAST_MS and not visit.site.settings.local_mail:
        return "faster than anybody types"
    return None


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
