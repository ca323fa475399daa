"""Files that MCP clients keep (`mcpServers`; VS Code's `servers`), understood as upstreams.

Their entries carry fields of the clients' own (`alwaysAllow`, `gallery` …), which mean nothing here and are passed
over. Names are free text there; here they become ids.
"""

from __future__ import annotations

from collections.abc import Mapping

from toolyard.gateway.feed.document import Section
from toolyard.gateway.feed.yaml_marks import Marked
from toolyard.sources.clients import TRANSPORTS, URL_NAMES, timeout_text

_SAME = ("command", "args", "env", "cwd", "headers", "enabled")


def looks_like_upstream(node: Marked) -> bool:
    """Whether an entry under `servers` is an upstream, as in VS Code's files, and not a virtual server of ours."""
    return isinstance(node.value, Mapping) and any(name in node.value for name in ("command", "url"))


def as_upstream(entry: Section) -> Section:
    """The entry of a client's file as an entry of ours."""
    fields = {name: node for name in _SAME if (node := entry.take(name))}
    url = entry.take(*URL_NAMES)
    if url:
        fields["url"] = url
    said = entry.text("type", "transport")
    transport = TRANSPORTS.get((said or "").lower())
    if transport and url:
        fields["transport"] = Marked(transport, entry.line)
    disabled = entry.text("disabled")
    if disabled and disabled.lower() == "true":
        fields["enabled"] = Marked("false", entry.line)
    timeout = entry.take("timeout")
    if timeout and isinstance(timeout.value, str):
        fields["timeout"] = Marked(timeout_text(timeout.value), timeout.line)
    return Section(entry.document, fields, entry.key, entry.line)
