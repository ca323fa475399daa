"""A small MCP client on the standard library, for setting up and for timing first answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
CLIENT_INFO = {"name": "toolyard-bench", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT_INFO,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class WrongAnswer(OSError):
    """The server answered, but not with what was asked for."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One MCP endpoint on loopback and the key it wants (empty for none)."""

    port: int
    key: str = ""
    path: str = "/mcp"
    timeout_s: float = field(default=30.0, kw_only=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def headers(self) -> dict[str, str]:
        fixed = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        return {**fixed, "Authorization": f"Bearer {self.key}"} if self.key else fixed

    def post(self, message: dict[str, Any], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of one POST on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s)
        try:
            connection.request("POST", self.path, json.dumps(message), headers)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, names, response.read()
        finally:
            connection.close()


def modern_headers(endpoint: Endpoint, method: str, name: str | None = None) -> dict[str, str]:
    """Headers of a 2026-07-28 request (transports/streamable-http)."""
    headers = {**endpoint.headers(), "MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    return {**headers, "Mcp-Name": name} if name else headers


def modern_request(endpoint: Endpoint, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of one 2026-07-28 request; raises WrongAnswer."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    status, headers, body = endpoint.post(message, modern_headers(endpoint, method, params.get("name")))
    return result_in(status, headers, body)


def initialize(endpoint: Endpoint) -> str:
    """Open a legacy session; returns its id."""
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    status, headers, body = endpoint.post(message, endpoint.headers())
    result_in(status, headers, body)
    session = headers.get("mcp-session-id")
    if session is None:
        raise WrongAnswer("initialize gave no session id")
    endpoint.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, legacy_headers(endpoint, session))
    return session


def legacy_headers(endpoint: Endpoint, session: str | None = None) -> dict[str, str]:
    headers = {**endpoint.headers(), "MCP-Protocol-Version": LEGACY}
    return {**headers, "Mcp-Session-Id": session} if session else headers


def result_in(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The result in an answer, plain or as the last event of a stream; raises WrongAnswer."""
    if "event-stream" in headers.get("content-type", ""):
        data = [line[5:] for line in body.splitlines() if line.startswith(b"data:") and len(line) > 6]
        body = data[-1] if data else b""
    try:
        message = json.loads(body)
        result = message["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer(f"HTTP {status}: {body[:300]!r}") from error
    if status != 200 or not isinstance(result, dict):
        raise WrongAnswer(f"HTTP {status}: {body[:300]!r}")
    return result
