"""What the mail provider tells us: its own door, since it is no form. Stored and answered; the worker does the rest."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from funnel.flow import events
from funnel.flow.events import Receipt
from funnel.web.guard import Unbearable
from funnel.web.visit import Site

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
STATUS = {
    Receipt.STORED: 200,
    Receipt.DAMAGED: 400,
    Receipt.UNSIGNED: 401,
    Receipt.REPEATED: 409,
    Receipt.STRANGE: 422,
}


async def sendgrid(request: Request) -> Response:
    """The event webhook. Every answer is a bare status: nothing of a request is repeated."""
    site: Site = request.app.state.site
    checks = request.app.state.webhook
    if checks is None:
        raise HTTPException(404)
    if refused := request.scope.get("refused"):
        return Response(status_code=refused)
    signature, timestamp = (request.headers.get(name, "") for name in (SIGNATURE, TIMESTAMP))
    try:
        body = await request.body()
    except Unbearable as error:
        return Response(status_code=error.status)
    except ClientDisconnect:
        return Response(status_code=400)
    receipt = await run_in_threadpool(events.receive, site.tools, checks, signature, timestamp, body, site.now_ms())
    return Response(status_code=STATUS[receipt])
