"""JSON-RPC 2.0 messages as MCP uses them: reading what a peer sent, building what we send.

`read` judges the envelope and the few shapes every later step relies on; whether a method exists is not its business.
Sources: 2026-07-28 basic/index (messages); 2025-03-26 basic/index (batching).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from toolyard.protocol.errors import InvalidParams, InvalidRequest, ProtocolError, RequestId
from toolyard.protocol.request_ids import is_request_id

Json = dict[str, Any]

MAX_METHOD_BYTES: Final = 128
MAX_BATCH: Final = 20

_NEEDED_STRINGS: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
}
_TAKES_ARGUMENTS: Final = frozenset({"tools/call", "prompts/get"})
_NO_PARAMS: Final[Json] = {}


@dataclass(frozen=True, slots=True)
class Request:
    """A call that wants an answer. `params` is {} where the message had none."""

    id: RequestId
    method: str
    params: Json


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that wants no answer."""

    method: str
    params: Json


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: either `result` or `error` is set. `id` is None only for an error about an unreadable message."""

    id: RequestId | None
    result: Json | None
    error: Json | None


Message = Request | Notification | Reply


def read(message: Any) -> Message:
    """The message in decoded JSON. Raises InvalidRequest or InvalidParams, with the request's id if it is valid."""
    if type(message) is not dict:
        raise InvalidRequest("A message is one JSON object.")
    if message.get("jsonrpc") != "2.0":
        raise InvalidRequest('A message has "jsonrpc": "2.0".', request_id=_id_or_none(message))
    if "method" not in message:
        return _read_reply(message)
    request_id: RequestId | None = None
    if "id" in message:
        request_id = _id_or_none(message)
        if request_id is None:
            raise InvalidRequest("The id is a string of at most 256 bytes or an integer within ±(2^53−1).")
    try:
        return _read_call(message, request_id)
    except ProtocolError as error:
        error.request_id = request_id
        raise


def read_batch(messages: Any) -> list[Message | ProtocolError]:
    """The messages of a batch (2025-03-26), or for each bad one its error. Raises InvalidRequest if it is no batch, is
    empty, has more than 20 elements or one request id twice."""
    if type(messages) is not list:
        raise InvalidRequest("A batch is an array of messages.")
    if not 1 <= len(messages) <= MAX_BATCH:
        raise InvalidRequest(f"A batch has 1 to {MAX_BATCH} messages.")
    elements = [_read_element(message) for message in messages]
    ids = [element.id for element in elements if isinstance(element, Request)]
    if len(set(ids)) != len(ids):
        raise InvalidRequest("A batch has one request id twice.")
    return elements


def request(request_id: RequestId, method: str, params: Json | None = None) -> Json:
    """A request to send; without `params` if there are none."""
    message: Json = {"jsonrpc": "2.0", "id": request_id, "method": method}
    if params is not None:
        message["params"] = params
    return message


def notification(method: str, params: Json | None = None) -> Json:
    """A notification to send; without `params` if there are none."""
    message: Json = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        message["params"] = params
    return message


def result(request_id: RequestId, value: Json) -> Json:
    """The answer of a request that succeeded."""
    return {"jsonrpc": "2.0", "id": request_id, "result": value}


def error(request_id: RequestId | None, code: int, message: str, data: Any = None) -> Json:
    """The answer of a request that failed; without `id` if it is not known, without `data` if there is none."""
    fault: Json = {"code": code, "message": message}
    if data is not None:
        fault["data"] = data
    if request_id is None:
        return {"jsonrpc": "2.0", "error": fault}
    return {"jsonrpc": "2.0", "id": request_id, "error": fault}


def _id_or_none(message: Json) -> RequestId | None:
    value = message.get("id")
    return value if is_request_id(value) else None


def _read_call(message: Json, request_id: RequestId | None) -> Request | Notification:
    if "result" in message or "error" in message:
        raise InvalidRequest("A message is a request or a reply, not both.")
    method = _method(message["method"])
    params = message.get("params", _NO_PARAMS)
    if params is _NO_PARAMS:
        params = {}
    elif type(params) is not dict:
        raise InvalidParams("`params` is an object.")
    if type(params.get("_meta", _NO_PARAMS)) is not dict:
        raise InvalidParams("`_meta` is an object.")
    if method in _NEEDED_STRINGS and request_id is not None:
        _check_shape(method, params)
    return Notification(method, params) if request_id is None else Request(request_id, method, params)


def _method(value: Any) -> str:
    if type(value) is not str or not value:
        raise InvalidRequest("The method is a non-empty string.")
    if len(value) > MAX_METHOD_BYTES or (not value.isascii() and len(value.encode()) > MAX_METHOD_BYTES):
        raise InvalidRequest(f"The method is longer than {MAX_METHOD_BYTES} bytes.")
    return value


def _check_shape(method: str, params: Json) -> None:
    needed = _NEEDED_STRINGS[method]
    value = params.get(needed)
    if type(value) is not str or not value:
        raise InvalidParams(f"{method} needs `{needed}`, a non-empty string.")
    if not value.isprintable() and any(character < " " or character == "\x7f" for character in value):
        raise InvalidParams(f"`{needed}` of {method} has a control character.")
    if method in _TAKES_ARGUMENTS and type(params.get("arguments", _NO_PARAMS)) is not dict:
        raise InvalidParams(f"`arguments` of {method} is an object.")


def _read_reply(message: Json) -> Reply:
    request_id = _id_or_none(message)
    if request_id is None and message.get("id") is not None:
        raise InvalidRequest("The id of the reply is not valid.")
    if "result" in message:
        return _read_result(message, request_id)
    if "error" not in message:
        raise InvalidRequest("A message has a method, a result or an error.", request_id=request_id)
    fault = message["error"]
    if type(fault) is not dict or type(fault.get("code")) is not int or type(fault.get("message")) is not str:
        raise InvalidRequest("An error has an integer `code` and a text `message`.", request_id=request_id)
    return Reply(request_id, None, fault)


def _read_result(message: Json, request_id: RequestId | None) -> Reply:
    if "error" in message:
        raise InvalidRequest("A reply has a result or an error, not both.", request_id=request_id)
    if request_id is None:
        raise InvalidRequest("A result needs the id of its request.")
    value = message["result"]
    if type(value) is not dict:
        raise InvalidRequest("A result is an object.", request_id=request_id)
    return Reply(request_id, value, None)


def _read_element(message: Any) -> Message | ProtocolError:
    try:
        return read(message)
    except ProtocolError as problem:
        return problem
