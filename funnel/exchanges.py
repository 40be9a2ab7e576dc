"""Whether a domain takes mail at all, asked of the DNS by workers before a confirm mail goes there.

Only a plain no counts: the domain is not there, or says that it takes none. Everything else fails open, soon.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from dns.exception import DNSException
from dns.rdatatype import AAAA, MX, A, RdataType
from dns.resolver import NXDOMAIN, NoAnswer, NoResolverConfiguration, Resolver

WAIT_S = 1.0  # for all answers together
LONGEST_S = 3.0  # for one answer, which then serves the next time
AT_ONCE = 64
MUTE_S = 30.0  # how long nobody waits for a DNS that was too slow
KNOWN_S = 3600.0
REFUSED_S = 600.0  # somebody may be setting the domain up
MOST_KNOWN = 10_000


class Exchanges:
    """`resolver` is the machine's own if none is given; `clock` counts seconds."""

    def __init__(self, resolver: Resolver | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolver = resolver or _own()
        self._clock = clock
        self._pool = ThreadPoolExecutor(8, "dns")
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()  # domain → (refuses, until when)
        self._asked: dict[str, Future[None]] = {}
        self._mute_until = 0.0
        self._lock = Lock()

    def look_up(self, domains: Collection[str]) -> None:
        """Asks for those that nobody knows of yet, and waits a second for the answers, at most."""
        if self._resolver is None:
            return
        asked = [found for domain in domains if (found := self._ask(domain))]
        if asked and self._clock() >= self._mute_until and wait(asked, WAIT_S).not_done:
            self._mute_until = self._clock() + MUTE_S

    def refuses(self, domain: str) -> bool:
        """Whether the domain has said no. Asks nobody."""
        with self._lock:
            refused, until = self._known.get(domain, (False, 0.0))
        return refused and self._clock() < until

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, domain: str) -> "Future[None] | None":
        with self._lock:
            _, until = self._known.get(domain, (False, 0.0))
            if self._clock() < until or len(self._asked) >= AT_ONCE:
                return None
            if domain not in self._asked:
                self._asked[domain] = self._pool.submit(self._learn, domain)
            return self._asked[domain]

    def _learn(self, domain: str) -> None:
        try:
            refused = self._resolver is not None and _refuses(self._resolver, domain)
        except (DNSException, OSError, ValueError):
            refused = False
        with self._lock:
            self._asked.pop(domain, None)
            self._known[domain] = refused, self._clock() + (REFUSED_S if refused else KNOWN_S)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)


def _refuses(resolver: Resolver, domain: str) -> bool:
    """RFC 5321: without an MX the domain's own address takes the mail. RFC 7505: an MX of "." takes none."""
    name = f"{domain}."
    try:
        found = resolver.resolve(name, MX)
    except NXDOMAIN:
        return True
    except NoAnswer:
        return all(_has_none(resolver, name, kind) for kind in (A, AAAA))
    return all(str(each.exchange) == "." for each in found)


def _has_none(resolver: Resolver, name: str, kind: RdataType) -> bool:
    try:
        resolver.resolve(name, kind)
    except (NXDOMAIN, NoAnswer):
        return True
    return False


def _own() -> Resolver | None:
    try:
        found = Resolver()
    except (NoResolverConfiguration, OSError):
        return None
    found.timeout, found.lifetime = LONGEST_S / 2, LONGEST_S
    return found
