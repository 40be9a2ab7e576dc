"""Asking the DNS whether a domain takes mail: over real UDP, of a server of our own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from dns import flags, message, rcode, rrset
from dns.resolver import Resolver

from funnel.exchanges import AT_ONCE, KNOWN_S, MUTE_S, REFUSED_S, WAIT_S, Exchanges

PATIENCE_S = 60.0  # for answers that are sure to come, on however busy a machine

# domain → what the server knows: type → data. A domain that is not here does not exist.
ZONE = {
    "mail.example.": {"MX": "10 mx.mail.example."},
    "null.example.": {"MX": "0 ."},
    "plain.example.": {"A": "192.0.2.1"},
    "six.example.": {"AAAA": "2001:db8::1"},
    "bare.example.": {"TXT": '"nothing else"'},
    "broken.example.": {"fails": ""},
    "silent.example.": {"waits": ""},
}


class Server(threading.Thread):
    """Answers until it is closed, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.asked: list[str] = []

    def run(self) -> None:
        with suppress(OSError):  # it is closed while it waits, or answers what nobody waits for any more
            while True:
                wire, client = self.socket.recvfrom(4096)
                if answer := self._answer(message.from_wire(wire)):
                    self.socket.sendto(answer.to_wire(), client)

    def _answer(self, query: message.Message) -> message.Message | None:
        asked = query.question[0]
        self.asked.append(str(asked.name))
        known = ZONE.get(str(asked.name))
        answer = message.make_response(query)
        answer.flags |= flags.RA
        if known is None:
            answer.set_rcode(rcode.NXDOMAIN)
        elif "waits" in known:
            return None
        elif "fails" in known:
            answer.set_rcode(rcode.SERVFAIL)
        else:
            kind = asked.to_text().rpartition(" ")[2]
            if kind in known:
                answer.answer.append(rrset.from_text(asked.name, 60, "IN", kind, known[kind]))
        return answer


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    made.start()
    yield made
    made.socket.close()


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def resolver(server: Server) -> Resolver:
    found = Resolver(configure=False)
    found.nameservers, found.port = ["127.0.0.1"], server.socket.getsockname()[1]
    found.timeout = found.lifetime = PATIENCE_S
    return found


@pytest.fixture
def exchanges(
    server: Server, resolver: Resolver, clock: Seconds, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Exchanges]:
    monkeypatch.setattr("funnel.exchanges.WAIT_S", PATIENCE_S)
    server.asked.clear()
    found = Exchanges(resolver, clock)
    yield found
    found.close()


def test_only_a_plain_no_counts(exchanges: Exchanges) -> None:
    domains = [name.rstrip(".") for name in ZONE if "waits" not in ZONE[name]]
    exchanges.look_up([*domains, "nowhere.example"])
    refused = {domain for domain in [*domains, "nowhere.example"] if exchanges.refuses(domain)}
    assert refused == {"null.example", "bare.example", "nowhere.example"}


def test_a_domain_is_asked_once_and_again_after_a_while(exchanges: Exchanges, server: Server, clock: Seconds) -> None:
    for _ in range(3):
        exchanges.look_up(["mail.example", "nowhere.example"])
    assert sorted(server.asked) == ["mail.example.", "nowhere.example."]
    clock.now = REFUSED_S
    assert not exchanges.refuses("nowhere.example")
    exchanges.look_up(["mail.example", "nowhere.example"])
    assert len(server.asked) == 3
    clock.now = KNOWN_S
    exchanges.look_up(["mail.example"])
    assert len(server.asked) == 4


def test_a_dns_that_does_not_answer_fails_open_and_is_not_waited_for_again(
    exchanges: Exchanges, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("funnel.exchanges.WAIT_S", WAIT_S)
    resolver.timeout = resolver.lifetime = 2 * WAIT_S
    exchanges.look_up(["silent.example"])
    assert not exchanges.refuses("silent.example")
    assert exchanges._mute_until == MUTE_S
    exchanges.look_up(["silent.example"])  # at once
    assert not exchanges.refuses("silent.example")


def test_a_flood_of_domains_asks_for_few_at_once(exchanges: Exchanges) -> None:
    exchanges._mute_until = 1e9
    exchanges.look_up([f"{each}.silent.example" for each in range(10 * AT_ONCE)])
    assert len(exchanges._asked) <= AT_ONCE


@pytest.mark.parametrize("domain", ["", ".", "a..b", "x" * 70, "x." * 200, "\udcff"])
def test_what_is_no_domain_harms_nobody(exchanges: Exchanges, domain: str) -> None:
    exchanges.look_up([domain])
    assert exchanges.refuses(domain) in (True, False)


def test_without_a_dns_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Exchanges(clock=Seconds())
    alone._resolver = None
    alone.look_up(["mail.example"])
    assert not alone.refuses("mail.example")
    alone.close()
