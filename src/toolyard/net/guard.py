"""The address guard: which addresses one upstream may be connected to.

Public addresses are allowed. Everything else needs consent: a loopback or private literal, or `localhost`, in the
operator's own URL is consent for exactly that; a name that resolves to such an address needs `allow_networks`. Cloud
metadata addresses are refused unless `allow_networks` names the very address (/32 or /128).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from toolyard.net.addresses import AddressClass, IpAddress, IpNetwork, classify, plain
from toolyard.net.errors import EgressDenied
from toolyard.net.url import Url, parse_url


def _read_network(text: str) -> IpNetwork:
    """The network that `text` names; an IPv4-mapped one is that IPv4 network."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise EgressDenied(f"{text!r} in allow_networks is not an address or a network like 10.1.0.0/16.") from None
    mapped = plain(network.network_address)
    if mapped is not network.network_address and network.prefixlen >= 96:
        return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What may be connected to beyond public addresses. Raises EgressDenied when a network is malformed."""

    allow_loopback: bool = False
    allow_networks: tuple[str, ...] = ()
    _networks: tuple[IpNetwork, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_networks", tuple(_read_network(text) for text in self.allow_networks))

    def permits(self, address: IpAddress) -> bool:
        address = plain(address)
        kind = classify(address)
        if kind is AddressClass.METADATA:
            return any(network.num_addresses == 1 and address in network for network in self._networks)
        if kind is AddressClass.PUBLIC or (kind is AddressClass.LOOPBACK and self.allow_loopback):
            return True
        return any(address in network for network in self._networks)


def policy_for_operator_url(url: str, allow_networks: Sequence[str] = ()) -> AddressPolicy:
    """The policy for an upstream whose URL an operator wrote. Raises InvalidUrl, EgressDenied (malformed network)."""
    parsed = parse_url(url)
    if parsed.address is None:
        return AddressPolicy(allow_loopback=parsed.host == "localhost", allow_networks=tuple(allow_networks))
    kind = classify(parsed.address)
    literal = (str(parsed.address),) if kind is AddressClass.PRIVATE else ()
    return AddressPolicy(kind is AddressClass.LOOPBACK, (*allow_networks, *literal))


def check_literal(url: Url, policy: AddressPolicy) -> None:
    """Refuse at once what needs no resolver; for configuration time. Raises EgressDenied."""
    if url.address is not None:
        vet([url.address], policy)


def vet(addresses: Sequence[IpAddress], policy: AddressPolicy) -> None:
    """Raise EgressDenied if one of a resolution's answers may not be connected to: one bad answer refuses the set.
    The error says what kind of address it was, never which."""
    for address in addresses:
        if not policy.permits(address):
            kind = classify(address).value
            raise EgressDenied(f"The upstream is at {kind}, which its configuration does not allow.", kind=kind)
