"""Who carries a service's mail in a test: its outbox, or a real server on this machine. `mails` is what has arrived."""

import contextlib
import email
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from tests.fakes.sendgrid import Delivered, FakeSendGrid
from tests.fakes.smtp import SmtpSink
from tests.fakes.webhook import Signer
from tests.robot import Mail, mails

KEY = "SG.test"


@dataclass(frozen=True)
class Post:
    """`env` makes a service send by it; `server` and `signer` are there where one has them."""

    name: str
    arrived: Callable[[], list[Mail]]
    env: dict[str, str] = field(default_factory=dict)
    server: Any = None
    signer: Signer = field(default_factory=Signer)

    def mails(self, to: str) -> list[Mail]:
        return [mail for mail in self.arrived() if mail.to == to]


@contextlib.contextmanager
def opened(name: str, home: Path) -> Iterator[Post]:
    """Whoever is called so: "outbox", "smtp" or "sendgrid"."""
    if name == "outbox":
        yield Post(name, lambda: mails(home / "outbox"), {"FUNNEL_MAIL": name})
    elif name == "smtp":
        with SmtpSink() as sink:
            env = {"FUNNEL_MAIL": f"smtp://{sink.host}:{sink.port}"}
            yield Post(name, lambda: [_parsed(one.raw) for one in sink.messages], env, sink)
    else:
        with FakeSendGrid(KEY) as fake:
            signer = Signer()
            env = {"FUNNEL_MAIL": name, "SENDGRID_API_KEY": KEY, "SENDGRID_API_URL": fake.url}
            env["SENDGRID_WEBHOOK_KEY"] = signer.public
            yield Post(name, lambda: [_built(one) for one in fake.deliveries()], env, fake, signer)


def _parsed(raw: bytes) -> Mail:
    return Mail(Path(), email.message_from_bytes(raw, policy=SMTP))


def _built(one: Delivered) -> Mail:
    message = EmailMessage()
    message["To"], message["Subject"] = one.to, one.subject
    message.set_content(one.text)
    message.add_alternative(one.html, subtype="html")
    return Mail(Path(), message)
