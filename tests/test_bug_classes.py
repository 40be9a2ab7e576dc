"""Each class of security bug found in the best-known products of this field, and what stands in its way."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from starlette.routing import Mount, Route

from funnel import content
from funnel.core.links import Use, subject_of, token
from funnel.flow.tools import Tools
from funnel.keyring import Keyring
from funnel.store.db import open_engine
from funnel.web.app import routes
from funnel.web.guard import SIGNED
from tests.conftest import NAME, ROOT, Clock, make_tools, with_content
from tests.databases import Databases
from tests.payloads import QUERIES, TEMPLATES, WORD
from tests.test_architecture import MODULES, imported, name, tree
from tests.web.conftest import CONSENTS, Site, answers_for, opened
from tests.web.shape import Shape
from tests.world import ALICE, BOB

# Words of our own source, none of which a request can reach.
OUR_OWN_SQL = {"_DUE", "setting", "connection.get_execution_options().get('begin', 'DEFERRED')"}
ELSEWHERE = "https://elsewhere.example"


@pytest.fixture(scope="module")
def made(databases: Databases, keyring: Keyring) -> Iterator[Tools]:
    engine: Engine = open_engine(databases.fresh("sqlite", with_content))
    yield make_tools(engine, keyring)
    engine.dispose()


@pytest.fixture(scope="module")
def site(made: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Alice has her first lesson."""
    with opened(made, Clock(), tmp_path_factory.mktemp("bugs")) as found:
        found.join(ALICE)
        yield found


def paths() -> list[str]:
    return [route.path for route in routes() if isinstance(route, Route | Mount)]


@pytest.mark.parametrize("payload", TEMPLATES)
def test_template_injection_and_secrets_through_marketers_templates(payload: str) -> None:
    """A lesson's grammar is closed: whatever is no field of the list is refused, or stays the text that it is."""
    files = dict(content.read_folder(ROOT, NAME))
    path = next(path for path in sorted(files) if path.endswith("fawn/meet.md") or path.endswith("meet.md"))
    files[path] = files[path] + f"\n\n{payload}\n".encode()
    if "{{" in payload:
        with pytest.raises(content.ContentError, match=r"braces that are not a field|unknown field"):
            content.parse(NAME, files)
        return
    patterns = content.parse(NAME, files).patterns.values()
    lessons = [lesson.source for pattern in patterns for lesson in pattern.lessons]
    assert any(payload in block.markdown for source in lessons for block in source.blocks)


def test_sql_through_query_builders_sort_and_filter_parameters(site: Site) -> None:
    """No statement is put together from a request; what looks like SQL is a value."""
    before = site.dump()
    for payload in QUERIES:
        for key in ("sort", "order", "filter", "q", "id"):
            assert site.client.get(site.at("how"), params={key: payload}).status_code == 200
        assert site.client.post(site.link(ALICE, "hoose"), data={"pattern": payload}).status_code == 400
    assert site.dump() == before


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_sql_is_never_formatted(module: Path) -> None:
    """What is written as text holds words of our own, never a value."""
    if "migrations" in module.parts:
        return
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("text", "exec_driver_sql"):
            held = {
                ast.unparse(part.value)
                for given in node.args
                for part in ast.walk(given)
                if isinstance(part, ast.FormattedValue)
            }
            assert held <= OUR_OWN_SQL, f"line {node.lineno}"


def test_stored_xss_in_previews_names_and_bounce_texts(site: Site) -> None:
    """A name is text on every page and in every mail. What a bounce says is not even kept (mail/test_payloads.py)."""
    visitor, hostile = site.other(), f'"><b {WORD}>'
    visitor.take_quiz(answers_for(site.funnel, "fawn"))
    visitor.land(visitor.sign_up(BOB, hostile))
    site.world.work()
    visitor.client.post(visitor.link(BOB, "onfirm"))
    site.world.work()
    lesson = site.world.mails(BOB)[-1]
    assert hostile in lesson.text
    pages = [
        lesson.html,
        visitor.client.get(visitor.link(BOB, "Read in")).text,
        visitor.client.get(site.at("join")).text,
    ]
    for page in pages:
        assert not [tag for tag, found in Shape(page).elements if WORD in str({**found, "value": ""})]


def test_csrf_leading_to_takeover(site: Site) -> None:
    """A form from another site does nothing, at any address that takes forms."""
    before = site.dump()
    for route in routes():
        if isinstance(route, Route) and "POST" in (route.methods or ()) and route.path not in SIGNED:
            path = re.sub(r"\{[a-z]+\}", "x", route.path.replace("{slug}", site.slug))
            assert site.client.post(path, headers={"origin": ELSEWHERE}).status_code == 403, path
            assert site.client.post(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403, path
    assert site.dump() == before


def test_sessions_that_outlive_a_password_change(site: Site) -> None:
    """There are no accounts and no sessions. What stands in their place, a link, ends with what it opens."""
    assert not [path for path in paths() if re.search("login|session|password|account|admin", path)]
    visitor = site.other()
    confirm = visitor.apply("charlie@example.org")
    assert visitor.client.post(confirm).status_code == 200
    site.world.work()
    leave, choose = (visitor.link("charlie@example.org", words) for words in ("Stop", "hoose"))
    visitor.client.post(f"{leave}/delete")
    assert visitor.client.post(choose, data={"pattern": "fight"}).status_code in (404, 410)
    assert visitor.client.post(f"{leave}/undo").status_code in (404, 410)


def test_ssrf_through_webhooks_and_images() -> None:
    """Nothing fetches an address that a request, a lesson or an answer names: only the mail room calls out."""
    clients = {
        "urllib3",
        "requests",
        "httpx",
        "httpx2",
        "aiohttp",
        "http.client",
        "urllib.request",
        "smtplib",
        "sendgrid",
    }
    callers = {
        name(module)
        for module in MODULES
        for found in imported(module)
        if any(found == client or found.startswith(f"{client}.") for client in clients)
    }
    assert callers
    assert {caller for caller in callers if not caller.startswith("funnel/mail/")} == set()
    assert "load_remote_stylesheets=False" in (ROOT / "funnel/mail/compile.py").read_text("utf-8")


def test_open_redirect_in_link_tracking(site: Site) -> None:
    """No click goes through us, and no redirect leads anywhere but to a path of our own."""
    assert not [path for path in paths() if re.search("click|track|redirect|goto|out$", path)]
    for key in ("next", "url", "to", "return", "redirect", "from", "go"):
        for target in (ELSEWHERE, "//elsewhere.example", "/\\elsewhere.example"):
            for shown in (
                site.client.get("/", params={key: target}),
                site.client.post(site.at("start"), params={key: target}, data={key: target}),
                site.client.post("/language", data={key: target, "language": "de", "locale": "de"}),
                site.client.get(f"//elsewhere.example/%2e%2e?{key}={target}"),
            ):
                assert "elsewhere" not in shown.headers.get("location", "")


def test_predictable_preview_links(site: Site) -> None:
    """A link names its delivery and proves that we wrote it: of its neighbors, none can be guessed."""
    key, read = b"k" * 32, site.link(ALICE, "Read in")
    real = subject_of([key], Use.READ, token(key, Use.READ, 7))
    assert real == 7
    assert len({token(key, Use.READ, number)[8:] for number in range(500)}) == 500
    for number in range(20):
        assert site.client.get(f"/r/{token(key, Use.READ, number)}").status_code == 404
        assert site.client.get(f"/r/{number}").status_code == 404
    assert site.client.get(read).status_code == 200


def test_timing_that_reveals_an_account(site: Site) -> None:
    """The form answers in the same bytes for everybody, and secrets are compared in constant time."""
    answers = set()
    for address in (ALICE, "nobody@example.org"):
        visitor = site.other()
        visitor.take_quiz(answers_for(site.funnel, "fawn"))
        sent = visitor.sign_up(address)
        shown = re.sub(r'name="form" value="[^"]+"', "", visitor.land(sent).text.replace(address, ""))
        answers.add((sent.status_code, sent.headers["location"], shown))
    assert len(answers) == 1
    for path in ("funnel/core/links.py", "funnel/web/operator.py"):
        assert "compare_digest" in (ROOT / path).read_text("utf-8")


def test_path_traversal_in_uploads(site: Site) -> None:
    """There is nothing to upload: a file in a form is refused. And no path of a request leaves its folder."""
    sent = site.client.post(site.at("join"), data=CONSENTS, files={"photo": ("../../x.png", b"PNG", "image/png")})
    assert sent.status_code == 400
    for path in ("/static/..%2f..%2fapp.py", "/outbox/..%2f..%2fkeyring", "/static/%2e%2e/%2e%2e/settings.py"):
        assert site.client.get(path).status_code == 404


def test_unauthenticated_api_twins_of_a_protected_form(site: Site) -> None:
    """Every address stands in one table, takes forms only, and none answers to another name or type."""
    assert len(paths()) == len(set(paths()))
    assert not [path for path in paths() if re.search(r"api|graphql|rpc|\.json", path)]
    before = site.dump()
    for path in ("/api/join", f"/{site.slug}/join.json", f"/{site.slug}/join/", f"//{site.slug}/join"):
        assert site.client.post(path, json={"email": BOB, **CONSENTS}).status_code in (404, 405)
    assert site.other().client.post(site.at("join"), json={"email": BOB, **CONSENTS}).status_code in (303, 400)
    assert site.dump() == before


def test_forwarded_mails_whose_links_let_a_stranger_erase_or_read_a_subscriber(site: Site) -> None:
    """A lesson's links tell a stranger neither whose they are nor what else was sent; and none opens another's door."""
    stranger, mail = site.other(), site.world.mails(ALICE)[-1]
    links = {words: site.link(ALICE, words) for words in ("Read in", "Stop", "hoose")}
    for path in links.values():
        shown = stranger.client.get(path)
        assert shown.status_code == 200
        assert ALICE not in shown.text
    tokens = [path.split("/")[2] for path in links.values()]
    for kind in Use:
        opened_by = [each for each in tokens if stranger.client.get(f"/{kind}/{each}").status_code == 200]
        assert len(opened_by) == (1 if kind in (Use.READ, Use.UNSUBSCRIBE, Use.CHOOSE) else 0), kind
    assert ALICE in str(mail.message["To"])


def test_every_class_has_its_test() -> None:
    """The module's tests are the list of classes."""
    classes = [
        *("template_injection", "sql_through", "stored_xss", "csrf", "sessions_that_outlive", "ssrf", "open_redirect"),
        *("predictable_preview", "timing_that_reveals", "path_traversal", "unauthenticated_api", "forwarded_mails"),
    ]
    tests = [each for each in globals() if each.startswith("test_")]
    assert [each for each in classes if not any(each in test for test in tests)] == []
