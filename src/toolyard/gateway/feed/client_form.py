"""Files that MCP clients keep (`mcpServers`; VS Code's `servers`), understood as upstreams.

Their entries carry fields of the clients' own (`alwaysAllow`, `gallery` …), which mean nothing here and are passed
over. Names are free text there; here they become ids.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from toolyard.gateway.feed.document import Section
from toolyard.gateway.feed.yaml_marks import Marked

_TRANSPORTS = {
    "sse": "sse", "http": "http", "streamable-http": "http", "streamablehttp": "http", "streamable_http": "http",
    "ws": "websocket", "websocket": "websocket",
}  # fmt: skip
_SAME = ("command", "args", "env", "cwd", "headers", "enabled")


def looks_like_upstream(node: Marked) -> bool:
    """Whether an entry under `servers` is an upstream, as in VS Code's files, and not a virtual server of ours."""
    return isinstance(node.value, Mapping) and any(name in node.value for name in ("command", "url"))


def as_upstream(entry: Section) -> Section:
    """The entry of a client's file as an entry of ours."""
    fields = {name: node for name in _SAME if (node := entry.take(name))}
    url = entry.take("url", "httpUrl", "serverUrl")
    if url:
        fields["url"] = url
    said = entry.text("type", "transport")
    transport = _TRANSPORTS.get((said or "").lower())
    if transport and url:
        fields["transport"] = Marked(transport, entry.line)
    disabled = entry.text("disabled")
    if disabled and disabled.lower() == "true":
        fields["enabled"] = Marked("false", entry.line)
    timeout = entry.take("timeout")
    if timeout and isinstance(timeout.value, str):
        fields["timeout"] = Marked(_timeout(timeout.value), timeout.line)
    return Section(entry.document, fields, entry.key, entry.line)


def id_of(name: str, taken: Collection[str]) -> str:
    """An upstream id as near to the client's name as the grammar allows, and not one of `taken`."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")
    slug = re.sub(r"_{2,}", "_", slug)[:56].rstrip("-_") or "upstream"
    return next(choice for n in range(1, len(taken) + 2) if (choice := slug if n == 1 else f"{slug}-{n}") not in taken)


def _timeout(text: str) -> str:
    """Most clients count milliseconds, some seconds: a plain number from 1000 up can only be milliseconds."""
    if not text.isdecimal():
        return text
    return f"{min(int(text), 600_000)}ms" if int(text) >= 1000 else text
