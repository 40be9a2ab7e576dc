"""Every page that the service can show, in every state that looks different."""

from collections.abc import Iterator
from pathlib import Path

import httpx2

from funnel.core.quiz import Outcome
from funnel.store.tables import enrollment
from tests.web.conftest import Site, answers_for, answers_leading_to
from tests.world import ALICE, BOB, CHARLIE

Seen = tuple[str, httpx2.Response]


def tour(site: Site) -> Iterator[Seen]:
    """(what it is, the page)."""
    yield from plain(site)
    yield from quiz(site)
    yield from joining(site.other())
    yield from reading(site.other())
    yield from rights(site.other())
    yield from tests(site.other())
    yield from refusals(site.other())
    yield from outbox(site)


def plain(site: Site) -> Iterator[Seen]:
    for path in ("", "/start", "/q/1", f"/q/{len(site.funnel.quiz.questions)}", "/how", "/privacy", "/support"):
        yield f"house{path}", site.client.get(f"/{site.slug}{path}")


def quiz(site: Site) -> Iterator[Seen]:
    yield "nothing answered", site.client.post(site.at("q/2"))
    for outcome in Outcome:
        yield f"result {outcome}", site.take_quiz(answers_leading_to(site.funnel, outcome)[0])
    yield "result none", site.land(site.client.post(site.at("choose"), data={"pattern": "none"}))
    yield (
        "result chosen",
        site.land(site.client.post(site.at("choose"), data={"pattern": site.funnel.quiz.patterns[0]})),
    )


def joining(site: Site) -> Iterator[Seen]:
    site.take_quiz(answers_for(site.funnel, "fawn"))
    yield "join", site.client.get(site.at("join"))
    yield "join refused", site.client.post(site.at("join"), data={"email": "x", "first_name": "\x07"})
    yield "inbox", site.land(site.sign_up(BOB))
    yield "inbox again", site.client.post(site.at("inbox"))
    site.world.work()
    old = site.link(BOB, "onfirm")
    yield "confirm open", site.client.get(old)
    yield "not me", site.client.get(f"{old}/not-me")
    site.world.clock.forward(hours=73)
    yield "confirm expired", site.client.get(old)
    yield "confirm asked", site.client.post(f"{old}/again")
    site.world.work()
    new = site.link(BOB, "onfirm")
    yield "confirmed", site.client.post(new)
    yield "confirmed before", site.client.get(new)
    yield "not me after all", site.client.post(f"{new}/not-me")


def reading(site: Site) -> Iterator[Seen]:
    site.join(ALICE)
    read, stop, choose = (site.link(ALICE, words) for words in ("Read in", "Stop", "hoose"))
    yield "read", site.client.get(read)
    yield "choose", site.client.get(choose)
    yield "chosen", site.client.post(choose, data={"pattern": "flight"})
    yield "choose nothing", site.client.post(choose)
    yield "stop", site.client.get(stop)
    yield "stopped", site.client.post(stop)
    yield "choose when stopped", site.client.get(choose)
    yield "choose in vain", site.client.post(choose, data={"pattern": "flight"})
    yield "resumed", site.client.post(f"{stop}/undo")
    yield "deleted", site.client.post(f"{stop}/delete")
    yield "deleted before", site.client.get(stop)


def rights(site: Site) -> Iterator[Seen]:
    site.join(CHARLIE)
    yield "data", site.client.get(site.at("data"))
    yield "data refused", site.client.post(site.at("data"), data={"email": "x"})
    yield "data asked", site.client.post(site.at("data"), data={"email": CHARLIE})
    site.world.work()
    door = site.link(CHARLIE, "my page")
    yield "door", site.client.get(door)
    yield "yours", site.client.post(door)
    yield "yours refused", site.client.post(f"{door}/correct", data={"first_name": "\x07", "zone": "Mars/X"})
    yield "yours paused", site.client.post(f"{door}/pause", data={"course": _course(site)})
    yield "yours address", site.client.post(f"{door}/address", data={"email": "charlie.new@example.org"})
    yield "yours not sure", site.client.post(f"{door}/erase")
    site.world.work()
    swap = site.link("charlie.new@example.org", "this address")
    yield "swap", site.client.get(swap)
    yield "swapped", site.client.post(swap)
    yield "swap used", site.client.get(swap)
    yield "door expired", site.client.get(door)
    yield "door again", site.client.post(f"{door}/again")
    site.world.work()
    door = site.link("charlie.new@example.org", "my page")
    yield "yours stopped", site.client.post(f"{door}/withdraw", data={"purpose": "course"})
    yield "closed", site.client.post(f"{door}/close")
    site.client.post(site.at("data"), data={"email": "charlie.new@example.org"})
    site.world.work()
    door = site.link("charlie.new@example.org", "my page")
    yield "erased", site.client.post(f"{door}/erase", data={"sure": "yes"})
    yield "door erased", site.client.get(door)


def _course(site: Site) -> str:
    return str(max(row.id for row in site.world.rows(enrollment)))


def tests(site: Site) -> Iterator[Seen]:
    yield "link of a test", site.client.get("/t")


def refusals(site: Site) -> Iterator[Seen]:
    yield "unknown", site.client.get("/nowhere/at/all")
    yield "unknown link", site.client.get("/c/unknown")
    yield "wrong method", site.client.put(site.at("start"))
    yield "from elsewhere", site.client.post(site.at("start"), headers={"origin": "https://elsewhere.example"})
    yield "too large", site.client.post(site.at("q/1"), data={"answer": "a" * 100_000})
    yield "unreadable cookie", site.client.get(site.at("result"), headers={"cookie": f"{site.cookie}=garbage"})


def outbox(site: Site) -> Iterator[Seen]:
    yield "outbox", site.client.get("/outbox")
    for mail in site.world.mails(ALICE)[:2]:
        yield "outbox mail", site.client.get(f"/outbox/{Path(mail.path).stem}")
