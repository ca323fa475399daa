"""The edge guard's pure functions: Host, Origin, targets, forwarded addresses."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.gateway.edge import (
    EdgeRules,
    EdgeSettings,
    authority_of,
    check_host,
    check_host_grammar,
    check_origin,
    client_address,
    edge_rules,
    read_target,
)
from toolyard.gateway.refusals import HostRefused, OriginRefused, RequestMalformed

LOOPBACK = edge_rules(EdgeSettings(), "127.0.0.1", 8000)
PUBLIC = edge_rules(
    EdgeSettings(
        public_url="https://tools.example.com",
        allowed_hosts=("gateway", "gateway:9000"),
        allowed_origins=("https://App.example.com", "null", "*"),
    ),
    "0.0.0.0",
    8000,
)


def host_allowed(host: str, rules: EdgeRules, local: str = "") -> bool:
    try:
        check_host(host.lower(), rules, local)
    except HostRefused:
        return False
    return True


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "localhost", "127.0.0.1", "LOCALHOST"]
)
def test_local_names_with_our_port_or_none_name_a_loopback_listener(host: str) -> None:
    assert host_allowed(host, LOOPBACK)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "localhost:1234",
        "localhost.evil.test",
        "127.0.0.1.evil.test:8000",
        "127.0.0.2:8000",
        "0.0.0.0:8000",
    ],
)
def test_other_names_do_not(host: str) -> None:
    assert not host_allowed(host, LOOPBACK, "127.0.0.1:8000")


@pytest.mark.parametrize(
    "host", ["tools.example.com", "tools.example.com:443", "gateway", "gateway:9000", "10.0.0.5:8000", "10.0.0.5"]
)
def test_the_public_url_allowed_hosts_and_the_address_of_a_wildcard_listener_are_ours(host: str) -> None:
    assert host_allowed(host, PUBLIC, "10.0.0.5:8000")


@pytest.mark.parametrize("host", ["tools.example.com:80", "tools.example.com:8000", "gateway:1", "10.0.0.6:8000"])
def test_their_neighbours_are_not(host: str) -> None:
    assert not host_allowed(host, PUBLIC, "10.0.0.5:8000")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a/?x=",
        "user@localhost",
        "a b",
        "a,b",
        "localhost:",
        "localhost:x",
        "localhost:123456",
        "::1",
        "[::1",
        "é",
        "a\\b",
    ],
)
def test_a_host_that_is_no_host_is_malformed(host: str) -> None:
    with pytest.raises(RequestMalformed):
        check_host_grammar({"host": host}, frozenset())


def test_host_must_come_exactly_once() -> None:
    with pytest.raises(RequestMalformed):
        check_host_grammar({}, frozenset())
    with pytest.raises(RequestMalformed):
        check_host_grammar({"host": "localhost"}, frozenset({"host"}))


def test_no_origin_and_our_own_origins_pass_without_cors_headers() -> None:
    assert check_origin({}, frozenset(), LOOPBACK) is None
    for origin in ("http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"):
        assert check_origin({"origin": origin}, frozenset(), LOOPBACK) is None
    assert check_origin({"origin": "https://tools.example.com"}, frozenset(), PUBLIC) is None


def test_pages_served_under_an_allowed_host_or_the_address_of_a_wildcard_listener_are_our_own() -> None:
    for origin in ("http://gateway", "https://gateway:9000", "http://10.0.0.5:8000"):
        assert check_origin({"origin": origin}, frozenset(), PUBLIC, "10.0.0.5:8000") is None
    for origin in ("http://10.0.0.5", "https://10.0.0.5:8000", "http://10.0.0.6:8000", "http://gateway:8000"):
        with pytest.raises(OriginRefused):
            check_origin({"origin": origin}, frozenset(), PUBLIC, "10.0.0.5:8000")
    with pytest.raises(OriginRefused):
        check_origin({"origin": "http://10.0.0.5:8000"}, frozenset(), LOOPBACK, "10.0.0.5:8000")


@pytest.mark.parametrize(
    ("address", "authority"),
    [
        ("10.0.0.5", "10.0.0.5:80"),
        ("::1", "[::1]:80"),
        ("::ffff:10.0.0.5", "10.0.0.5:80"),
        ("fe80::1%eth0", "[fe80::1]:80"),
    ],
)
def test_a_local_address_is_written_as_clients_write_it(address: str, authority: str) -> None:
    assert authority_of(address, 80) == authority


def test_a_listed_origin_passes_and_gets_cors_headers() -> None:
    assert check_origin({"origin": "https://app.example.com"}, frozenset(), PUBLIC) == "https://app.example.com"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "null",
        "",
        "*",
        "http://127.0.0.1.evil.test",
        "http://localhost:1234",
        "https://localhost:8000",
        "https://app.example.com.evil",
        "https://app.example.com@evil",
        "http://app.example.com",
        "https://app.example.com:444",
        "https://app.example.com/",
        "https://tools.example.com:8000",
    ],
)
def test_every_other_origin_is_refused(origin: str) -> None:
    with pytest.raises(OriginRefused):
        check_origin({"origin": origin}, frozenset(), PUBLIC)


def test_a_repeated_origin_is_refused() -> None:
    with pytest.raises(OriginRefused):
        check_origin({"origin": "http://localhost:8000"}, frozenset({"origin"}), LOOPBACK)


def test_null_and_star_in_the_operators_list_allow_nothing() -> None:
    assert PUBLIC.shared_origins == {"https://app.example.com"}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/mcp", "/mcp", ""),
        ("/mcp/", "/mcp/", ""),
        ("/mcp/alpha?x=%2e%2e&y=/", "/mcp/alpha", "x=%2e%2e&y=/"),
        ("/.well-known/x", "/.well-known/x", ""),
        ("/mcp/caf%C3%A9", "/mcp/café", ""),
        ("/mcp/%252e%252e", "/mcp/%2e%2e", ""),
        ("/a@b:c", "/a@b:c", ""),
    ],
)
def test_a_plain_target_is_read_and_decoded_once(target: str, path: str, query: str) -> None:
    assert read_target(target) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "mcp",
        "@evil.com",
        "http://evil/admin",
        "//admin",
        "/mcp//x",
        "/mcp/..",
        "/mcp/../admin",
        "/./mcp",
        "/mcp/%2e%2e/admin",
        "/mcp/%2E%2e%2fadmin",
        "/mcp/%2fadmin",
        "/mcp/%5cadmin",
        "/mcp\\admin",
        "/mcp;jsessionid=1",
        "/mcp/%3bx",
        "/mcp/%00",
        "/mcp/%0d%0aX",
        "/mcp/%7f",
        "/mcp/%c2%80",
        "/mcp/%ff",
        "/mcp/%e9",
        "/mcp/%",
        "/mcp/%4",
        "/mcp/%zz",
        "/mcp#x",
        "/mcp?a#b",
        "/mcp/{x}",
        "/mcp/é",
        "",
    ],
)
def test_a_target_with_tricks_is_malformed(target: str) -> None:
    with pytest.raises(RequestMalformed):
        read_target(target)


@given(
    st.text(max_size=60).map(lambda text: "/" + text)
    | st.text(alphabet="/.%2eEfF5cC;\\a?", max_size=40).map(lambda text: "/" + text)
)
def test_no_accepted_path_climbs_or_hides_anything(target: str) -> None:
    try:
        path, _ = read_target(target)
    except RequestMalformed:
        return
    assert path.startswith("/")
    assert not any(trick in path for trick in ("//", "\\", ";"))
    assert not {".", ".."} & set(path.split("/"))
    assert not any(ord(character) < 32 for character in path)


TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.7", "1.2.3.4"),
        ("10.0.0.1", "10.0.0.9, 10.0.0.7", "10.0.0.9"),
        ("10.0.0.1", "1.2.3.4, rubbish", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
    ],
)
def test_only_trusted_proxies_are_believed_about_the_client(peer: str, forwarded: str, client: str) -> None:
    assert client_address(peer, {"x-forwarded-for": forwarded}, TRUSTED) == client


def test_without_trusted_proxies_the_client_is_the_socket_peer() -> None:
    assert client_address("10.0.0.1", {"x-forwarded-for": "1.2.3.4"}, ()) == "10.0.0.1"
