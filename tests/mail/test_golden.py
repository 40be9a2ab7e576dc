"""Some mails exactly as Alice gets them.

After a wanted change: UPDATE_GOLDEN=1 .venv/bin/pytest tests/mail/test_golden.py
"""

import os

import pytest

from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.mail.compile import Template, escape_html
from tests.conftest import ROOT
from tests.mail import letters

FOLDER = ROOT / "tests" / "golden"
ALICE = letters.recipient(1, "alice@example.org", "Alice").values


@pytest.fixture(params=["fight-meet", "fawn-during secondary=freeze", "confirm", "ready"])
def mail(request: pytest.FixtureRequest, desk: Tools, funnel: Funnel) -> tuple[str, Template]:
    name: str = request.param
    key, _, segment = name.partition(" ")
    made = letters.notice(desk, funnel, key) if key in desk.notices else letters.lesson(desk, funnel, key, segment)
    return name.replace(" secondary=", "-with-"), made


@pytest.mark.parametrize("kind", ["txt", "html"])
def test_the_mail_is_the_one_we_looked_at(mail: tuple[str, Template], kind: str) -> None:
    name, template = mail
    subject = template.subject.join(ALICE)
    body = template.text.join(ALICE) if kind == "txt" else template.html.join(ALICE, escape_html)
    path = FOLDER / f"{name}.{kind}"
    shown = f"Subject: {subject}\n\n{body}" if kind == "txt" else body + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8"), f"{path.name} differs; see the first lines of test_golden.py"
