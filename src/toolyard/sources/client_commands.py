"""What to paste into a terminal so that a client knows a virtual server. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from toolyard.protocol.revisions import META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_PROTOCOL_VERSION, MODERN

KEY_PLACE: Final = "YOUR-KEY"
"""Stands where a key goes, in what is shown to be copied."""
_CURL: Final = {"name": "curl", "version": "1"}


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a client reaches a virtual server: the gateway's `base` URL, the server's own, and its code. `name`: what
    the client shall call it. `needs_key`: whether it needs a key."""

    name: str
    base: str
    url: str
    code: str
    needs_key: bool

    @property
    def headers(self) -> Mapping[str, str]:
        """What the client must send."""
        return MappingProxyType({"Authorization": f"Bearer {KEY_PLACE}"} if self.needs_key else {})


def claude_code(reached: Reached) -> str:
    """For Claude Code."""
    headers = [part for name, value in reached.headers.items() for part in ("--header", f"{name}: {value}")]
    return shlex.join(["claude", "mcp", "add", "--transport", "http", reached.name, reached.url, *headers])


def vscode(reached: Reached) -> str:
    """For VS Code."""
    entry: dict[str, Any] = {"name": reached.name, "type": "http", "url": reached.url}
    if reached.headers:
        entry["headers"] = dict(reached.headers)
    return shlex.join(["code", "--add-mcp", json.dumps(entry)])


def curl(reached: Reached) -> str:
    """One request that lists the tools."""
    meta = {META_PROTOCOL_VERSION: MODERN, META_CLIENT_INFO: _CURL, META_CLIENT_CAPABILITIES: {}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    headers = {
        **reached.headers,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/list",
    }
    parts = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    return shlex.join(["curl", reached.url, *parts, "-d", json.dumps(request)])


def program_entry(reached: Reached) -> dict[str, Any]:
    """The entry of a client that can only start programs: ours, which carries to the gateway."""
    env = {"TOOLYARD_URL": reached.base, **({"TOOLYARD_KEY": KEY_PLACE} if reached.needs_key else {})}
    return {"command": "toolyard", "args": ["stdio", "--server", reached.code], "env": env}
