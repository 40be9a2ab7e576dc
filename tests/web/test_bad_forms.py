"""Forms as no page of ours sends them: a clear refusal, nothing stored, nothing logged, nothing echoed."""

from collections.abc import Iterator

import pytest

from funnel.web.guard import SIGNED
from tests.web.conftest import CONSENTS, Site
from tests.web.shape import Shape, is_clear, without_inputs
from tests.world import ALICE, BOB, CHARLIE

FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=edge"
CANARY = "xq7canary"


def part(head: str, value: bytes = b"x") -> bytes:
    return b"--edge\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n--edge--\r\n"


NAMED = 'Content-Disposition: form-data; name="answer"'
DAMAGED = {
    "no boundary": ("multipart/form-data", part(NAMED)),
    "empty boundary": ("multipart/form-data; boundary=", part(NAMED)),
    "another boundary": ("multipart/form-data; boundary=other", part(NAMED)),
    "a boundary beyond reason": (f"multipart/form-data; boundary={'e' * 5000}", part(NAMED)),
    "a part without a name": (PARTS, part("Content-Disposition: form-data")),
    "a part without a head": (PARTS, b"--edge\r\n\r\nx\r\n--edge--\r\n"),
    "bytes instead of a head": (PARTS, b"--edge\r\n\xff\x00: \xfe\r\n\r\nx\r\n--edge--\r\n"),
    "a file": (PARTS, part(f'{NAMED}; filename="a.txt"')),
    "a file of another field": (PARTS, part('Content-Disposition: form-data; name="photo"; filename="p.png"', b"PNG")),
    "21 parts": (PARTS, b"".join(part(NAMED)[:-10] for _ in range(21)) + b"--edge--\r\n"),
    "a charset that is none": (f"{PARTS}; charset=undefined", part(NAMED, b"\xff")),
    "half a character": (f"{PARTS}; charset=unicode_escape", part(NAMED, rb"\ud800")),
    "21 fields": (FORM, b"&".join(b"a%d=x" % number for number in range(21))),
    "a long field": (FORM, b"answer=" + b"a" * 2001),
    "a very long field": (FORM, b"answer=" + b"a" * 20_000),
    "a very long name": (FORM, b"a" * 20_000 + b"=x"),
    "a null byte": (FORM, b"answer=a%00b"),
}


def routes(site: Site) -> list[str]:
    """The path of every form, with links that are ours, in an order in which none spoils another."""
    stop, choose, read = site.link(ALICE, "Stop"), site.link(ALICE, "hoose"), site.link(ALICE, "Read in")
    confirm = site.world.mails(ALICE)[0].link("onfirm").removeprefix(site.world.tools.base_url)
    ours = [site.at(path) for path in ("q/1", "choose", "join", "inbox", "start")]
    asked = [f"{confirm}/again", f"{confirm}/not-me", confirm]
    theirs = [*asked, f"{read}/cooked", choose, stop, f"{stop}/undo", f"{stop}/delete"]
    door = site.link(BOB, "my page")
    swap = site.link(CHARLIE, "this address")
    rights = [site.at("data"), f"/data{read}", door, f"{door}/address", swap]
    return [*ours, "/leave", "/language", "/t", *rights, *theirs]


def test_the_table_of_forms_is_whole(joined: Site) -> None:
    known = {route.path for route in joined.app.routes if "POST" in (getattr(route, "methods", None) or ())}  # type: ignore[attr-defined]
    assert len(routes(joined)) == len(known - set(SIGNED))


@pytest.fixture(scope="module")
def joined(shared: Site) -> Site:
    """Alice has a lesson, and her browser still holds her result."""
    settle_in(shared)
    return shared


def settle_in(site: Site) -> None:
    """Alice has a lesson; Bob has a link to his data, and Charlie one to become his new address."""
    site.join(ALICE)
    other = site.other()
    other.join(BOB)
    other.client.post(site.at("data"), data={"email": BOB})
    site.world.work()
    other.client.post(f"{site.link(BOB, 'my page')}/address", data={"email": CHARLIE})
    site.world.work()


@pytest.mark.parametrize(("kind", "body"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_form_is_refused_everywhere_and_changes_nothing(joined: Site, kind: str, body: bytes) -> None:
    before = joined.dump()
    for path in routes(joined):
        refused = joined.client.post(path, content=body, headers={"content-type": kind})
        is_clear(refused, 400, joined.funnel)
        assert "set-cookie" not in refused.headers
    assert joined.dump() == before


def test_five_megabytes_are_refused_everywhere_declared_or_not(joined: Site) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(80):
            yield b"a" * 65_536

    before = joined.dump()
    for path in routes(joined):
        declared = joined.client.post(path, content=b"a" * 5_000_000, headers={"content-type": FORM})
        chunked = joined.client.post(path, content=chunks(), headers={"content-type": FORM})
        assert "content-length" in declared.request.headers
        assert "content-length" not in chunked.request.headers
        is_clear(declared, 413, joined.funnel)
        is_clear(chunked, 413, joined.funnel)
    assert joined.dump() == before


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "", "²", "1 2"])
def test_a_length_that_is_no_number_is_refused(joined: Site, length: str) -> None:
    sent = {"content-length": length.encode("latin-1")}
    is_clear(joined.client.post(joined.at("start"), content=b"", headers=sent), 400, joined.funnel)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/xml", "", "form", ";;;=", "\xe9/\xff"])
def test_a_form_of_another_type_is_an_empty_form(joined: Site, kind: str) -> None:
    before = joined.dump()
    body = b'{"answer": "none", "email": "bob@example.org", "pattern": "none", "sensitive": "yes", "course": "yes"}'
    ours = {joined.at(path): 403 for path in ("q/1", "choose", "join")}  # an empty form bears no stamp
    for path, status in {**ours, joined.link(ALICE, "hoose"): 400}.items():
        sent = {"content-type": kind.encode("latin-1")}
        is_clear(joined.client.post(path, content=body, headers=sent), status, joined.funnel)  # type: ignore[arg-type]
    assert joined.dump() == before


@pytest.mark.parametrize("number", ["0", "12", "-1", "999999999999", "1.5", "abc", "%00", "１", "0x1", "1;2", "1%2F2"])
def test_a_question_that_is_not_there_is_not_there(joined: Site, number: str) -> None:
    assert len(joined.funnel.quiz.questions) == 11
    is_clear(joined.client.get(joined.at(f"q/{number}")), 404, joined.funnel)
    is_clear(joined.client.post(joined.at(f"q/{number}"), data={"answer": "none"}), 404, joined.funnel)


@pytest.mark.parametrize(
    "answer", ["", "nope", "NONE", "none ", "skip\n", "weights", "__class__", "0", "a" * 2000, "é"]
)
def test_an_answer_that_is_not_there_leaves_the_others_alone(joined: Site, answer: str) -> None:
    refused = joined.client.post(joined.at("q/1"), data={"answer": answer})
    is_clear(refused, 400, joined.funnel)
    assert "set-cookie" not in refused.headers


def test_an_answer_of_another_question_is_refused(joined: Site) -> None:
    first, second = joined.funnel.quiz.questions[:2]
    foreign = next(answer.key for answer in second.answers if not first.answer(answer.key))
    is_clear(joined.client.post(joined.at("q/1"), data={"answer": foreign}), 400, joined.funnel)


@pytest.mark.parametrize("pattern", ["", "nope", "Fight", "the Doorkeeper", "a" * 2000, "fight\n"])
def test_a_choice_that_is_not_there_is_refused(joined: Site, pattern: str) -> None:
    before = joined.dump()
    for path in (joined.at("choose"), joined.link(ALICE, "hoose")):
        is_clear(joined.client.post(path, data={"pattern": pattern}), 400, joined.funnel)
    assert joined.dump() == before


@pytest.mark.parametrize(
    "left_out", [("email",), ("sensitive",), ("course",), ("sensitive", "course"), ("email", "course")]
)
def test_a_sign_up_without_what_it_needs_says_which_line_it_is(joined: Site, left_out: tuple[str, ...]) -> None:
    before = joined.dump()
    whole = {"email": ALICE, **CONSENTS}
    refused = joined.client.post(joined.at("join"), data={key: whole[key] for key in whole if key not in left_out})
    is_clear(refused, 400, joined.funnel)
    invalid = [each.get("name") for each in Shape(refused.text).all("input") if each.get("aria-invalid")]
    assert sorted(map(str, invalid)) == sorted(left_out)
    assert joined.dump() == before


@pytest.mark.parametrize("value", ["no", "on", "YES", "true", "1", "", " yes", "yes\n"])
def test_only_a_yes_is_a_yes(joined: Site, value: str) -> None:
    before = joined.dump()
    for purpose in CONSENTS:
        is_clear(joined.sign_up(ALICE, **{purpose: value}), 400, joined.funnel)
    assert joined.dump() == before


def test_nothing_that_was_typed_is_logged_or_echoed(
    site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    settle_in(site)
    names = (
        "answer",
        "go",
        "pattern",
        "email",
        "first_name",
        "sensitive",
        "course",
        "zone",
        "from",
        "List-Unsubscribe",
    )
    typed = {name: f"{CANARY}<b>{name}" for name in names}
    for path in routes(site):
        for sent in (typed, {**typed, "email": f"{CANARY}@"}, {CANARY: CANARY}, {"answer": CANARY * 300}):
            said = site.client.post(path, data=sent, params={CANARY: CANARY}, headers={"x-forwarded-for": CANARY})
            assert CANARY not in without_inputs(said.text) + str(said.headers), path
        for kind, body in DAMAGED.values():
            damaged = body.replace(b"answer", CANARY.encode())
            assert CANARY not in site.client.post(path, content=damaged, headers={"content-type": kind}).text
    for path in (f"/{CANARY}", f"/u/{CANARY}", f"/c/{CANARY}", f"/outbox/{CANARY}", f"/static/{CANARY}"):
        assert CANARY not in site.client.get(path, headers={"cookie": f"{site.cookie}={CANARY}"}).text
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert CANARY not in "".join([*ours, *capfd.readouterr()])


def test_what_was_typed_for_an_address_comes_back_only_as_text_in_its_own_field(joined: Site) -> None:
    refused = joined.client.post(joined.at("join"), data={"email": '"><script>alert(1)</script>', **CONSENTS})
    field = next(each for each in Shape(refused.text).all("input") if each.get("name") == "email")
    assert field["value"] == '"><script>alert(1)</script>'
    assert "<script>alert" not in refused.text
