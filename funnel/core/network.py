"""Who is at the other end: addresses behind proxies that are trusted, and the network that counts as one visitor."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_Address = IPv4Address | IPv6Address
_MOST_HOPS = 16


@dataclass(frozen=True)
class Proxies:
    """Whose word counts in X-Forwarded-For: so many proxies before us, or those in these networks; else nobody's."""

    count: int = 0
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.count or self.networks)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The visitor's address, or "" where nobody trusted tells one.

        `peer` is who connected; `forwarded` what X-Forwarded-For lists, the last one told by `peer`. Nobody comes from
        this machine by hearsay.
        """
        if not self or not forwarded or (self.networks and not self._trusts(peer)):
            return peer
        found = _address(forwarded[-self.count] if self.count and self.count <= len(forwarded) else forwarded[0])
        if self.networks:
            found = _address(next((hop for hop in reversed(forwarded) if not self._trusts(hop)), forwarded[0]))
        return str(found) if found and not found.is_loopback else ""

    def _trusts(self, hop: str) -> bool:
        found = _address(hop)
        return found is not None and any(found in network for network in self.networks)


DIRECT = Proxies()


def parse_proxies(text: str) -> Proxies:
    """From "1", or networks like "10.0.0.0/8, fd00::/8". Raises ValueError, which says what to write."""
    if re.fullmatch(r"[0-9]{1,2}", text.strip()):
        if int(text) > _MOST_HOPS:
            raise ValueError(f"must be {_MOST_HOPS} proxies at most")
        return Proxies(int(text))
    try:
        return Proxies(0, tuple(ip_network(part.strip()) for part in text.split(",") if part.strip()))
    except ValueError:
        raise ValueError("must be a number of proxies, or networks like 10.0.0.0/8, fd00::/8") from None


def hops(headers: Iterable[str]) -> list[str]:
    """What the X-Forwarded-For headers of a request list, in order."""
    return [hop for value in headers for part in value.split(",") if (hop := part.strip())][-64:]


def network_of(client: str) -> str:
    """What counts as one visitor: an IPv4 address, or the /64 of an IPv6 address. "" for what is no address."""
    found = _address(client)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, 64), strict=False))
    return str(found or "")


def is_here(client: str) -> bool:
    """Whether this is our own machine: its owner, or a proxy that nobody has told us of."""
    found = _address(client)
    return found is not None and found.is_loopback


def _address(text: str) -> _Address | None:
    """An address, also as some proxies write it: with a port, or in brackets. IPv4 within IPv6 is IPv4."""
    if found := re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+", text):
        text = found[1] or found[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
