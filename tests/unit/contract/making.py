"""Observations and snapshots for tests, with as few words as possible."""

from __future__ import annotations

from typing import Any

from toolyard.contract.catalog import ServerCatalog, build_catalog
from toolyard.contract.definitions import Json, Observation
from toolyard.contract.naming import Names
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec


def tool(name: str, **more: Any) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def observed(upstream_id: str, *tools: str | Json, **changes: Any) -> Observation:
    """What an upstream offers; tools by name or whole. `prompts`, `resources`, `templates`: names and URIs."""
    definitions = tuple(tool(t) if isinstance(t, str) else t for t in tools)
    resources = tuple({"uri": uri, "name": uri} for uri in changes.pop("resources", ()))
    templates = tuple({"uriTemplate": uri, "name": uri} for uri in changes.pop("templates", ()))
    prompts = tuple({"name": name} for name in changes.pop("prompts", ()))
    offered = {
        "tools": {},
        **({"resources": {}} if resources or templates else {}),
        **({"prompts": {}} if prompts else {}),
    }
    fields: dict[str, Any] = {
        "era": "modern",
        "revision": "2026-07-28",
        "server_info": {"name": upstream_id, "version": "1"},
        "capabilities": offered,
        "instructions": None,
        "observed_at": 1.0,
        "ttl_ms": 1000,
        **changes,
    }
    return Observation(
        upstream_id, tools=definitions, resources=resources, resource_templates=templates, prompts=prompts, **fields
    )


def upstream(upstream_id: str, **changes: Any) -> UpstreamSpec:
    return UpstreamSpec(upstream_id, changes.pop("kind", "mcp-http"), url="http://127.0.0.1:9/mcp", **changes)


def snap(*upstreams: UpstreamSpec | str, servers: tuple[ServerSpec, ...] = (), revision: int = 1) -> Snapshot:
    """A snapshot; without servers there is one, `default`, open to all tools."""
    specs = [upstream(u) if isinstance(u, str) else u for u in upstreams]
    chosen = servers or (ServerSpec("default", access="open"),)
    return Snapshot(revision, f"d{revision}", {u.id: u for u in specs}, {s.code: s for s in chosen}, {})


def served(*observations: Observation, stored: Names | None = None, **server: Any) -> ServerCatalog:
    """What one server offers of these upstreams."""
    spec = ServerSpec("default", **server)
    found = {o.upstream_id: o for o in observations}
    return build_catalog(snap(*found, servers=(spec,)), found, stored or {}).servers["default"]
