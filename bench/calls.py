"""The calls of the comparison: what is asked, in each way of speaking, and how an answer to it is known to be right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.backing import Backing
from bench.client import LEGACY, META, Endpoint, modern_headers
from bench.contestants.standing import Standing

Kind = Literal["echo", "page", "mega", "progress", "list"]
LEAST = {"page": 10 * 1024, "mega": 1024 * 1024}
PAGE = 1000
"""Tools on a page of Toolyard's lists; the others send all at once."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call as wrk is to send it: where, with which headers and body, and what its answers must be like."""

    endpoint: Endpoint
    headers: Mapping[str, str]
    body: str
    checks: Mapping[str, str]


def request_of(standing: Standing, kind: Kind, backing: Backing, *, pages: bool = False) -> Request:
    """The call of that kind for what stands. With `pages`, of a list only the first page is expected."""
    if standing.speaks == "rest":
        return _rest(standing, kind, backing)
    name = None if kind == "list" else standing.tool(kind)
    params: dict[str, Any] = {} if name is None else {"name": name, "arguments": {"message": "call @N@ of the bench"}}
    headers = {**standing.endpoint.headers(), "MCP-Protocol-Version": LEGACY}
    if standing.speaks == "modern":
        params["_meta"] = dict(META)
        headers = modern_headers(standing.endpoint, "tools/list" if name is None else "tools/call", name)
    if kind == "progress":
        params["_meta"] = {**params.get("_meta", {}), "progressToken": "@N@"}
    method = "tools/list" if name is None else "tools/call"
    message = {"jsonrpc": "2.0", "id": "@N@", "method": method, "params": params}
    expected = min(backing.tools, PAGE) if pages else backing.tools
    return Request(standing.endpoint, headers, _numbered(message), _checks(kind, expected))


def _numbered(message: Mapping[str, Any]) -> str:
    """The message with places for a number, which are numbers and no strings."""
    text = json.dumps(message, separators=(",", ":"))
    return text.replace('"id":"@N@"', '"id":@N@').replace('"progressToken":"@N@"', '"progressToken":@N@')


def _checks(kind: Kind, tools: int) -> dict[str, str]:
    checks = {"BENCH_LEAST": str(LEAST.get(kind, 0))}
    if kind == "list":
        return {**checks, "BENCH_TEXT": "0", "BENCH_NEEDLE": '"inputSchema"', "BENCH_COUNT": str(tools)}
    if kind == "progress":
        return {**checks, "BENCH_NEEDLE": "notifications/progress", "BENCH_COUNT": "100"}
    return checks


def _rest(standing: Standing, kind: Kind, backing: Backing) -> Request:
    """mcp-hub's own calls: no ids, and all tools of all servers by one GET."""
    checks = {**_checks(kind, backing.tools), "BENCH_IDS": "0"}
    if kind == "list":
        return Request(Endpoint(standing.endpoint.port, path="/api/servers"), {}, "", checks)
    message = {"server_name": standing.prefix, "tool": kind, "arguments": {"message": "call @N@ of the bench"}}
    return Request(standing.endpoint, standing.endpoint.headers(), _numbered(message), checks)
