"""Errors of the protocol, with their JSON-RPC codes and HTTP statuses (2026-07-28, basic/transports and errors).

Codes -32020 to -32022 exist only in the modern era; -32002 and -32042 are never sent to a modern client.
"""

from __future__ import annotations

from typing import Any, ClassVar

from toolyard.kit.errors import PlatformError

RequestId = str | int


class ProtocolError(PlatformError):
    """The message breaks the protocol. `request_id` is set only if the message had a valid one."""

    code: ClassVar[str] = "protocol_error"
    status: ClassVar[int] = 400
    rpc_code: int = -32600

    def __init__(self, message: str | None = None, *, request_id: RequestId | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.data = data


class ParseError(ProtocolError):
    """The body is not JSON as the protocol wants it."""

    code = "parse_error"
    rpc_code = -32700


class InvalidRequest(ProtocolError):
    """The body is JSON but not a JSON-RPC message of this revision."""

    code = "invalid_request"
    rpc_code = -32600


class MethodNotFound(ProtocolError):
    """There is no such method in this revision."""

    code = "method_not_found"
    status = 404
    rpc_code = -32601


class InvalidParams(ProtocolError):
    """The parameters are not what the method takes."""

    code = "invalid_params"
    rpc_code = -32602


class HeaderMismatch(ProtocolError):
    """A header is missing, malformed, repeated, or says something else than the body."""

    code = "header_mismatch"
    rpc_code = -32020


class MissingClientCapability(ProtocolError):
    """The request needs a capability that the client did not declare."""

    code = "missing_client_capability"
    rpc_code = -32021


class UnsupportedRevision(ProtocolError):
    """The protocol revision is not one that is spoken here."""

    code = "unsupported_revision"
    rpc_code = -32022


class RelayedError(ProtocolError):
    """A JSON-RPC error that an upstream sent as its answer."""

    code = "upstream_error"
    status = 200

    def __init__(self, rpc_code: int, message: str, data: Any = None) -> None:
        super().__init__(message, data=data)
        self.rpc_code = rpc_code
