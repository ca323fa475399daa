"""Heads that a connection has sent before, but for the few values that change from request to request.

A client writes the same head again and again; only the length of the body, the name of the tool, the session and the
trace id are others. Such a head was judged whole when it came first. When the rest of it comes again byte for byte, and
what stands in the changing places is made of characters that cannot mean anything else, it means the same, and need not
be read again. Everything else goes to the reader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from toolyard.gateway.head_reader import RequestHead
from toolyard.gateway.reception import Reception

_LENGTH: Final = "content-length"
_VARYING: Final = (_LENGTH, "mcp-name", "mcp-session-id", "traceparent")
_MOST_DIGITS: Final = 6
_TEXT: Final = re.compile(rb"[!-~]{1,256}")
_MOST: Final = 8
_MOST_TEXTS: Final = 128
_MOST_BYTES: Final = 4096

_Place = tuple[bytes, str]
"""What stands before a changing value, line end included, as the client writes it; and the header's name."""


@dataclass(slots=True)
class KnownHead:
    """One request whose head is known: how long its body is, and its headers."""

    reception: Reception
    length: int
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Kind:
    """A head without its changing values. `texts` are values that were looked at before."""

    reception: Reception
    texts: dict[bytes, str] = field(default_factory=dict)


class KnownHeads:
    """The heads of one connection, whose bodies may have `body_bytes`."""

    __slots__ = ("_body_bytes", "_kinds", "_last", "_last_head", "_places")

    def __init__(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._last_head = b""
        self._last: KnownHead | None = None
        """What was found last: the very same head comes often."""
        self._places: tuple[_Place, ...] = ()
        """Where changing values stand, in the order of the client's heads; not every head has all of them."""
        self._kinds: dict[bytes, _Kind] = {}

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def clear(self) -> None:
        self._kinds.clear()
        self._last_head, self._last = b"", None

    def find(self, head: bytes) -> KnownHead | None:
        """What a whole head means, if it is known."""
        if head == self._last_head:
            return self._last
        rest, values = self._cut(head)
        kind = self._kinds.get(rest)
        if kind is None:
            return None
        length, changed = 0, {}
        for name, value in values:
            if name == _LENGTH:
                if not value.isdigit() or len(value) > _MOST_DIGITS:
                    return None
                length = int(value)
                if length > self._body_bytes:
                    return None
            text = kind.texts.get(value)
            if text is None and (text := _text_of(kind, name, value)) is None:
                return None
            changed[name] = text
        headers = {**kind.reception.request.headers, **changed}
        self._last_head, self._last = head, KnownHead(kind.reception, length, headers)
        return self._last

    def remember(self, head: bytes, reception: Reception) -> None:
        """Keep a head that was judged, if it is one that may be known again."""
        request = reception.request
        if (
            len(head) > _MOST_BYTES
            or request.length is None
            or request.repeated
            or "expect" in request.headers
            or reception.route.websocket
        ):
            return
        places = _places_in(head, request)
        if not _some_of(self._places, places):
            if not _some_of(places, self._places):
                self._kinds.clear()
            self._places = places
        rest, _ = self._cut(head)
        if rest in self._kinds:
            return
        if len(self._kinds) >= _MOST:
            self._kinds.clear()
        self._kinds[rest] = _Kind(reception)

    def _cut(self, head: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
        """The head without its changing values, and these by name."""
        pieces, values, at = [], [], 0
        for place, name in self._places:
            start = head.find(place, at)
            if start < 0:
                continue
            start += len(place)
            stop = head.find(b"\r\n", start)
            pieces.append(head[at:start])
            values.append((name, head[start:stop]))
            at = stop
        pieces.append(head[at:])
        return b"".join(pieces), values


def _text_of(kind: _Kind, name: str, value: bytes) -> str | None:
    """A changing value as text, if it is one that cannot mean anything else."""
    if _TEXT.fullmatch(value) is None:
        return None
    text = value.decode("ascii")
    if name != "traceparent":
        if len(kind.texts) >= _MOST_TEXTS:
            kind.texts.clear()
        kind.texts[value] = text
    return text


def _some_of(all_places: tuple[_Place, ...], places: tuple[_Place, ...]) -> bool:
    """Whether all of `places` are among `all_places`, and in the same order."""
    among = iter(all_places)
    return all(place in among for place in places)


def _places_in(head: bytes, request: RequestHead) -> tuple[_Place, ...]:
    """Where the changing values stand in a head."""
    places: list[_Place] = []
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        lower = name.decode("latin-1").lower()
        if lower in _VARYING and lower in request.headers:
            blanks = value[: len(value) - len(value.lstrip(b" "))]
            places.append((b"\r\n" + name + colon + blanks, lower))
    return tuple(places)
