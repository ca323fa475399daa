"""Why a JSON text was refused, and whose request it was. Runs only for refused texts, so it may take its time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from toolyard.protocol import json_numbers
from toolyard.protocol.errors import InvalidParams, InvalidRequest, ParseError, ProtocolError, RequestId
from toolyard.protocol.request_ids import is_request_id

T = TypeVar("T")

_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])"
)


def refusal(body: bytes, reason: InvalidParams | None = None) -> ProtocolError:
    """The error for a refused `body`. `reason` is given where it is already known to be nested too deep."""
    reading = _Reading()
    try:
        reading.read(body)
    except (ValueError, RecursionError):
        return ParseError()
    if reason is not None and not reading.is_object():
        return InvalidRequest("A message is one JSON object, or a small batch of them.")
    found = reading.flaw() or reason
    if found is None:
        return ParseError()
    found.request_id = reading.request_id()
    return found


def overgrown(body: bytes, message: str) -> ProtocolError:
    """The error for a `body` with too many elements, without making them. Its id counts as unique if the text has the
    member's name only once."""
    try:
        if not body.decode().lstrip(" \t\r\n").startswith("{"):
            msgspec.json.decode(body, type=msgspec.Raw)
            return InvalidRequest("A message is one JSON object, or a small batch of them.")
        head = msgspec.json.decode(body, type=_Head)
    except (ValueError, RecursionError):
        return ParseError()
    once = body.count(b'"id"') == 1 and b"\\u" not in body
    return InvalidParams(message, request_id=head.id if once and is_request_id(head.id) else None)


class _Head(msgspec.Struct):
    """The one member of a message that its refusal needs; all others are passed over."""

    id: Any = None


class _Number(str):
    """A number that is refused, or that comes after a refused one and was not looked at yet."""

    __slots__ = ()

    def value(self) -> Any:
        """The number, or None if it cannot be kept exact."""
        try:
            return json_numbers.real(self) if set(self) & set(".eE") else json_numbers.integer(self)
        except json_numbers.NumberRefused:
            return None


class _Reading:
    """One reading that goes on after flaws and remembers them. The root's members are those of the last object read."""

    def __init__(self) -> None:
        self._duplicate = False
        self._number = False
        self._last: list[tuple[str, Any]] = []
        self._root: Any = None

    def read(self, body: bytes) -> None:
        """Raises ValueError or RecursionError if `body` is no JSON text."""
        if _LONE_SURROGATE.search(body.replace(b"\\\\", b"__")):
            raise ValueError("lone surrogate")
        decoder = json.JSONDecoder(
            object_pairs_hook=self._members,
            parse_int=self._integer,
            parse_float=self._real,
            parse_constant=json_numbers.constant,
        )
        self._root = decoder.decode(body.decode())

    def is_object(self) -> bool:
        return isinstance(self._root, dict)

    def flaw(self) -> ProtocolError | None:
        if self._duplicate:
            return InvalidRequest("The message has a member name twice in one object.")
        if None in self._root_ids() and self._number:
            return InvalidRequest("The request id is null or a number that cannot be kept exact.")
        if self._number:
            return InvalidParams("The message has a number that cannot be kept exact.")
        return None

    def request_id(self) -> RequestId | None:
        """The id of the message, if it has exactly one and that one is valid."""
        ids = self._root_ids()
        return ids[0] if len(ids) == 1 and is_request_id(ids[0]) else None

    def _root_ids(self) -> list[Any]:
        if not self.is_object():
            return []
        ids = [value for name, value in self._last if name == "id"]
        return [value.value() if isinstance(value, _Number) else value for value in ids]

    def _members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._last = pairs
        members = dict(pairs)
        self._duplicate = self._duplicate or len(members) != len(pairs)
        return members

    def _integer(self, literal: str) -> int | _Number:
        return self._judged(literal, json_numbers.integer)

    def _real(self, literal: str) -> float | _Number:
        return self._judged(literal, json_numbers.real)

    def _judged(self, literal: str, judge: Callable[[str], T]) -> T | _Number:
        if self._number:
            return _Number(literal)
        try:
            return judge(literal)
        except json_numbers.NumberRefused:
            self._number = True
            return _Number(literal)
