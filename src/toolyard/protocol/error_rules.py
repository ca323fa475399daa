"""JSON-RPC errors between revisions: which codes each era knows, and what the others become.

2026-07-28 basic/index, Error Codes: -32020 to -32099 belong to the specification, which defines three of them; -32002
(resource not found) and -32042 (URL elicitation required, 2025-11-25) are never sent in the modern era.
"""

from __future__ import annotations

from typing import Any, Final

from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import MODERN

Json = dict[str, Any]

INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602
INTERNAL: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_REVISION: Final = -32022
URL_ELICITATION_REQUIRED: Final = -32042

_SPECIFIED: Final = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_REVISION})
_RESERVED: Final = range(-32099, -32019)
_BETWEEN_GATEWAY_AND_UPSTREAM: Final = frozenset({HEADER_MISMATCH, UNSUPPORTED_REVISION})
_IN_LEGACY: Final = {
    HEADER_MISMATCH: INVALID_REQUEST,
    MISSING_CAPABILITY: INVALID_REQUEST,
    UNSUPPORTED_REVISION: INVALID_PARAMS,
}


def error_to_client(revision: str, error: Json) -> Json:
    """The error object as a client of `revision` may see it; message and data stay."""
    code = error["code"]
    shown = _in_modern(code) if revision == MODERN else _in_legacy(revision, code, error.get("data"))
    return error if shown == code else {**error, "code": shown}


def error_from_upstream(error: Json) -> RelayedError:
    """An upstream's error object as the error to relay. What concerns only the gateway's own request to the upstream
    (its headers, its revision) is an internal error to everyone else."""
    code = error["code"]
    shown = INTERNAL if code in _BETWEEN_GATEWAY_AND_UPSTREAM else code
    return RelayedError(shown, str(error["message"]), error.get("data"))


def _in_modern(code: int) -> int:
    if code == RESOURCE_NOT_FOUND:
        return INVALID_PARAMS
    if code in _RESERVED and code not in _SPECIFIED:
        return INTERNAL
    return code


def _in_legacy(revision: str, code: int, data: Any) -> int:
    """Before 2026-07-28 a missing resource has a code of its own, and URL elicitation exists in 2025-11-25 only."""
    if code == INVALID_PARAMS and _is_about_missing_resource(data):
        return RESOURCE_NOT_FOUND
    if code == URL_ELICITATION_REQUIRED and revision != "2025-11-25":
        return INTERNAL
    return _IN_LEGACY.get(code, code)


def _is_about_missing_resource(data: Any) -> bool:
    """2026-07-28 server/resources, Error Handling: such an error names the `uri`; our own says why it refuses."""
    if not isinstance(data, dict):
        return False
    return data["reason"] == "resource_unknown" if "reason" in data else isinstance(data.get("uri"), str)
