"""The application: one factory, and the whole map of its addresses."""

import logging
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from funnel.flow import events
from funnel.runtime import Runtime
from funnel.settings import Settings
from funnel.web import confirming, hooks, joining, languages, metrics, operator, pages, reader, rights, visitor
from funnel.web.guard import Guard
from funnel.web.visit import Site, view

GET, BOTH, POST = ["GET"], ["GET", "POST"], ["POST"]


def routes() -> list[BaseRoute]:
    return [
        Route("/", view(visitor.front), methods=GET),
        Route("/healthz", view(operator.healthz), methods=GET),
        Route("/readyz", view(operator.readyz), methods=GET),
        Route("/metrics", view(metrics.metrics), methods=GET),
        Route("/outbox", view(operator.outbox), methods=GET),
        Route("/outbox/{name}", view(operator.outbox_mail), methods=GET),
        Route("/outbox/{name}/html", view(operator.outbox_html), methods=GET),
        Route("/hooks/sendgrid", hooks.sendgrid, methods=POST),
        Route("/language", view(languages.choose_language), methods=POST),
        Route("/leave", view(visitor.leave), methods=POST),
        Route("/c/{token}", view(confirming.confirm, nudges=True), methods=BOTH),
        Route("/c/{token}/again", view(confirming.confirm_again, nudges=True, limited=True), methods=POST),
        Route("/c/{token}/not-me", view(confirming.not_me), methods=BOTH),
        Route("/r/{token}", view(reader.read), methods=GET),
        Route("/r/{token}/{event}", view(reader.reach, nudges=True), methods=POST),
        Route("/u/{token}", view(reader.unsubscribe), methods=BOTH),
        Route("/u/{token}/undo", view(reader.undo), methods=POST),
        Route("/u/{token}/delete", view(reader.withdraw), methods=POST),
        Route("/o/{token}", view(reader.choose), methods=BOTH),
        Route("/data/{use}/{token}", view(rights.ask, nudges=True, limited=True), methods=POST),
        Route("/d/{token}", view(rights.door), methods=BOTH),
        Route("/d/{token}/{act}", view(rights.act, nudges=True), methods=POST),
        Route("/a/{token}", view(rights.swap), methods=BOTH),
        Route("/t", view(visitor.test_link), methods=BOTH),
        Mount("/static", StaticFiles(directory=pages.STATIC)),
        Route("/{slug}", view(visitor.landing), methods=GET),
        Route("/{slug}/start", view(visitor.start), methods=BOTH),
        Route("/{slug}/q/{number}", view(visitor.question, stamped=True), methods=BOTH),
        Route("/{slug}/result", view(visitor.result), methods=GET),
        Route("/{slug}/choose", view(visitor.choose, stamped=True), methods=POST),
        Route("/{slug}/join", view(joining.join, nudges=True, limited=True), methods=BOTH),
        Route("/{slug}/inbox", view(joining.inbox, nudges=True, limited=True, stamped=True), methods=BOTH),
        Route("/{slug}/how", view(visitor.how), methods=GET),
        Route("/{slug}/data", view(rights.form, nudges=True, limited=True), methods=BOTH),
        Route("/{slug}/privacy", view(visitor.privacy), methods=GET),
        Route("/{slug}/support", view(visitor.support), methods=GET),
    ]


def _told(settings: Settings) -> dict[str, Any]:
    return {"secure": settings.secure, "proxies": settings.proxies, "host_name": settings.host_name}


def create_app(runtime: Runtime) -> Starlette:
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it would log what somebody typed
    app = Starlette(
        routes=routes(),
        middleware=[Middleware(Guard, broken=pages.broken, **_told(runtime.settings))],
        exception_handlers={HTTPException: pages.refused},
    )
    app.router.redirect_slashes = False  # it would trust the Host header
    known = (runtime.settings, runtime.tools, pages.renderer(), runtime.now_ms, runtime.nudge, runtime.doors)
    app.state.site = Site(*known)
    app.state.webhook = events.webhook(runtime.settings.webhook_key)
    return app
