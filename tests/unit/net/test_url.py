"""The URL grammar (book SSRF-35 to 47, 54, 55)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.net.errors import InvalidUrl
from toolyard.net.url import parse_url


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("http://example.com", "http://example.com", "/"),
        ("HTTPS://Example.COM:443/A?b=C", "https://example.com", "/A?b=C"),
        ("http://example.com:8080?x=1", "http://example.com:8080", "/?x=1"),
        ("http://example.com:0080/", "http://example.com", "/"),
        ("ws://127.0.0.1:9/ws", "ws://127.0.0.1:9", "/ws"),
        ("wss://[2606:4700:0:0::1111]/", "wss://[2606:4700::1111]", "/"),
        ("http://my_service-1:8000/mcp", "http://my_service-1:8000", "/mcp"),
        ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example", "/"),
        ("http://example.com/a%2Fb/../c;d=1?q=a@b:c/[x]", "http://example.com", "/a%2Fb/../c;d=1?q=a@b:c/[x]"),
    ],
)
def test_a_url_is_taken_apart(text: str, origin: str, target: str) -> None:
    url = parse_url(text)
    assert (url.origin, url.target) == (origin, target)
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0X7F000001",
        "017700000001",
        "127.1",
        "0",
        "127.0.0.1.",
        "①②⑦.⓪.⓪.①",
        "localhost.",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.256",
        "127.0.0.1.5",
        "127.0.0.0x1",
        "a.1",
        "[::1%lo]",
        "[::1%25lo]",
        "::1",
        "[::1",
        "::1]",
        "[127.0.0.1]",
        "[]",
        "[v1.a]",
        "1.1.1.1 &@2.2.2.2# @3.3.3.3",
        "",
        ".",
        "a..b",
        ".a",
        "-a.example",
        "a-.example",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "exam%70le.com",
        "%00",
        "%2523",
        "a\tb",
        "a\\b",
        "a b",
        "a\x7fb",
        "a,b",
        "ﬀ.example",
        "loca\u0131host",
        "exa\u00admple.com",
        "*",
    ],
)
def test_a_host_in_an_odd_spelling_is_refused(host: str) -> None:
    with pytest.raises(InvalidUrl):
        parse_url(f"http://{host}/")


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "dict://example.com/",
        "ldap://example.com/",
        "unix:///run/x.sock",
        "data:text/plain,x",
        "jar:http://example.com/x!/y",
        "ws+unix://x",
        "http+unix://x",
        "//example.com/",
        "example.com",
        "http:example.com",
        "http:/example.com",
        "http:///path",
        "http:\\\\example.com",
        "",
        " http://example.com",
        "http://example.com ",
        "http://example.com\n",
    ],
)
def test_a_text_of_another_scheme_or_shape_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrl):
        parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://@example.com/",
        "http://good.test#@evil.test/",
        "http://good.test\\@evil.test/",
        "http://good.test/#fragment",
        "http://example.com/\\x",
        "http://example.com/a b",
        "http://example.com/a\r\nx: y",
        "http://example.com/%00",
        "http://example.com/%zz",
        "http://example.com/%2",
        "http://example.com/é",
        "http://example.com/" + "a" * 9_000,
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrl) as info:
        parse_url(text)
    assert "password@" not in info.value.message


@pytest.mark.parametrize("port", ["0", "65536", "-1", "+80", "", "8a", "80:80", "999999", "00000080", " 80", "٨٠"])
def test_a_port_outside_1_to_65535_is_refused(port: str) -> None:
    with pytest.raises(InvalidUrl):
        parse_url(f"http://example.com:{port}/")


@pytest.mark.parametrize("port", [1, 65535])
def test_a_port_at_the_border_is_taken(port: int) -> None:
    assert parse_url(f"http://example.com:{port}/").port == port


@given(st.text(st.sampled_from("htps:/wWX@[]%#?\\.-_0127fxA ~é\t\r\n"), max_size=40))
def test_any_text_is_a_url_in_one_spelling_or_refused(rest: str) -> None:
    try:
        url = parse_url("http://" + rest)
    except InvalidUrl:
        return
    assert parse_url(str(url)) == url
    assert not set(url.host) & set("@/?#\\% \t\r\n")
