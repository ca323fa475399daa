"""MCP clients that people use: where each keeps its servers, how an entry looks there, and what it means to us. Pure.

The table `CLIENTS` is all that is known of a client. A client that keeps something else later gets another row, not a
branch.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from toolyard.kit.errors import PlatformError

TRANSPORTS = {
    "sse": "sse", "http": "http", "streamable-http": "http", "streamablehttp": "http", "streamable_http": "http",
    "ws": "websocket", "websocket": "websocket",
}  # fmt: skip
URL_NAMES = ("url", "httpUrl", "serverUrl")
_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)
_GEMINI_VARIABLE = re.compile(r"\$(?!\{)([A-Za-z_][A-Za-z0-9_]*)")


class ClientFileUnreadable(PlatformError):
    """The client's configuration file is not what that client writes."""

    code = "client_file_unreadable"
    status = 400


@dataclass(frozen=True, slots=True)
class Client:
    """One client. Paths are relative to the home directory (`user`), or to a project (`project`); `section` is the key
    of its servers. `speaks`: whether its entries can name a URL, or only a command. `url_name`: the field for a URL."""

    name: str
    title: str
    user: Mapping[str, str]
    project: str | None
    section: str
    format: Literal["json", "toml"] = "json"
    speaks: Literal["url", "command"] = "url"
    url_name: str = "url"
    type_name: str | None = None
    headers_name: str = "headers"


def _everywhere(path: str) -> dict[str, str]:
    return {"linux": path, "darwin": path, "win32": path}


CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        Client("claude-code", "Claude Code", _everywhere(".claude.json"), ".mcp.json", "mcpServers", type_name="http"),
        Client("claude-desktop", "Claude Desktop", {
            "linux": ".config/Claude/claude_desktop_config.json",
            "darwin": "Library/Application Support/Claude/claude_desktop_config.json",
            "win32": "AppData/Roaming/Claude/claude_desktop_config.json",
        }, None, "mcpServers", speaks="command"),
        Client("cursor", "Cursor", _everywhere(".cursor/mcp.json"), ".cursor/mcp.json", "mcpServers"),
        Client("vscode", "VS Code", {
            "linux": ".config/Code/User/mcp.json",
            "darwin": "Library/Application Support/Code/User/mcp.json",
            "win32": "AppData/Roaming/Code/User/mcp.json",
        }, ".vscode/mcp.json", "servers", type_name="http"),
        Client("codex", "Codex", _everywhere(".codex/config.toml"), ".codex/config.toml", "mcp_servers", format="toml",
               headers_name="http_headers"),
        Client("gemini", "Gemini CLI", _everywhere(".gemini/settings.json"), ".gemini/settings.json", "mcpServers",
               url_name="httpUrl"),
        Client("generic", "any other client", {}, None, "mcpServers"),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClientEntry:
    """One server of a client: its name there, and the fields it would have as an upstream of ours."""

    name: str
    fields: Mapping[str, Any]


def user_file(client: Client, home: PurePath, platform: str) -> PurePath | None:
    """Where the client keeps what holds for all projects; None for a client without a file we know."""
    relative = client.user.get(platform if platform in {"darwin", "win32"} else "linux")
    return home / relative if relative else None


def parse_client_file(client: Client, text: str) -> dict[str, Any]:
    """The file's content. Comments and trailing commas are allowed. Raises ClientFileUnreadable."""
    try:
        content = tomllib.loads(text) if client.format == "toml" else json.loads(without_comments(text) or "{}")
    except (ValueError, RecursionError) as error:
        raise ClientFileUnreadable(f"not valid {client.format.upper()}: {error}") from None
    if not isinstance(content, dict):
        raise ClientFileUnreadable("must be an object with the client's settings")
    return content


def read_entries(client: Client, text: str) -> list[ClientEntry]:
    """The servers in a client's file, as upstreams, without entries that lead to Toolyard itself. Claude Code's file
    also has servers for single projects; they come last. Raises ClientFileUnreadable."""
    content = parse_client_file(client, text)
    sections = [content.get(client.section)]
    projects = content.get("projects")
    if client.name == "claude-code" and isinstance(projects, dict):
        sections += [project.get("mcpServers") for project in projects.values() if isinstance(project, dict)]
    pairs = [pair for section in sections if isinstance(section, dict) for pair in section.items()]
    entries = [ClientEntry(name, upstream_fields(entry, client)) for name, entry in pairs if isinstance(entry, dict)]
    return [entry for entry in entries if not _is_ours(entry)]


def read_any(text: str) -> list[ClientEntry]:
    """The servers in a file of any client: `mcpServers`, or `servers` as in VS Code. Raises ClientFileUnreadable."""
    content = parse_client_file(CLIENTS["generic"], text)
    client = CLIENTS["vscode" if "mcpServers" not in content and "servers" in content else "generic"]
    return read_entries(client, text)


def upstream_fields(entry: Mapping[str, Any], client: Client) -> dict[str, Any]:
    """A client's entry as the fields of an entry under `upstreams` in toolyard.yaml."""
    fields = {name: entry[name] for name in ("command", "args", "env", "cwd") if entry.get(name)}
    url = next((entry[name] for name in URL_NAMES if entry.get(name)), None)
    if url:
        fields["url"] = url
        transport = TRANSPORTS.get(str(entry.get("type") or entry.get("transport") or "").lower())
        if transport and transport != "http":
            fields["transport"] = transport
    headers = _headers(entry, client)
    if headers:
        fields["headers"] = headers
    if entry.get("disabled") is True or entry.get("enabled") is False:
        fields["enabled"] = False
    if isinstance(entry.get("timeout"), int):
        fields["timeout"] = timeout_text(str(entry["timeout"]))
    return _braced(fields) if client.name == "gemini" else fields


def timeout_text(text: str) -> str:
    """Most clients count milliseconds, some seconds: a plain number from 1000 up can only be milliseconds."""
    if not text.isdecimal():
        return text
    return f"{min(int(text), 600_000)}ms" if int(text) >= 1000 else text


def id_of(name: str, taken: Collection[str]) -> str:
    """An upstream id as near to the client's name as the grammar allows, and not one of `taken`."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")
    slug = re.sub(r"_{2,}", "_", slug)[:56].rstrip("-_") or "upstream"
    return next(choice for n in range(1, len(taken) + 2) if (choice := slug if n == 1 else f"{slug}-{n}") not in taken)


def without_comments(text: str) -> str:
    """JSON with comments and trailing commas, as editors allow them, as plain JSON."""

    def keep_strings(found: re.Match[str]) -> str:
        return found.group() if found.group().startswith('"') else " "

    return _TRAILING_COMMA.sub(keep_strings, _COMMENT.sub(keep_strings, text.lstrip("\ufeff"))).strip()


def _headers(entry: Mapping[str, Any], client: Client) -> dict[str, Any]:
    headers = dict(entry.get(client.headers_name) or entry.get("headers") or {})
    if client.name == "codex":
        headers |= {name: f"${{{variable}}}" for name, variable in (entry.get("env_http_headers") or {}).items()}
        if entry.get("bearer_token_env_var"):
            headers["Authorization"] = f"Bearer ${{{entry['bearer_token_env_var']}}}"
    return headers


def _braced(value: Any) -> Any:
    """Gemini's `$NAME` as `${NAME}`."""
    if isinstance(value, str):
        return _GEMINI_VARIABLE.sub(r"${\1}", value)
    if isinstance(value, dict):
        return {name: _braced(item) for name, item in value.items()}
    return [_braced(item) for item in value] if isinstance(value, list) else value


def _is_ours(entry: ClientEntry) -> bool:
    words = [str(entry.fields.get("command", "")), *map(str, entry.fields.get("args", []))]
    runs_us = any(PurePath(word).name in {"toolyard", "toolyard.exe"} for word in words) and "stdio" in words
    headers = entry.fields.get("headers") or {}
    return runs_us or any("mcp_key_" in str(value) for value in headers.values())
