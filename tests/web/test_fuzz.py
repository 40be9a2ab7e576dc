"""Requests that nobody would think of, to every route, by every method: refusals at worst.

`make fuzz` is the long form.
"""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from starlette.routing import Match

from funnel.core.schedule import is_zone
from funnel.web.app import routes
from funnel.web.guard import SIGNED
from funnel.web.joining import address_of
from tests.conftest import BASE_URL
from tests.fakes.webhook import Signer
from tests.robot import Page
from tests.web.conftest import CONSENTS, Site, answers_for
from tests.web.fuzz.case import Case, Framing
from tests.web.fuzz.known import Known, Target, fill, targets
from tests.web.fuzz.making import request
from tests.web.fuzz.run import complaints
from tests.web.fuzz.wire import ask
from tests.web.serving import Running
from tests.web.tour import tour
from tests.world import ALICE

texts = some.one_of(some.sampled_from(["yes", "fawn", ALICE, "Europe/Berlin", ""]), some.text(max_size=40))


@pytest.fixture(scope="module")
def known(shared: Site) -> Known:
    """Everything that a tour of the pages and mails shows of real links, forms and cookies."""
    found = Known("notes.example.org", (shared.slug,), shared.cookie, lambda body: Signer().headers(body, 0))
    shared.take_quiz(answers_for(shared.funnel, "fawn"))
    for _, page in tour(shared.other()):
        found.see(Page(BASE_URL, page.text), f"{shared.cookie}={shared.client.cookies[shared.cookie]}")
    for name in ("eve", "fay", "gus"):
        shared.other().join(f"{name}@example.org")
    for mail in shared.world.mails():
        found.read(mail)
    return found


@pytest.fixture(scope="module")
def running(shared: Site) -> Iterator[Running]:
    with Running(shared.app) as found:
        yield found


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(target=some.sampled_from(targets()), rng=some.randoms(use_true_random=False))
def test_no_request_makes_the_service_stumble(known: Known, running: Running, target: Target, rng: Random) -> None:
    case = request(rng, known, target)
    assert ask(running.address, case).fault == "", case


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.path)
def test_the_fuzzer_reaches_every_route_of_the_table(known: Known, target: Target) -> None:
    """A new route, or a new parameter, is fuzzed or fails here."""
    path = "/" + "/".join(fill(Random(1), known, target.path))
    for method in target.methods:
        scope = {"type": "http", "method": method, "path": path, "headers": []}
        first = next(route for route in routes() if route.matches(scope)[0] == Match.FULL)
        assert first.path in (target.path, target.path.removesuffix("/{file}"))  # type: ignore[attr-defined]


def test_most_of_what_the_fuzzer_sends_is_due_an_answer_and_all_kinds_are_sent(known: Known) -> None:
    rng = Random(1)
    cases = [request(rng, known, target) for target in targets() for _ in range(100)]
    assert sum(case.due for case in cases) > len(cases) * 0.6
    assert {case.framing for case in cases} == set(Framing)
    kinds = Counter(case.method for case in cases)
    assert all(kinds[method] for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"X"))


def test_a_seed_says_what_is_sent(known: Known) -> None:
    forms = [target for target in targets() if target.path not in SIGNED]  # no two signatures are the same
    one, other = ([request(Random(7), known, target) for target in forms] for _ in range(2))
    assert one == other


def test_a_case_can_be_made_smaller_until_nothing_is_left_to_leave_out() -> None:
    case = Case("/x", b"POST", b"/x?y", b"h", ((b"a", b"b"),), b"z" * 9, Framing.LENGTH)
    steps = 0
    while (smaller := next(case.smaller(), None)) and steps < 99:
        case, steps = smaller, steps + 1
    assert (case.headers, case.target, len(case.body)) == ((), b"/x", 1)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ('{"event": "fault", "kind": "KeyError", "level": "error"}', 1),
        ("Traceback (most recent call last):\n  File x\nKeyError", 1),
        ("ERROR asyncio Fatal error", 1),
        ("The worker process has ended; starting it again.", 1),
        (
            '{"event": "later", "level": "warning"}\nWARNING uvicorn.error Invalid HTTP request received.\nOpen http://x',
            0,
        ),
    ],
)
def test_what_a_process_says_of_its_faults_is_heard(log: str, told: int) -> None:
    assert len(list(complaints(log))) == told


def test_a_service_that_stumbles_is_found_out(known: Known) -> None:
    async def broken(scope: object, _receive: object, send: object) -> None:
        raise RuntimeError

    with Running(broken) as running:
        case = Case("/", b"GET", b"/", b"x")
        assert "500" in ask(running.address, case).fault
        address = running.address
    assert ask(address, case).fault == "nobody listens"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(email=texts, name=texts, zone=texts)
def test_no_sign_up_makes_the_service_stumble(shared: Site, email: str, name: str, zone: str) -> None:
    if shared.client.get(shared.at("join")).status_code != 200:
        shared.take_quiz(answers_for(shared.funnel, "fawn"))
    assert shared.sign_up(email, name, zone=zone).status_code in (303, 400)


@settings(max_examples=1000, deadline=None)
@given(typed=some.one_of(some.text(max_size=260), some.emails(), some.builds("{}@{}".format, some.text(), some.text())))
def test_an_address_is_taken_in_plain_ascii_or_not_at_all(typed: str) -> None:
    found = address_of(typed, local=True)
    assert found is None or (found.isascii() and found.isprintable() and len(found) <= 254 and " " not in found)


@settings(max_examples=500, deadline=None)
@given(offered=some.one_of(some.text(max_size=80), some.text("./abEuropeBerlin_-%\\", max_size=30)))
def test_a_zone_is_known_or_it_is_not(offered: str) -> None:
    assert is_zone(offered) in (True, False)


def test_a_whole_form_still_works_after_all_that(shared: Site) -> None:
    shared.take_quiz(answers_for(shared.funnel, "fawn"))
    assert shared.client.post(shared.at("join"), data={"email": ALICE, **CONSENTS}).status_code == 303
