"""The payloads through every place where a stranger's text enters a page: they stay text, or are refused."""

import httpx2
import pytest

from tests.payloads import PAYLOADS, WORD, in_header, in_path
from tests.web.conftest import CONSENTS, Site, answers_for
from tests.web.shape import Shape
from tests.world import ALICE, BOB

FIELDS = ("answer", "go", "pattern", "email", "first_name", "zone", "locale", "from", "List-Unsubscribe", *CONSENTS)
numbers = pytest.mark.parametrize("number", range(len(PAYLOADS)))


@pytest.fixture(scope="module")
def joined(shared: Site) -> Site:
    """Alice has a lesson, and her browser still holds her result."""
    shared.join(ALICE)
    return shared


@pytest.fixture(scope="module")
def door(shared: Site) -> str:
    """The path of a fresh link to Bob's data."""
    visitor = shared.other()
    visitor.join(BOB)
    assert visitor.client.post(visitor.at("data"), data={"email": BOB}).status_code == 200
    visitor.world.work()
    return visitor.link(BOB, "Open my page")


def stays_text(shown: httpx2.Response) -> None:
    """No element, no attribute, no header and no status of ours is made of what was sent."""
    assert shown.status_code < 500, shown.request.url
    assert WORD not in str(shown.headers).lower()
    shape = Shape(shown.text)
    assert WORD not in shape.inline
    for tag, attributes in shape.elements:
        own = {name: value for name, value in attributes.items() if (tag, name) != ("input", "value")}
        assert WORD not in tag + repr(own).lower(), (tag, own)


@numbers
def test_a_payload_in_any_field_of_any_form_stays_text(joined: Site, number: int) -> None:
    payload, before = PAYLOADS[number], joined.dump()
    links = [joined.link(ALICE, "Read in") + "/cooked", joined.link(ALICE, "hoose")]
    for path in (joined.at("q/1"), joined.at("choose"), joined.at("join"), "/language", *links):
        stays_text(joined.client.post(path, data=dict.fromkeys(FIELDS, payload)))
    for field in ("email", "first_name"):
        whole = {"email": ALICE, "first_name": "", **CONSENTS, field: payload, "sensitive": "no"}
        stays_text(joined.client.post(joined.at("join"), data=whole))
    assert joined.dump() == before


@numbers
def test_a_payload_in_an_address_a_header_or_a_cookie_stays_text(joined: Site, number: int) -> None:
    payload, before = PAYLOADS[number], joined.dump()
    part, sent = in_path(payload), in_header(payload)
    for path in (
        f"/{part}",
        f"/c/{part}",
        f"/r/{part}/{part}",
        f"/house/q/{part}",
        f"/outbox/{part}",
        f"/static/{part}",
    ):
        stays_text(joined.other().client.get(path))
    stays_text(joined.client.get(f"{joined.at('how')}?{part}={part}"))
    for name in ("cookie", "accept-language", "user-agent", "referer", "origin", "x-forwarded-for", "content-type"):
        stays_text(joined.other().client.post(joined.at("start"), headers={name: sent}))  # type: ignore[arg-type]
    stays_text(joined.client.get(joined.at("how"), headers={"cookie": b"__Host-house=" + sent}))  # type: ignore[arg-type]
    assert joined.dump() == before


@numbers
def test_a_payload_that_is_taken_as_a_name_comes_back_as_text(joined: Site, number: int) -> None:
    visitor = joined.other()
    visitor.take_quiz(answers_for(visitor.funnel, "fawn"))
    taken = visitor.sign_up(f"reader{number}@example.org", PAYLOADS[number])
    assert taken.status_code in (303, 400, 413)
    for path in ("join", "inbox"):
        stays_text(visitor.client.get(visitor.at(path)))


@numbers
def test_a_payload_on_the_page_of_ones_data_stays_text_and_so_it_is_taken_along(
    shared: Site, door: str, number: int
) -> None:
    payload, client = PAYLOADS[number], shared.other().client
    for act, names in (("correct", ("zone", "locale")), ("address", ("email",)), ("erase", ("else",))):
        stays_text(client.post(f"{door}/{act}", data={"first_name": "Bob", **dict.fromkeys(names, payload)}))
    stays_text(client.post(f"{door}/{in_path(payload)}", data={"purpose": payload, "course": payload}))
    stays_text(client.post(f"{door}/correct", data={"first_name": payload}))
    stays_text(client.post(f"{door}/html"))
    assert client.post(f"{door}/json").json()["person"]["address"] == BOB
    stays_text(client.post(shared.at("data"), data={"email": payload}))
