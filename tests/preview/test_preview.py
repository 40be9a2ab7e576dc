"""`funnel preview`: everything can be looked at, by nobody else, and a broken file is a page and not a crash."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from funnel.core.schedule import PACES
from funnel.flow import specimen
from funnel.flow.publish import publish
from funnel.preview import shelf
from funnel.preview.scheme import SCHEMES, forced
from funnel.preview.server import create_app
from funnel.preview.studio import Studio
from funnel.runtime import drafting
from funnel.settings import Settings
from funnel.store.db import migrate
from tests.conftest import NOON_MS
from tests.example.kitchen import LANDING, MEET, STOVE
from tests.preview.conftest import ADDRESS, rewrite


def everything(studio: Studio) -> list[shelf.Item]:
    return list(shelf.items(studio.state().drafts["kitchen"], "planner", "en"))


def test_everything_is_listed_and_can_be_looked_at(studio: Studio, author: TestClient) -> None:
    index = author.get("/").text
    for item in everything(studio):
        assert f"/show/{item.kind}/{item.name}?" in index
        assert (studio._root / item.file).is_file() or item.kind == shelf.NOTICE, item
        shown = author.get(f"/show/{item.kind}/{item.name}")
        assert shown.status_code == 200
        assert shown.text.count("<iframe") == 2
        for scheme in SCHEMES:
            frame = author.get(f"/frame/{item.kind}/{item.name}?scheme={scheme}")
            assert frame.status_code == 200
            assert "prefers-color-scheme" not in frame.text
            assert "script-src" not in frame.headers["content-security-policy"]
    assert {item.kind for item in everything(studio)} == set(shelf.KINDS)


def test_a_mail_is_shown_as_it_would_be_sent(studio: Studio, author: TestClient) -> None:
    draft = studio.state().drafts["kitchen"]
    for secondary in ("", "improviser"):
        for pace in PACES:
            traits = {"pace": pace, **({"secondary": secondary} if secondary else {})}
            sent = specimen.lesson(draft.tools, draft.funnel, draft.revision_id, "planner-stove", traits)
            query = f"pattern=planner&secondary={secondary}&pace={pace}&scheme=dark"
            assert author.get(f"/frame/lesson/planner-stove?{query}").text == forced(sent.html, "dark")
            assert ("Some evenings the pan decides." in sent.html) == bool(secondary)
            page = author.get(f"/show/lesson/planner-stove?{query}").text
            assert "Set the timer, then leave the room." in page[page.index("<pre") :]


def test_the_traits_of_the_reader_are_those_that_were_asked_for(author: TestClient) -> None:
    result = author.get("/frame/page/result?pattern=improviser").text
    assert "The Improviser" in result
    assert "improviser/02-stove.md" in author.get("/show/lesson/improviser-stove?pattern=improviser").text


@pytest.mark.parametrize("path", ["/show/lesson/nothing", "/show/page/nothing", "/show/what/ever", "/frame/page/nope",
                                  "/frame/lesson/nope", "/frame/read/nope", "/frame/notice/nope", "/frame/what/ever",
                                  "/show/lesson/planner-meet?pattern=improviser"])  # fmt: skip
def test_what_is_not_there_is_told(author: TestClient, path: str) -> None:
    answer = author.get(path)
    assert answer.status_code == 404
    assert "Nothing to show" in answer.text


def test_what_makes_no_sense_shows_the_first_of_everything(author: TestClient) -> None:
    nonsense = "?pattern=x&secondary=planner&pace=x&scheme=x&funnel=x"
    assert author.get(f"/show/lesson/planner-meet{nonsense}").status_code == 200


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("http://preview.example", "127.0.0.1"),  # a name that somebody points at this machine
        (ADDRESS, "192.0.2.7"),
        ("http://192.0.2.1:8100", "192.0.2.7"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/", "/frame/page/landing", "/changed", "/static/style.css", "/preview-static/preview.js"]
)
def test_nobody_else_is_answered(studio: Studio, host: str, client: str, path: str) -> None:
    stranger = TestClient(create_app(studio), base_url=host, client=(client, 40000))
    answer = stranger.get(path)
    assert (answer.status_code, answer.text) == (403, "This preview is for the machine it runs on.")


def test_every_answer_is_under_a_strict_policy(author: TestClient) -> None:
    for path in ("/", "/show/page/landing", "/frame/page/landing", "/changed", "/style/dark.css", "/house/start"):
        policy = author.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "script-src" not in policy or "script-src 'self'" in policy
    bench = author.get("/").text
    assert re.findall(r"<script(?! src=\"/preview-static/)|<style| style=| on[a-z]+=", bench) == []


def test_links_lead_nowhere_and_say_so(author: TestClient) -> None:
    targets = re.findall(r'href="(http[^"]+)"', author.get("/frame/lesson/planner-meet").text)
    assert {target.startswith(f"{ADDRESS}/") for target in targets} == {True}
    for target in (*targets, "/kitchen/start"):
        assert "This is a preview" in author.get(target.removeprefix(ADDRESS)).text


def test_a_saved_file_is_shown_and_makes_a_new_version(studio: Studio, author: TestClient, folder: Path) -> None:
    studio.state().looked.wait(60)
    tag = author.get("/changed").headers["etag"]
    assert author.get("/changed", headers={"if-none-match": tag}).status_code == 304
    rewrite(folder, MEET, "A list is a letter", "A list is a promise")
    changed = author.get("/changed", headers={"if-none-match": tag})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)
    assert "A list is a promise" in author.get("/frame/lesson/planner-meet").text
    assert studio.state().looked.wait(60)
    assert author.get("/changed").headers["etag"].endswith('+"'), "the page asks again when the lint has looked"


def test_findings_stand_beside_what_they_are_about(studio: Studio, author: TestClient, folder: Path) -> None:
    rewrite(folder, STOVE, "Set the timer", "Tonight, set the timer")
    rewrite(folder, LANDING, "Take [the quiz]", "Take [here]")
    studio.state().looked.wait(60)
    assert "TX402" in author.get("/show/lesson/planner-stove").text
    assert "TX402" not in re.sub(r"<nav.*</nav>", "", author.get("/show/page/landing").text, flags=re.DOTALL)
    assert "LK801" in author.get("/show/page/landing").text
    index = author.get("/").text
    assert "The lint found 2." in index
    assert index.index("TX402") < index.index("LK801")


def test_broken_content_is_told_in_the_page_and_mended_with_the_next_save(author: TestClient, folder: Path) -> None:
    rewrite(folder, LANDING, "{{ quiz_url }}", "{{ quiz_rul }}")
    for path in ("/", "/show/page/landing", "/frame/page/landing"):
        answer = author.get(path)
        assert answer.status_code == 404
        assert f"{LANDING}:5" in answer.text
        assert "quiz_rul" in answer.text
    rewrite(folder, LANDING, "{{ quiz_rul }}", "{{ quiz_url }}")
    assert author.get("/show/page/landing").status_code == 200


def test_broken_service_mails_are_told(author: TestClient, folder: Path) -> None:
    (folder / "emails/service").mkdir()
    (folder / "emails/service/confirm.md").write_text("no front matter", encoding="utf-8")
    answer = author.get("/")
    assert answer.status_code == 404
    assert "emails/service/confirm.md:1" in answer.text


def test_a_folder_without_a_funnel_is_told(known: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    studio = Studio(known, tmp_path / "empty", ADDRESS)
    answer = TestClient(create_app(studio), base_url=ADDRESS, client=("127.0.0.1", 1)).get("/")
    assert answer.status_code == 404
    assert "holds no funnel" in answer.text


def test_an_old_revision_can_be_looked_at(author: TestClient, known: Settings, folder: Path) -> None:
    tools = drafting(known, folder)
    migrate(tools.engine)
    id_ = publish(tools, folder, NOON_MS)["kitchen"]
    tools.engine.dispose()
    rewrite(folder, MEET, "A list is a letter", "A list is a promise")
    for named in (id_, id_[:10]):
        assert "A list is a letter" in author.get(f"/frame/lesson/planner-meet?revision={named}").text
        assert f"revision {id_[:12]}" in author.get(f"/?revision={named}").text
    assert "A list is a promise" in author.get("/frame/lesson/planner-meet").text
    for unknown in ("0" * 64, "zz", "' OR 1=1"):
        answer = author.get("/", params={"revision": unknown})
        assert (answer.status_code, "No such revision" in answer.text) == (404, True)


def test_without_a_database_there_is_no_revision_and_none_is_made(author: TestClient, known: Settings) -> None:
    answer = author.get("/", params={"revision": "0" * 64})
    assert (answer.status_code, "There is no database yet" in answer.text) == (404, True)
    assert list(known.home.iterdir()) == []
    (known.home / "funnel.db").write_bytes(b"")
    answer = author.get("/", params={"revision": "0" * 64})
    assert (answer.status_code, "The database cannot be read" in answer.text) == (404, True)


def test_a_scheme_is_forced_whatever_the_browser_prefers() -> None:
    css = '<meta content="light dark">color-scheme: light dark;@media (prefers-color-scheme: dark) { a {} }'
    assert forced(css, "dark") == '<meta content="dark">color-scheme: dark;@media all { a {} }'
    assert forced(css, "light") == '<meta content="light">color-scheme: light;@media not all { a {} }'
