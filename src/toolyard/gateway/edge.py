"""The edge guard: who may name us (Host), whose pages may use us (Origin), which paths are paths. Pure functions.

Everything is compared with exact, lower-case lists; nothing here resolves, guesses or forgives. The same guard stands
before every route, WebSocket handshakes and probes included.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote_to_bytes, urlsplit

from toolyard.gateway.refusals import HostRefused, OriginRefused, RequestMalformed

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_PLAIN_PATH = re.compile(r"/|(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,=:@%/-]*")
_QUERY = re.compile(r"[!$-~]*")
_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:2[eEfF]|5[cC]|3[bB])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\;]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  (names that are looked for, not bound)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class EdgeRules:
    """What one listener accepts. `authorities`: values of Host. `origins`: values of Origin, our own and the listed
    ones; `shared_origins`: the listed ones, which get CORS headers. `any_local_address`: the address a connection came
    in on names us too. `trusted_proxies`: whose X-Forwarded-For is believed."""

    authorities: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    shared_origins: frozenset[str] = frozenset()
    any_local_address: bool = False
    scheme: str = "http"
    trusted_proxies: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What the operator says: our `public_url`, further `allowed_hosts` (`name` or `name:port`), `allowed_origins`
    (`scheme://host[:port]`) and the networks of `trusted_proxies`."""

    public_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()


def edge_rules(settings: EdgeSettings, bind_host: str, port: int, *, scheme: str = "http") -> EdgeRules:
    """The rules of a listener on `bind_host` and `port`. Local names count with that port, or without one in Host."""
    names = {*_LOCAL_NAMES, *(() if bind_host in _WILDCARDS else (_bracketed(bind_host),))}
    authorities = {f"{name}:{port}" for name in names} | names | set(settings.allowed_hosts)
    origins = {_origin(scheme, name, port) for name in names}
    origins |= {f"{either}://{name}" for either in _DEFAULT_PORTS for name in settings.allowed_hosts}
    if settings.public_url is not None:
        url = urlsplit(settings.public_url)
        name = _bracketed(url.hostname or "")
        public_port = url.port or _DEFAULT_PORTS.get(url.scheme, port)
        authorities |= {f"{name}:{public_port}"}
        if public_port == _DEFAULT_PORTS.get(url.scheme):
            authorities.add(name)
        origins.add(_origin(url.scheme, name, public_port))
    shared = {origin.lower().rstrip("/") for origin in settings.allowed_origins} - {"null", "*"}
    return EdgeRules(
        authorities=frozenset(name.lower() for name in authorities),
        origins=frozenset(origin.lower() for origin in origins | shared),
        shared_origins=frozenset(shared),
        any_local_address=bind_host in _WILDCARDS,
        scheme=scheme,
        trusted_proxies=settings.trusted_proxies,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _origin(scheme: str, name: str, port: int) -> str:
    return f"{scheme}://{name}" if port == _DEFAULT_PORTS.get(scheme) else f"{scheme}://{name}:{port}"


def plain_address(host: str) -> str:
    """A socket's address without the scope of IPv6 and without the IPv6 form of an IPv4 address."""
    host = host.partition("%")[0]
    return host.removeprefix("::ffff:") if "." in host else host


def authority_of(host: str, port: int) -> str:
    """How a client that uses this address writes Host."""
    return f"{_bracketed(plain_address(host))}:{port}"


def check_host_grammar(headers: Mapping[str, str], repeated: Container[str]) -> str:
    """The one Host of a request in lower case (RFC 9112 section 3.2). Raises RequestMalformed."""
    host = headers.get("host")
    if host is None or "host" in repeated or not _HOST.fullmatch(host):
        raise RequestMalformed("There must be one Host header, of the form name[:port].")
    return host.lower()


def check_host(host: str, rules: EdgeRules, local_authority: str) -> None:
    """Raise HostRefused unless `host` names us: the defence against DNS rebinding."""
    if host in rules.authorities:
        return
    if not (rules.any_local_address and host in (local_authority, local_authority.rpartition(":")[0])):
        raise HostRefused


def check_origin(
    headers: Mapping[str, str], repeated: Container[str], rules: EdgeRules, local_authority: str = ""
) -> str | None:
    """The origin when it is a listed one that gets CORS headers. Raises OriginRefused for every origin not known."""
    origin = headers.get("origin")
    if origin is None:
        return None
    origin = origin.lower()
    if "origin" in repeated:
        raise OriginRefused
    if origin in rules.origins:
        return origin if origin in rules.shared_origins else None
    if not (rules.any_local_address and origin == f"{rules.scheme}://{local_authority}"):
        raise OriginRefused
    return None


def read_target(target: str) -> tuple[str, str]:
    """(path, raw query) of an origin-form target, the path decoded exactly once. Raises RequestMalformed."""
    path, _, query = target.partition("?")
    if not _QUERY.fullmatch(query):
        raise RequestMalformed
    if _PLAIN_PATH.fullmatch(path):
        return path, query
    if not _PATH.fullmatch(path) or "//" in path or _ENCODED.search(path):
        raise RequestMalformed
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise RequestMalformed from None
    if _CONTROL.search(decoded) or any(segment in (".", "..") for segment in decoded.split("/")):
        raise RequestMalformed
    return decoded, query


def client_address(peer: str, headers: Mapping[str, str], trusted: Collection[Network]) -> str:
    """The socket's peer; behind trusted proxies the last hop of X-Forwarded-For that is not itself trusted."""
    if not trusted or not _is_trusted(peer, trusted):
        return peer
    client = peer
    for hop in reversed(headers.get("x-forwarded-for", "").split(",")):
        address = _address(hop.strip())
        if address is None:
            break
        client = str(address)
        if not _is_trusted(client, trusted):
            break
    return client


def _is_trusted(text: str, trusted: Collection[Network]) -> bool:
    address = _address(text)
    return address is not None and any(address.version == one.version and address in one for one in trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
