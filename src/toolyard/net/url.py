"""The one URL grammar for what leaves: what is judged here is what is connected to.

Stricter than RFC 3986 on purpose. Only http, https, ws and wss; no userinfo, fragment, backslash, blank or control
character; hosts are plain ASCII names, dotted-quad IPv4 or bracketed IPv6. Other spellings of an address that resolvers
understand (2130706433, 0x7f000001, 127.1) are refused, with a message that says what to write instead.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from toolyard.net.errors import InvalidUrl

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARACTERS = 8_192
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SHAPE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([/?].*)?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_QUAD = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in its parts. `host` is lower case, without brackets; `target` is the path with the query, from `/` on;
    `address` is the host as an address if it was written as one."""

    scheme: str
    host: str
    port: int
    target: str
    address: IpAddress | None

    @property
    def is_tls(self) -> bool:
        return self.scheme in ("https", "wss")

    @property
    def authority(self) -> str:
        """What a Host header says: the port only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.target


def parse_url(text: str) -> Url:
    """The parts of `text`. Raises InvalidUrl with a message fit for an operator; the message never repeats the URL."""
    if len(text) > MAX_URL_CHARACTERS:
        raise InvalidUrl(f"The URL is longer than {MAX_URL_CHARACTERS} characters.")
    _check_characters(text)
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise InvalidUrl("The URL must look like https://host/path.")
    scheme, authority, rest = found.group(1).lower(), found.group(2), found.group(3) or "/"
    if scheme not in _DEFAULT_PORTS:
        raise InvalidUrl("The URL must begin with http://, https://, ws:// or wss://.")
    if "@" in authority:
        raise InvalidUrl("The URL must not contain a user name or password; use a header for credentials.")
    host_text, port = _split_port(authority, _DEFAULT_PORTS[scheme])
    host, address = _read_host(host_text)
    if _BAD_ESCAPE.search(rest):
        raise InvalidUrl("The URL's path has a malformed % escape or %00.")
    return Url(scheme, host, port, rest if rest.startswith("/") else "/" + rest, address)


def _check_characters(text: str) -> None:
    if not text.isascii():
        raise InvalidUrl("The URL has characters outside ASCII; write an international host name in its xn-- form.")
    if any(character <= " " or character == "\x7f" for character in text):
        raise InvalidUrl("The URL has a blank or a control character.")
    if "\\" in text:
        raise InvalidUrl("The URL has a backslash.")
    if "#" in text:
        raise InvalidUrl("The URL has a fragment (#…).")


def _split_port(authority: str, default: int) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        return authority, default
    if not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= 65535:
        raise InvalidUrl("The URL's port must be a number from 1 to 65535.")
    return host, int(port)


def _read_host(text: str) -> tuple[str, IpAddress | None]:
    """The host in its one spelling, and the address it is, if it is one."""
    if text.startswith("[") and text.endswith("]"):
        return _read_ipv6(text[1:-1])
    host = text.lower()
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _read_ipv4(host)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidUrl("The URL's host is not a host name, an IPv4 address or an IPv6 address in [brackets].")
    return host, None


def _read_ipv6(text: str) -> tuple[str, IpAddress]:
    if "%" in text:
        raise InvalidUrl("An IPv6 address in a URL must not name a zone (%…).")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise InvalidUrl("The text between [ and ] is not an IPv6 address.") from None
    return str(address), address


def _read_ipv4(host: str) -> tuple[str, IpAddress]:
    if not _QUAD.fullmatch(host):
        raise InvalidUrl("An IPv4 address must be written as four decimal numbers, like 192.0.2.1.")
    try:
        return host, ipaddress.IPv4Address(host)
    except ValueError:
        raise InvalidUrl("Each number of an IPv4 address must be from 0 to 255.") from None
