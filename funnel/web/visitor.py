"""The visitor's pages: article, quiz, result. Nothing here writes to the database."""

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from funnel.core.quiz import NONE, SKIP, Outcome, percentages, reasons, secondary_beside
from funnel.language import later, texts
from funnel.web.visit import Refusal, Visit, cookie_name, language_cookie

NO_COURSE = "none"


def front(visit: Visit) -> Response:
    """To the funnel, where there is one; a list of them otherwise."""
    funnels = [funnel for _, funnel in visit.funnels.values()]
    if not funnels:
        raise HTTPException(404)
    if len(funnels) == 1:
        return RedirectResponse(f"/{funnels[0].slug}", 307)
    return visit.page("front", funnel=funnels[0], funnels=funnels)


def landing(visit: Visit) -> Response:
    return visit.page("article", article=visit.funnel.landing, part="landing")


def how(visit: Visit) -> Response:
    return visit.page("article", article=visit.funnel.how, part="how", review=visit.funnel.review)


def privacy(visit: Visit) -> Response:
    return visit.page("article", article=visit.funnel.privacy, part="privacy")


def support(visit: Visit) -> Response:
    return visit.page("support")


def start(visit: Visit) -> Response:
    if visit.request.method == "POST":
        return visit.go("q/1", visit.fresh())
    return visit.page("start")


def question(visit: Visit) -> Response:
    named = visit.request.path_params["number"]
    number = next((n for n in range(1, len(visit.quiz.questions) + 1) if str(n) == named), None)
    if number is None:
        raise HTTPException(404)
    if visit.request.method == "POST":
        return _answer(visit, number)
    return _question_page(visit, number)


def _question_page(visit: Visit, number: int, error: str | None = None) -> Response:
    asked = visit.quiz.questions[number - 1]
    return visit.page(
        "question",
        400 if error else 200,
        seen=visit.seen,
        question=asked,
        number=number,
        total=len(visit.quiz.questions),
        given=visit.kept.answers.get(asked.key) if visit.kept else None,
        opening=visit.quiz.opening if number == 1 else None,
        error=error,
    )


def _answer(visit: Visit, number: int) -> Response:
    asked = visit.quiz.questions[number - 1]
    given = SKIP if visit.form.get("go") == SKIP else visit.form.get("answer")
    if given is None:
        return _question_page(visit, number, later("Choose the line that comes closest, or skip this one."))
    if given not in (NONE, SKIP) and not asked.answer(given):
        raise Refusal(400, later("That answer isn't one of this question's. Please go back and choose again."))
    kept = visit.kept or visit.fresh()
    kept.answers[asked.key] = given
    kept.choice = None
    return visit.go("result" if number == len(visit.quiz.questions) else f"q/{number + 1}", kept)


def result(visit: Visit) -> Response:
    if visit.kept is None:
        return visit.go("start")
    found, quiz = visit.result, visit.quiz
    chosen = chosen_pattern(visit)
    shown = chosen or (found.leaders if found.outcome == Outcome.TOO_CLOSE else None)
    return visit.page(
        "result",
        seen=visit.seen,
        result=found,
        text=quiz.outcomes.get(found.outcome),
        shares=[(visit.seen.patterns[key], percent) for key, percent in percentages(found.shares)],
        pattern=visit.seen.patterns[chosen] if chosen else None,
        secondary=_secondary(visit, chosen),
        leaders=[visit.seen.patterns[key] for key in found.leaders] if found.outcome == Outcome.TOO_CLOSE else [],
        reasons=[(visit.seen.patterns[key], reasons(quiz, visit.kept.answers, key)) for key in _explained(shown)],
        declined=visit.kept.choice == NO_COURSE,
        changed=visit.kept.choice not in (None, NO_COURSE, found.primary),
        total=len(quiz.questions),
    )


def choose(visit: Visit) -> Response:
    """The reader has the final say: another pattern, or none."""
    if visit.kept is None:
        return visit.go("start")
    choice = visit.form.get("pattern")
    if choice is None:
        raise Refusal(400, later("Nothing was chosen. Please go back and pick one, or none."))
    if choice != NO_COURSE and choice not in visit.seen.patterns:
        raise Refusal(400, later("That choice isn't one of ours. Please go back and pick again."))
    kept = visit.kept
    kept.choice = choice
    return visit.go("result", kept)


def chosen_pattern(visit: Visit) -> str | None:
    """The pattern that holds: the reader's choice, else the quiz's own if it decided; None when there is neither."""
    choice = visit.kept.choice if visit.kept else None
    if choice == NO_COURSE:
        return None
    return choice if choice in visit.seen.patterns else visit.result.primary


def chosen_secondary(visit: Visit, pattern: str) -> str | None:
    return secondary_beside(visit.quiz, visit.result, pattern)


def _secondary(visit: Visit, chosen: str | None) -> object:
    key = chosen_secondary(visit, chosen) if chosen else None
    return visit.seen.patterns[key] if key else None


def _explained(shown: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (shown,) if isinstance(shown, str) else shown or ()


def test_link(visit: Visit) -> Response:
    """Where the links of a test mail lead. A mail client that unsubscribes by itself gets a 200, too."""
    funnels = [funnel for _, funnel in visit.funnels.values()]
    if not funnels:
        raise HTTPException(404)
    return visit.page("test", funnel=funnels[0])


def leave(visit: Visit) -> Response:
    """Forgets all that this browser kept for us and goes somewhere neutral, with no page of ours to go back to."""
    funnels = {slug: funnel for slug, (_, funnel) in visit.funnels.items()}
    if not funnels:
        raise HTTPException(404)
    left = funnels.get(visit.form.get("from", ""), next(iter(funnels.values())))
    left = left.read_in(visit.speaks(left))
    go_on = texts(left.locale).gettext("Go on")
    response = Response(
        f'<!doctype html><html lang="{left.locale}"><meta charset="utf-8"><title>…</title>'
        f'<p><a href="{left.leave_to}">{go_on}</a></p>',
        media_type="text/html",
        headers={"Refresh": f"0; url={left.leave_to}", "Clear-Site-Data": '"cache", "cookies", "storage"'},
    )
    secure = visit.site.settings.secure
    for slug in funnels:
        response.delete_cookie(cookie_name(slug, secure), secure=secure, httponly=True)
    response.delete_cookie(language_cookie(secure), secure=secure, httponly=True)
    return response
