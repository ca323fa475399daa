"""Request heads as bytes. What never changes for an origin is encoded once; what does is checked and encoded here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from toolyard.net.errors import Unsendable
from toolyard.net.url import Url

IDEMPOTENT_METHODS = frozenset({"GET", "PUT", "DELETE", "OPTIONS"})

_METHODS = IDEMPOTENT_METHODS | {"POST", "PATCH"}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TARGET = re.compile(r"/[!-~]*")
_FORBIDDEN_IN_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_OURS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "accept-encoding",
        "expect",
        "te",
        "trailer",
        "upgrade",
    }
)
_MAX_KNOWN = 512


class RequestHeads:
    """Encodes the heads of one origin's requests; remembers what it has already checked, up to 512 of each."""

    def __init__(self, origin: Url) -> None:
        self._fixed = f" HTTP/1.1\r\nhost: {origin.authority}\r\naccept-encoding: identity\r\n"
        self._names: set[str] = set()
        self._lines: dict[tuple[str, str], str] = {}

    def encode(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes | None) -> bytes:
        """The head with its blank line, and the body. Raises Unsendable."""
        start = self._lines.get((method, target)) or self._start_line(method, target)
        known = self._names
        parts = [start]
        for name, value in headers:
            if name not in known:
                self._learn_name(name)
            if _FORBIDDEN_IN_VALUE.search(value):
                raise _bad_value(name)
            parts.append(f"{name}: {value}\r\n")
        if body is None:
            parts.append("content-length: 0\r\n\r\n" if method in ("POST", "PUT", "PATCH") else "\r\n")
            return "".join(parts).encode("latin-1")
        parts.append(f"content-length: {len(body)}\r\n\r\n")
        return "".join(parts).encode("latin-1") + body

    def _start_line(self, method: str, target: str) -> str:
        if method not in _METHODS:
            raise Unsendable(f"The method {method!r} is not one that this client sends.")
        if not _TARGET.fullmatch(target) or "#" in target:
            raise Unsendable("The request's target has a character that HTTP does not allow there.")
        line = f"{method} {target}{self._fixed}"
        if len(self._lines) < _MAX_KNOWN:
            self._lines[method, target] = line
        return line

    def _learn_name(self, name: str) -> None:
        _check_name(name)
        if len(self._names) < _MAX_KNOWN:
            self._names.add(name)


def check_header(name: str, value: str) -> None:
    """Raise Unsendable when a caller may not set this header, or not to this value."""
    _check_name(name)
    if _FORBIDDEN_IN_VALUE.search(value):
        raise _bad_value(name)


def check_token(text: str) -> None:
    """Raise Unsendable when `text` is not a token (RFC 9110 section 5.6.2), as header and subprotocol names are."""
    if not _TOKEN.fullmatch(text):
        raise Unsendable(f"{text!r} is not a name that HTTP allows.")


def _check_name(name: str) -> None:
    check_token(name)
    if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
        raise Unsendable(f"The header {name} is the client's own and cannot be set.")


def _bad_value(name: str) -> Unsendable:
    return Unsendable(f"The value of the header {name} has a character that HTTP does not allow.")
