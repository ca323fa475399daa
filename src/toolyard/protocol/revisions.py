"""The protocol's revisions: which there are, which requests exist in each, and the reserved names of `_meta`.

Revisions are a set of known strings, not an ordering by text; `LEGACY` lists the older ones newest first.
Sources: lifecycle pages of 2024-11-05 to 2025-11-25; 2026-07-28 basic/versioning and basic/index.
"""

from __future__ import annotations

from typing import Final

from toolyard.protocol.errors import InvalidParams, UnsupportedRevision

MODERN: Final = "2026-07-28"
LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
SUPPORTED: Final = (MODERN, *LEGACY)

BATCH_REVISION: Final = "2025-03-26"
"""The only revision whose receivers must take batches."""

ASSUMED_WITHOUT_HEADER: Final = "2025-03-26"
"""What a legacy HTTP request without MCP-Protocol-Version is taken for (2025-06-18, basic/transports)."""

META_PROTOCOL_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CLIENT_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT_INFO: Final = "io.modelcontextprotocol/clientInfo"
META_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
META_SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"
META_SUBSCRIPTION_ID: Final = "io.modelcontextprotocol/subscriptionId"
PROGRESS_TOKEN: Final = "progressToken"  # noqa: S105  (a name of the protocol)

LOG_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""From the least to the most severe (RFC 5424)."""

_BOTH_ERAS: Final = frozenset(
    {
        "completion/complete",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "tools/call",
        "tools/list",
    }
)
MODERN_METHODS: Final = _BOTH_ERAS | {"server/discover", "subscriptions/listen"}
LEGACY_METHODS: Final = _BOTH_ERAS | {
    "initialize",
    "logging/setLevel",
    "ping",
    "resources/subscribe",
    "resources/unsubscribe",
}


def is_modern(revision: str) -> bool:
    """True for revisions without handshake and session."""
    return revision == MODERN


def at_least(revision: str, other: str) -> bool:
    """True if `revision` is `other` or newer; both are of SUPPORTED."""
    return SUPPORTED.index(revision) <= SUPPORTED.index(other)


def methods(revision: str) -> frozenset[str]:
    """The requests a client may send in `revision`."""
    return MODERN_METHODS if revision == MODERN else LEGACY_METHODS


def negotiate(requested: object) -> str:
    """The revision to answer an `initialize` with: the requested one if it is known and legacy, else the newest legacy.

    Raises InvalidParams if `requested` is not a string."""
    if not isinstance(requested, str):
        raise InvalidParams("initialize needs `protocolVersion`, a string.")
    return requested if requested in LEGACY else LEGACY[0]


def unsupported(requested: str) -> UnsupportedRevision:
    """The error for a modern request of another revision than ours, with what is supported instead."""
    offered = (MODERN,) if requested in LEGACY else SUPPORTED
    return UnsupportedRevision(data={"supported": list(offered), "requested": requested})
