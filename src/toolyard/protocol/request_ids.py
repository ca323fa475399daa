"""What a JSON-RPC request id may be: text of at most 256 bytes, or an integer that every JSON parser keeps exact."""

from __future__ import annotations

from typing import TypeGuard

from toolyard.protocol.errors import RequestId

MAX_TEXT_BYTES = 256
MAX_INTEGER = 2**53 - 1


def is_request_id(value: object) -> TypeGuard[RequestId]:
    """True for a string of at most 256 UTF-8 bytes or an integer within ±(2^53−1); never for null, bool or float."""
    if type(value) is int:
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if type(value) is str:
        return len(value) <= MAX_TEXT_BYTES and (value.isascii() or _utf8_length(value) <= MAX_TEXT_BYTES)
    return False


def _utf8_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
