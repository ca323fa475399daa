"""Which era a message belongs to: 2026-07-28, where each says so itself, or the revisions before it."""

from __future__ import annotations

from toolyard.gateway.call import Head
from toolyard.protocol import jsonrpc
from toolyard.protocol.errors import HeaderMismatch
from toolyard.protocol.revisions import LEGACY, META_PROTOCOL_VERSION, MODERN, unsupported

ONLY_MODERN = frozenset({"server/discover", "subscriptions/listen"})
Messages = jsonrpc.Request | jsonrpc.Notification | jsonrpc.Reply | list[object]
"""What one body may hold; a list is a batch, still to be judged."""


def says_modern(head: Head) -> bool:
    """Whether the header names a revision that is not an older one, known or not."""
    return head.headers.get("mcp-protocol-version") not in (None, *LEGACY)


def is_modern_post(head: Head, message: Messages) -> bool:
    """Which era a POST belongs to: its header decides. Raises HeaderMismatch where the body says otherwise,
    UnsupportedRevision."""
    version = head.headers.get("mcp-protocol-version")
    request_id = getattr(message, "id", None)
    if "mcp-protocol-version" in head.repeated:
        raise HeaderMismatch("MCP-Protocol-Version came twice", request_id=request_id)
    if version == MODERN:
        return True
    if isinstance(message, jsonrpc.Request | jsonrpc.Notification) and _names_modern(message):
        if version is None or version in LEGACY:
            raise HeaderMismatch("the body names a revision that MCP-Protocol-Version does not", request_id=request_id)
        if message.params["_meta"][META_PROTOCOL_VERSION] != version:
            raise HeaderMismatch("MCP-Protocol-Version and _meta disagree", request_id=request_id)
    if version is not None and version not in LEGACY:
        error = unsupported(version)
        error.request_id = request_id
        raise error
    return False


def _names_modern(message: jsonrpc.Request | jsonrpc.Notification) -> bool:
    meta = message.params.get("_meta")
    return isinstance(meta, dict) and META_PROTOCOL_VERSION in meta


def asks_modern(message: Messages | None) -> bool:
    """On a connection there is no header: each request says itself of which era it is."""
    return isinstance(message, jsonrpc.Request) and (_names_modern(message) or message.method in ONLY_MODERN)
