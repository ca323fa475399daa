"""The address guard (book SSRF-01 to 34, 62)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.net.addresses import METADATA_ADDRESSES, AddressClass, classify
from toolyard.net.errors import EgressDenied, InvalidUrl
from toolyard.net.guard import AddressPolicy, check_literal, policy_for_operator_url, vet
from toolyard.net.url import parse_url

NOTHING = AddressPolicy()

METADATA = ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"]
METADATA += ["169.254.170.2", "169.254.170.23", "fd00:ec2::23", "fd20:ce::254"]
CARRIED_METADATA = [
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "2001:0:808:808::5601:5601",
    "2001:db9::5efe:169.254.169.254",
]
INSIDE = [
    "100.64.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "2002:a00:1::1",
    "2001:0:a00:1::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::1",
    "::1%lo",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "fc00::1",
    "fdff::1",
    "0.0.0.0",
    "0.1.2.3",
    "127.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.5",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "ff02::1",
    "2001:1::",
    "2001:1ff::1",
    "2001:0:808:808::f7f7:f7f7",
    "4000::1",
    "2606:4700::200:5efe:10.0.0.1",
]
PUBLIC = [
    "8.8.8.8",
    "::ffff:8.8.8.8",
    "2606:4700::1111",
    "2001:200::1",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "11.0.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "1.0.0.1",
]


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


@pytest.mark.parametrize("text", METADATA + CARRIED_METADATA + INSIDE)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert not NOTHING.permits(address(text))
    with pytest.raises(EgressDenied) as info:
        vet([address(text)], NOTHING)
    assert text not in info.value.message
    assert not info.value.sent


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_allowed(text: str) -> None:
    vet([address(text)], NOTHING)


@pytest.mark.parametrize("text", METADATA + CARRIED_METADATA)
def test_a_metadata_address_is_known_in_every_disguise(text: str) -> None:
    assert classify(address(text)) is AddressClass.METADATA


def test_one_bad_answer_refuses_the_whole_set() -> None:
    vet([address("8.8.8.8"), address("2606:4700::1111")], NOTHING)
    with pytest.raises(EgressDenied):
        vet([address("8.8.8.8"), address("169.254.169.254")], NOTHING)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_needs_its_own_consent(text: str) -> None:
    assert AddressPolicy(allow_loopback=True).permits(address(text))


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "169.254.1.1", "0.0.0.0", "64:ff9b::7f00:1", "2002:7f00:1::1", "::127.0.0.1"]
)
def test_consent_to_loopback_reaches_nothing_else_not_even_through_a_tunnel(text: str) -> None:
    assert not AddressPolicy(allow_loopback=True).permits(address(text))


def test_a_network_that_was_allowed_is_allowed_and_its_neighbour_is_not() -> None:
    policy = AddressPolicy(allow_networks=("10.1.2.0/24", "fd12::/16", "::ffff:10.7.0.0/112"))
    for text in ("10.7.255.1", "10.1.2.0", "10.1.2.255", "::ffff:10.1.2.3", "fd12::1"):
        assert policy.permits(address(text))
    for text in ("10.1.1.255", "10.1.3.0", "fd13::1", "127.0.0.1"):
        assert not policy.permits(address(text))


@pytest.mark.parametrize("metadata", sorted(METADATA_ADDRESSES, key=str))
def test_a_metadata_address_is_allowed_only_by_its_very_name(metadata: ipaddress.IPv4Address) -> None:
    wide = AddressPolicy(allow_loopback=True, allow_networks=("0.0.0.0/0", "::/0"))
    assert not wide.permits(metadata)
    assert AddressPolicy(allow_networks=(str(metadata),)).permits(metadata)


@pytest.mark.parametrize("text", ["10.1.2.0/33", "10.1.2", "example.com", "", "10.1.2.0/24:80"])
def test_a_malformed_network_is_refused_when_the_policy_is_made(text: str) -> None:
    with pytest.raises(EgressDenied, match="allow_networks"):
        AddressPolicy(allow_networks=(text,))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://127.8.9.10/", "https://[::1]/", "ws://localhost:9/"])
def test_a_loopback_address_in_the_operators_url_is_consent_to_loopback_alone(url: str) -> None:
    policy = policy_for_operator_url(url)
    assert policy == AddressPolicy(allow_loopback=True)


@pytest.mark.parametrize(
    ("url", "literal"),
    [("http://10.1.2.3/", "10.1.2.3"), ("http://[fd12::1]/", "fd12::1"), ("http://[::ffff:10.1.2.3]/", "10.1.2.3")],
)
def test_a_private_address_in_the_operators_url_is_consent_to_that_address_alone(url: str, literal: str) -> None:
    policy = policy_for_operator_url(url)
    assert policy.permits(address(literal))
    assert not policy.permits(address(literal) + 1)
    assert not policy.permits(address("127.0.0.1"))
    check_literal(parse_url(url), policy)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        "http://169.254.1.1/",
        "http://0.0.0.0:8000/",
        "http://255.255.255.255/",
        "http://[fe80::1]/",
        "http://[64:ff9b::7f00:1]/",
    ],
)
def test_no_other_address_in_the_operators_url_is_consent(url: str) -> None:
    with pytest.raises(EgressDenied):
        check_literal(parse_url(url), policy_for_operator_url(url))


@pytest.mark.parametrize("host", ["internal.example", "localhost.example", "notlocalhost", "localhost.localdomain"])
def test_a_name_in_the_operators_url_is_no_consent(host: str) -> None:
    assert policy_for_operator_url(f"http://{host}/") == NOTHING


def test_the_operators_networks_are_kept_beside_the_literal() -> None:
    policy = policy_for_operator_url("http://10.0.0.1/", ("192.168.7.0/24",))
    assert policy.permits(address("192.168.7.9"))
    assert policy.permits(address("10.0.0.1"))


def test_a_policy_for_a_url_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(InvalidUrl):
        policy_for_operator_url("http://2130706433/")


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_address_it_stands_for(inside: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{inside}")
    for policy in (NOTHING, AddressPolicy(allow_loopback=True, allow_networks=("10.0.0.0/8",))):
        assert policy.permits(mapped) == policy.permits(inside)


@given(st.ip_addresses(v=4))
def test_what_is_refused_plainly_is_refused_in_a_tunnel(inside: ipaddress.IPv4Address) -> None:
    if NOTHING.permits(inside):
        return
    number = int(inside)
    for tunnelled in (
        (0x0064FF9B << 96) | number,
        (0x2002 << 112) | number << 80 | 1,
        (0x20010000 << 96) | number << 64 | 0xF7F7F7F7,
        (0x20010000 << 96) | 0x08080808 << 64 | number ^ 0xFFFFFFFF,
        number,
        0xFFFF0000 << 32 | number,
    ):
        assert not AddressPolicy(allow_loopback=True).permits(ipaddress.IPv6Address(tunnelled)) or tunnelled == 1


@given(st.ip_addresses())
def test_nothing_the_library_calls_private_is_ever_allowed(
    any_address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    tunnels = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "2002::/16")]
    if any_address.is_private and not any(any_address in tunnel for tunnel in tunnels):
        assert not NOTHING.permits(any_address)
