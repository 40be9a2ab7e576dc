"""The local outbox: for whoever runs the service on their own machine, and for nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Clock
from tests.web.conftest import Site, browser, opened, operator
from tests.web.shape import Shape, is_clear
from tests.world import ALICE

STRANGER = ("203.0.113.7", 40000)
TRAVERSALS = [
    *("..%2f..%2fkeyring", "..%2Fkeyring", "%2e%2e%2fkeyring", "....//keyring", "..\\keyring", "%2fetc%2fpasswd"),
    *(
        "*",
        "?",
        "[a-z]*",
        "notice-*",
        "%00",
        "notice-00000001%00",
        "notice-00000001.eml",
        "NOTICE-00000001",
        "é",
        "a" * 5000,
    ),
]


@pytest.fixture(scope="module")
def applied(shared: Site) -> Site:
    shared.apply()
    (shared.world.folder.parent / "keyring").write_text("1:secret")
    return shared


def pages(site: Site) -> list[str]:
    name = site.world.mails(ALICE)[0].path.stem
    return ["/outbox", f"/outbox/{name}", f"/outbox/{name}/html"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_this_machine_sees_the_mails(applied: Site, host: str) -> None:
    own = operator(applied.app, host)
    assert [own.get(path).status_code for path in pages(applied)] == [200, 200, 200]


@pytest.mark.parametrize(
    "sent",
    [
        *({}, {"host": "127.0.0.1"}, {"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"}),
        *({"x-real-ip": "127.0.0.1"}, {"authorization": ""}, {"authorization": "Bearer None"}),
    ],
)
def test_strangers_see_nothing_not_even_that_it_is_there(applied: Site, sent: dict[str, str]) -> None:
    stranger = browser(applied.app, client=STRANGER)
    for path in pages(applied):
        shown = stranger.get(path, headers=sent)
        is_clear(shown, 421 if "host" in sent else 404, applied.funnel)
        assert ALICE not in shown.text


@pytest.fixture
def guarded(site: Site, clock: Clock) -> Iterator[Site]:
    """The same with a token set."""
    site.apply()
    with opened(site.world.tools, clock, site.world.folder.parent, FUNNEL_TOKEN="open-sesame") as found:
        yield found


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer open", "Basic open-sesame", "Bearer é", "Bearer OPEN-SESAME"])
def test_a_wrong_token_opens_nothing(guarded: Site, sent: str) -> None:
    stranger = browser(guarded.app, client=STRANGER)
    for path in pages(guarded):
        refused = stranger.get(path, headers=[(b"authorization", sent.encode())])
        is_clear(refused, 404, guarded.funnel)


def test_the_token_opens_it_from_anywhere(guarded: Site) -> None:
    stranger = browser(guarded.app, client=STRANGER)
    sent = {"authorization": "Bearer open-sesame"}
    assert [stranger.get(path, headers=sent).status_code for path in pages(guarded)] == [200, 200, 200]


@pytest.mark.parametrize("provider", ["smtp://127.0.0.1:2525", "sendgrid"])
def test_with_another_provider_there_is_no_outbox(site: Site, clock: Clock, provider: str) -> None:
    site.apply()
    env = {"FUNNEL_MAIL": provider, "SENDGRID_API_KEY": "key", "FUNNEL_TOKEN": "open-sesame"}
    with opened(site.world.tools, clock, site.world.folder.parent, **env) as other:
        for path in pages(site):
            is_clear(other.client.get(path, headers={"authorization": "Bearer open-sesame"}), 404, other.funnel)
        other.take_quiz({question.key: question.answers[0].key for question in site.funnel.quiz.questions})
        other.client.post(other.at("choose"), data={"pattern": "fawn"})
        assert "/outbox" not in other.land(other.sign_up(ALICE)).text


@pytest.mark.parametrize("name", TRAVERSALS, ids=lambda name: ascii(name)[:30])
def test_a_name_reaches_no_file_but_a_mail(applied: Site, name: str) -> None:
    for ending in ("", "/html"):
        answer = operator(applied.app).get(f"/outbox/{name}{ending}".replace("?", "%3F"))
        is_clear(answer, 404, applied.funnel)
        assert "secret" not in answer.text


def test_a_mail_is_shown_in_a_box_that_runs_and_submits_nothing(applied: Site) -> None:
    _, page, html = pages(applied)
    frame = Shape(operator(applied.app).get(page).text).all("iframe")[0]
    shown = operator(applied.app).get(html)
    assert frame["src"] == html
    for allowed in (str(frame["sandbox"]), shown.headers["content-security-policy"].partition("sandbox ")[2]):
        assert set(allowed.split()) == {"allow-popups", "allow-top-navigation-by-user-activation"}
    assert shown.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    assert "frame-ancestors 'self'" in shown.headers["content-security-policy"]


def test_what_stands_in_a_file_of_the_outbox_is_shown_as_text(site: Site) -> None:
    site.apply()
    path: Path = site.world.mails(ALICE)[0].path
    path.write_bytes(path.read_bytes().replace(b"Subject: ", b"Subject: <script>alert(1)</script> "))
    for page in pages(site)[:2]:
        assert "<script>alert" not in operator(site.app).get(page).text


def test_an_empty_outbox_says_so(site: Site) -> None:
    assert "Nothing yet" in operator(site.app).get("/outbox").text


def test_posting_to_the_outbox_is_refused(applied: Site) -> None:
    for path in pages(applied):
        is_clear(applied.client.post(path), 405, applied.funnel)


def test_a_mail_that_an_erasure_takes_out_this_very_moment_is_simply_not_there(applied: Site) -> None:
    gone = applied.world.folder / "notice-99999999.eml"
    gone.symlink_to(applied.world.folder / "nowhere")  # listed, and cannot be read
    client = operator(applied.app)
    shown = client.get("/outbox")
    assert (shown.status_code, gone.stem in shown.text) == (200, False)
    assert [client.get(f"/outbox/{gone.stem}{part}").status_code for part in ("", "/html")] == [404, 404]
    gone.unlink()
