"""The calls that the founding documents write down, each with what answers it here. One table for both planes and the
reference; `control.aliases` switches off those that are another name of something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Whose = Literal["own", "gateway", "control"]


@dataclass(frozen=True, slots=True)
class FoundingPath:
    """One path as it was written. `whose`: `own` if it is the path here, too; else which plane knows it by this other
    name. `means`: what it does. `lines`: the requirements that write it."""

    methods: tuple[str, ...]
    pattern: str
    whose: Whose
    means: str
    lines: tuple[str, ...]


def _row(methods: str, pattern: str, whose: Whose, means: str, lines: str) -> FoundingPath:
    return FoundingPath(tuple(methods.split()), pattern, whose, means, tuple(lines.split()))


FOUNDING_PATHS: Final = (
    _row("GET", "/docs", "own", "interactive documents of the API", "S3-13"),
    _row("GET", "/redoc", "own", "the same to read", "S3-14"),
    _row("GET", "/api/docs", "own", "as `/docs`", "S4-56"),
    _row("GET", "/api/redoc", "own", "as `/redoc`", "S4-57"),
    _row("GET", "/health", "own", "whether calls are served", "S4-59"),
    _row("GET", "/api/v1/system/health", "own", "as `/health`", "S3-15"),
    _row("GET", "/api/v1/system/status", "own", "as `/health`; `/server/status` tells more, to who is logged in",
         "S3-16"),
    _row("GET", "/metrics", "own", "Prometheus metrics", "S4-58"),
    _row("POST", "/api/v1/auth/register", "own", "make an account, where that is switched on", "S4-68"),
    _row("POST", "/api/v1/auth/login", "own", "log in", "S3-33 S4-69"),
    _row("GET", "/api/v1/auth/me", "own", "who you are", "S3-34"),
    _row("GET", "/api/v1/tools", "own", "list tools", "S3-35"),
    _row("POST", "/api/v1/tools/call", "own", "call a tool", "S3-36"),
    _row("POST", "/api/v1/mcp/proxy", "own", "send one request of MCP", "S3-39"),
    _row("POST", "/api/v1/system/upload", "own", "upload a file", "S3-40"),
    _row("GET", "/ws/mcp", "own", "JSON-RPC over WebSocket", "S3-41"),
    _row("GET", "/ws", "gateway", "`/ws/mcp`", "S3-17"),
    _row("POST", "/tools/call", "gateway", "`/api/v1/tools/call`", "S1-36"),
    _row("GET POST DELETE", "/mcp/server/{server_code}/mcp", "gateway", "`/mcp/{server_code}`", "S2-267"),
    _row("GET", "/mcp/server/info", "control", "what speaks MCP here, and where", "S2-267"),
    _row("GET", "/api/v1/mcp/services", "control", "`GET /api/v1/upstreams`", "S3-38"),
    _row("GET", "/api/v1/mcps", "control", "`GET /api/v1/upstreams`", "S4-70"),
    _row("GET", "/services", "control", "`GET /api/v1/upstreams`", "S1-35"),
    _row("POST", "/services", "control", "`POST /api/v1/upstreams`, with an entry as clients write it", "S1-34"),
    _row("GET", "/groups", "control", "`GET /api/v1/servers`", "S2-168"),
    _row("POST", "/groups", "control", "`POST /api/v1/servers`, and a key of it", "S2-169"),
    _row("GET", "/groups/{server_id}", "control", "`GET /api/v1/servers/{server_id}`", "S2-263"),
    _row("PUT", "/groups/{server_id}", "control", "`PATCH /api/v1/servers/{server_id}`", "S2-263"),
    _row("DELETE", "/groups/{server_id}", "control", "`DELETE /api/v1/servers/{server_id}`", "S2-263"),
    _row("GET", "/groups/{server_id}/server-url", "control", "the `url` of the virtual server", "S2-263"),
    _row("GET", "/groups/{server_id}/api-key", "control", "`POST /api/v1/keys/{key_id}/reveal` of its newest key",
         "S2-170"),
    _row("POST", "/groups/{server_id}/regenerate-key", "control",
         "`POST /api/v1/keys/{key_id}/rotate` of its newest key, without a grace", "S2-171"),
    _row("GET", "/tools", "control",
         "`GET /api/v1/tools`, or with `group_id` `GET /api/v1/servers/{server_id}/tools`", "S0-104 S2-172"),
    _row("PUT", "/tools/{tool_id}", "control",
         "`PATCH /api/v1/tools/{tool_id}`; `group_id` and `description` change that virtual server", "S2-173 S2-174"),
    _row("POST", "/tools/refresh", "control", "`POST /api/v1/tools/refresh`", "S2-264"),
    _row("GET", "/server/status", "control", "how much there is, and whether gateways are heard", "S2-265"),
    _row("GET", "/api/config", "control", "`GET /api/v1/settings`", "S0-105"),
    _row("PUT", "/api/config", "control", "`PATCH /api/v1/settings`", "S0-105"),
)  # fmt: skip
