"""What an IP address is for, by explicit tables (IANA special-purpose registries, cloud metadata services).

`ipaddress.is_global` is not used: it calls NAT64, 6to4, IPv4-compatible, site-local, SRv6, multicast and several
metadata addresses global. An IPv6 address that carries an IPv4 address is judged by what it carries: an IPv4-mapped one
(::ffff:a.b.c.d) is that IPv4 address; a tunnelled or translated one is never better than the address inside.
"""

from __future__ import annotations

import ipaddress
from enum import Enum

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressClass(Enum):
    """Whose an address is; the value is fit for messages."""

    PUBLIC = "a public address"
    LOOPBACK = "a loopback address"
    PRIVATE = "a private address"
    LINK_LOCAL = "a link-local address"
    METADATA = "a cloud metadata address"
    RESERVED = "a reserved address"


METADATA_ADDRESSES: frozenset[IpAddress] = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack and others
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "169.254.42.42",  # Scaleway
        "168.63.129.16",  # Azure platform
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS EKS pod identity
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)

_IPV4_TABLE: tuple[tuple[ipaddress.IPv4Network, AddressClass], ...] = tuple(
    (ipaddress.IPv4Network(text), kind)
    for text, kind in (
        ("127.0.0.0/8", AddressClass.LOOPBACK),
        ("10.0.0.0/8", AddressClass.PRIVATE),
        ("172.16.0.0/12", AddressClass.PRIVATE),
        ("192.168.0.0/16", AddressClass.PRIVATE),
        ("100.64.0.0/10", AddressClass.PRIVATE),
        ("169.254.0.0/16", AddressClass.LINK_LOCAL),
        ("0.0.0.0/8", AddressClass.RESERVED),
        ("192.0.0.0/24", AddressClass.RESERVED),
        ("192.0.2.0/24", AddressClass.RESERVED),
        ("192.88.99.0/24", AddressClass.RESERVED),
        ("198.18.0.0/15", AddressClass.RESERVED),
        ("198.51.100.0/24", AddressClass.RESERVED),
        ("203.0.113.0/24", AddressClass.RESERVED),
        ("224.0.0.0/4", AddressClass.RESERVED),
        ("240.0.0.0/4", AddressClass.RESERVED),
    )
)

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_IETF_PROTOCOLS = ipaddress.IPv6Network("2001::/23")  # Teredo, benchmarking, ORCHID and the like
_IPV6_TABLE: tuple[tuple[ipaddress.IPv6Network, AddressClass], ...] = tuple(
    (ipaddress.IPv6Network(text), kind)
    for text, kind in (
        ("::1/128", AddressClass.LOOPBACK),
        ("fc00::/7", AddressClass.PRIVATE),
        ("fec0::/10", AddressClass.PRIVATE),
        ("64:ff9b:1::/48", AddressClass.PRIVATE),
        ("fe80::/10", AddressClass.LINK_LOCAL),
        ("2001:db8::/32", AddressClass.RESERVED),
        ("3fff::/20", AddressClass.RESERVED),
    )
)

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_6TO4 = ipaddress.IPv6Network("2002::/16")
_ISATAP = (0x00005EFE, 0x02005EFE)
_LOW_32 = 0xFFFF_FFFF


def plain(address: IpAddress) -> IpAddress:
    """`address`, or the IPv4 address that an IPv4-mapped one stands for."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def classify(address: IpAddress) -> AddressClass:
    """Whose `address` is. An address with a zone (fe80::1%eth0) is never public."""
    address = plain(address)
    if address in METADATA_ADDRESSES:
        return AddressClass.METADATA
    if isinstance(address, ipaddress.IPv4Address):
        return _look_up_ipv4(address)
    for network, kind in _IPV6_TABLE:
        if address in network:
            return kind
    if address.scope_id is not None:
        return AddressClass.LINK_LOCAL
    kind = _judge_carried(_carried(address))
    if kind is not AddressClass.PUBLIC:
        return kind
    unicast = address in _GLOBAL_UNICAST and address not in _IETF_PROTOCOLS
    return AddressClass.PUBLIC if unicast or address in _NAT64 else AddressClass.RESERVED


def _look_up_ipv4(address: ipaddress.IPv4Address) -> AddressClass:
    for network, kind in _IPV4_TABLE:
        if address in network:
            return kind
    return AddressClass.PUBLIC


def _carried(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses inside a tunnelled or translated address (RFC 6052, 3056, 4380, 4291, 5214)."""
    number = int(address)
    low = ipaddress.IPv4Address(number & _LOW_32)
    if address in _NAT64 or address in _TRANSLATED or address in _COMPATIBLE:
        return (low,)
    if address in _6TO4:
        return (ipaddress.IPv4Address(number >> 80 & _LOW_32),)
    if address in _TEREDO:
        return (ipaddress.IPv4Address(number >> 64 & _LOW_32), ipaddress.IPv4Address(number & _LOW_32 ^ _LOW_32))
    if number >> 32 & _LOW_32 in _ISATAP:
        return (low,)
    return ()


def _judge_carried(carried: tuple[ipaddress.IPv4Address, ...]) -> AddressClass:
    """Metadata stays metadata; anything else that is not public is reserved, so that no consent given for loopback or
    private addresses reaches it through a tunnel."""
    kinds = {AddressClass.METADATA if inside in METADATA_ADDRESSES else _look_up_ipv4(inside) for inside in carried}
    if AddressClass.METADATA in kinds:
        return AddressClass.METADATA
    return AddressClass.PUBLIC if kinds <= {AddressClass.PUBLIC} else AddressClass.RESERVED
