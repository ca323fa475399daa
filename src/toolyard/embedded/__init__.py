"""Toolyard inside your own program: `Toolyard` and, for code on an event loop, `AsyncToolyard`.

A gateway in the process that uses it, without a port: the same upstreams, pipeline, limits and records as behind
`toolyard up`. A *service* here is what the rest of Toolyard calls an upstream.
"""

from toolyard.embedded.blocking import Context, Toolyard
from toolyard.embedded.context import AsyncContext
from toolyard.embedded.errors import (
    ArgumentsInvalid,
    PermissionUnknown,
    ServiceExists,
    ServiceInvalid,
    ServiceNotReady,
    ToolyardClosed,
)
from toolyard.embedded.values import BatchResult, CallOutcome, Service, Tool, ToolCall, ToolResult
from toolyard.embedded.yard import AsyncToolyard

__all__ = [
    "ArgumentsInvalid",
    "AsyncContext",
    "AsyncToolyard",
    "BatchResult",
    "CallOutcome",
    "Context",
    "PermissionUnknown",
    "Service",
    "ServiceExists",
    "ServiceInvalid",
    "ServiceNotReady",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Toolyard",
    "ToolyardClosed",
]
