"""Whether an address is in a list of networks."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_within(networks: tuple[str, ...], client: str) -> bool:
    """Whether `client` is an address in one of `networks`. What cannot be read is in none."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in _read(networks))


@lru_cache(maxsize=4096)
def _read(networks: tuple[str, ...]) -> tuple[Network, ...]:
    found = []
    for text in networks:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue
    return tuple(found)
