"""The labelled steps at which a kill can be asked for. They are put around the real functions from outside."""

from typing import Any

from arq.connections import ArqRedis

from funnel import bucket, hands, hints
from funnel.flow import admission, course, leaving, plan, signup, start, sweep
from funnel.flow import events as flow_events
from funnel.mail import sendgrid_wire
from funnel.mail.outbox import Outbox
from funnel.mail.sendgrid import SendGrid
from funnel.mail.smtp import Smtp
from funnel.mail.smtp_session import Session
from funnel.store import batches, deliveries, enrollments, events, signups, subscribers

Step = tuple[Any, str]  # where a function is looked up when it is called, and its name there

WORKER: dict[str, Step] = {
    "plan": (plan, "plan_lessons"),
    "admit": (admission, "admit"),
    "request notice": (signups, "request_notice"),
    "plan notices": (plan, "plan_notices"),
    "take due rows": (enrollments, "take_due"),
    "add batches": (batches, "add"),
    "add deliveries": (deliveries, "add"),
    "hint": (hints, "hint"),
    "enqueue": (ArqRedis, "enqueue_job"),
    "start": (hands, "start"),
    "claim": (batches, "start"),
    "enter": (deliveries, "enter"),
    "keep token": (signups, "keep_token"),
    "build": (start, "_mailing"),
    "mark": (bucket.Marks, "others"),
    "settle": (hands, "settle"),
    "record": (batches, "settle"),
    "next due": (enrollments, "add_next"),
    "finish": (enrollments, "finish"),
    "renew": (hands, "renew"),
    "sweep": (sweep, "sweep"),
    "lose expired": (batches, "lose_expired"),
    "decide": (sweep, "_decide"),
    "unplan": (sweep, "_unplan"),
    "remove batch": (batches, "remove"),
    "restore due rows": (enrollments, "restore_due"),
}

WEB: dict[str, Step] = {
    "sign up": (signup, "sign_up"),
    "record consents": (signups, "record_consents"),
    "confirm": (signup, "confirm"),
    "close sign-up": (signups, "close"),
    "activate": (subscribers, "activate"),
    "enroll": (course, "enroll"),
    "unsubscribe": (leaving, "unsubscribe"),
    "choose": (course, "choose"),
    "end course": (enrollments, "move"),
}

# What only one provider's mail comes to.
OF_MAIL: dict[tuple[str, str], dict[str, Step]] = {
    ("sendgrid", "worker"): {
        "hand over": (SendGrid, "hand_over"),
        "request": (sendgrid_wire._Connection, "request"),
        "answer": (sendgrid_wire._Connection, "getresponse"),
        "apply events": (flow_events, "apply"),
        "see": (events, "see"),
        "prove": (batches, "prove"),
        "move": (events, "move"),
        "handle events": (events, "handle"),
        "suppress": (flow_events, "suppress"),
    },
    ("sendgrid", "web"): {"receive events": (flow_events, "receive"), "add events": (events, "add")},
    ("outbox", "worker"): {"hand over": (Outbox, "hand_over"), "write": (Outbox, "_write")},
    ("smtp", "worker"): {
        "hand over": (Smtp, "hand_over"),
        "ask": (Session, "ask"),
        "opened": (Session, "opened"),
        "deliver": (Session, "deliver"),
        "answer": (Session, "answer"),
    },
}

ROLES = {"worker": WORKER, "web": WEB}
SQL = ("statement", "commit")


def steps(role: str, mail: str) -> dict[str, Step]:
    return ROLES[role] | OF_MAIL.get((mail, role), {})


def labels(role: str, mail: str) -> list[str]:
    return _before_and_after(role, (*steps(role, mail), *SQL))


def labels_of_mail(mail: str) -> list[str]:
    """Those that no other provider's mail comes to."""
    return [label for role in ROLES for label in _before_and_after(role, OF_MAIL.get((mail, role), ()))]


def _before_and_after(role: str, names: Any) -> list[str]:
    return [f"{role}: {when} {step}" for step in names for when in ("before", "after")]
