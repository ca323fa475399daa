"""The one translator from errors to JSON-RPC: codes, data and HTTP statuses for every era.

Own JSON-RPC codes are HTTP's numbers (429, 503 …): they lie outside the range the specification reserves. Errors of an
upstream are -32603 with `data.reason` and `data.may_have_run` (false only where the request provably never reached it);
the caller learns which upstream and why, never its address.
"""

from __future__ import annotations

import math

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Answer
from toolyard.gateway.errors import Unauthenticated
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.kit.errors import PlatformError
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import error_to_client
from toolyard.protocol.errors import InvalidRequest, ParseError, ProtocolError, RelayedError, RequestId
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.strict_json import encode

_RELAYED_STATUS = {-32600: 400, -32602: 400, -32601: 404, -32020: 400, -32021: 400, -32022: 400}
_ABOUT_THE_CONNECTION = frozenset(
    {
        "unauthenticated",
        "server_unknown",
        "session_required",
        "session_unknown",
        "too_many_sessions",
        "not_acceptable",
    }
)
_INVALID_REQUEST = frozenset({"session_required", "session_unknown"})
_INVALID_PARAMS = frozenset(
    {
        "tool_unknown",
        "tool_not_in_server",
        "tool_disabled",
        "prompt_unknown",
        "resource_unknown",
        "cursor_invalid",
        "state_refused",
        "call_lost",
        "task_unknown",
        "old_task_required",
        "server_disabled",
    }
)


def error_object(error: PlatformError, revision: str) -> Json:
    """The JSON-RPC error object for a client of `revision`: code, message, data."""
    if isinstance(error, ProtocolError):
        found: Json = {"code": error.rpc_code, "message": error.message}
        if error.data is not None:
            found["data"] = error.data
    elif isinstance(error, UpstreamError):
        data = {**_shown(error), "reason": error.code, "may_have_run": error.may_have_run}
        found = {"code": -32603, "message": error.message, "data": data}
    elif error.code in _INVALID_PARAMS:
        found = {"code": -32602, "message": error.message, "data": {"reason": error.code, **getattr(error, "data", {})}}
    else:
        code = -32600 if error.code in _INVALID_REQUEST else error.status
        found = {"code": code, "message": error.message, "data": {**_shown(error), "reason": error.code}}
    return error_to_client(revision, found)


def error_answer(error: PlatformError, request_id: RequestId | None, revision: str) -> Answer:
    """The answer that ends an exchange with an error. Legacy clients get HTTP 200 for what concerns one request only:
    they take other statuses for a fault of the transport or the end of the session."""
    shown = error_object(error, revision)
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Unauthenticated):
        headers = (("www-authenticate", 'Bearer realm="toolyard"'),)
    elif error.retry_after_s > 0:
        headers = (("retry-after", str(math.ceil(error.retry_after_s))),)
    status = _status(error, request_id, revision, shown["code"])
    return Answer(status, encode(jsonrpc.error(request_id, **shown)), headers)


def _status(error: PlatformError, request_id: RequestId | None, revision: str, code: int) -> int:
    if isinstance(error, UpstreamError):
        return 200
    if revision != MODERN:
        about_one_request = request_id is not None and not isinstance(error, ParseError | InvalidRequest)
        return 200 if about_one_request and error.code not in _ABOUT_THE_CONNECTION else error.status
    if isinstance(error, RelayedError):
        return _RELAYED_STATUS.get(code, 200)
    return 400 if error.code in _INVALID_PARAMS else error.status


def _shown(error: PlatformError) -> Json:
    return {k: v for k, v in error.context.items() if isinstance(v, str | int | float)}
