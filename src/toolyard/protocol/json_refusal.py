"""Why a JSON text was refused, and whose request it was. Runs only for refused texts, so it may take its time."""

from __future__ import annotations

import json
import re
from typing import Any

from toolyard.protocol import json_numbers
from toolyard.protocol.errors import InvalidParams, InvalidRequest, ParseError, ProtocolError, RequestId
from toolyard.protocol.request_ids import is_request_id

_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])"
)


def refusal(body: bytes, reason: InvalidParams | None = None) -> ProtocolError:
    """The error for a refused `body`. `reason` is given where its shape is already known to be beyond the limits; the
    numbers in it are then not looked at."""
    reading = _Reading(numbers=reason is None)
    try:
        reading.read(body)
    except (ValueError, RecursionError):
        return ParseError()
    found = reading.flaw() or reason
    if found is None:
        return ParseError()
    found.request_id = reading.request_id()
    return found


class _RefusedNumber:
    """Stands where the text has a number that cannot be kept exact."""


class _Reading:
    """One reading that goes on after flaws and remembers them. The root's members are those of the last object read."""

    def __init__(self, *, numbers: bool) -> None:
        self._numbers = numbers
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
            parse_int=self._integer if self._numbers else None,
            parse_float=self._real if self._numbers else None,
            parse_constant=json_numbers.constant,
        )
        self._root = decoder.decode(body.decode())

    def flaw(self) -> ProtocolError | None:
        if isinstance(self._root, list) and not self._numbers:
            return InvalidRequest("A message is one JSON object, or a small batch of them.")
        if self._duplicate:
            return InvalidRequest("The message has a member name twice in one object.")
        if any(isinstance(value, _RefusedNumber) for value in self._root_ids()):
            return InvalidRequest("The request id is a number that cannot be kept exact.")
        if self._number:
            return InvalidParams("The message has a number that cannot be kept exact.")
        return None

    def request_id(self) -> RequestId | None:
        """The id of the message, if it has exactly one and that one is valid."""
        ids = self._root_ids()
        return ids[0] if len(ids) == 1 and is_request_id(ids[0]) else None

    def _root_ids(self) -> list[Any]:
        return [value for name, value in self._last if name == "id"] if isinstance(self._root, dict) else []

    def _members(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._last = pairs
        members = dict(pairs)
        self._duplicate = self._duplicate or len(members) != len(pairs)
        return members

    def _integer(self, literal: str) -> int | _RefusedNumber:
        try:
            return json_numbers.integer(literal)
        except json_numbers.NumberRefused:
            self._number = True
            return _RefusedNumber()

    def _real(self, literal: str) -> float | _RefusedNumber:
        try:
            return json_numbers.real(literal)
        except json_numbers.NumberRefused:
            self._number = True
            return _RefusedNumber()
