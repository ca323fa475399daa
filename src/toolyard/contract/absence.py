"""Why a server does not have a tool of some name: for callers who may know, and for nothing but the reason's text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from toolyard.contract.catalog import Catalog, ServerCatalog
from toolyard.contract.definitions import Observation
from toolyard.contract.naming import SEPARATOR
from toolyard.contract.patterns import Patterns
from toolyard.contract.snapshot import UpstreamSpec

Absence = Literal["switched_off", "elsewhere"]


def why_absent(catalog: Catalog, server: ServerCatalog, name: str) -> Absence | None:
    """Why the server has no tool called so. "switched_off": its upstream is, "elsewhere": it is in the server's
    organization and not in the server. None: nobody knows it."""
    found: Absence | None = None
    for upstream in catalog.snapshot.upstreams.values():
        own = _own_name(upstream, catalog.seen, name) if upstream.organization == server.spec.organization else None
        if own is None or _is_there(server, upstream, own):
            continue
        if not upstream.enabled and Patterns(server.spec.tools).may_name_tool(upstream, own):
            return "switched_off"
        found = "elsewhere"
    return found


def _own_name(upstream: UpstreamSpec, seen: Mapping[str, Observation], name: str) -> str | None:
    """What an upstream calls its tool that a caller may call so, with its namespace or without; None if it has none."""
    observation = seen.get(upstream.id)
    candidates = (name, name.removeprefix(f"{upstream.prefix}{SEPARATOR}"))
    return next((one for one in candidates if observation is not None and one in observation.tool_names), None)


def _is_there(server: ServerCatalog, upstream: UpstreamSpec, own: str) -> bool:
    """Whether the server has this tool, under another name."""
    share = server.tables.shares.get(upstream.id) if server.tables is not None else None
    return share is not None and own in share.tools.bound.names
