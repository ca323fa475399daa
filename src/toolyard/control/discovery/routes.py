"""Discovery over HTTP."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import CallerParam, Gate
from toolyard.control.discovery.schema import DiscoveryAnswer, Search
from toolyard.control.discovery.service import Discovery

_LOOKS: Final = Declared("login", "discovery.run", "token", "heavy", transaction=False)


def discovery_slice(discovery: Discovery) -> Slice:
    """The route that looks for MCP servers."""
    one = Slice("discovery")

    @one.route("POST", "/discovery", _LOOKS, operation_id="discovery_run")
    async def search(request: Request, caller: CallerParam, given: Search) -> DiscoveryAnswer:
        """Look for MCP servers on hosts, in the files of clients and on a registry.

        Each that was found says how it does; with `configure`, upstreams are made of those that are not failing."""
        gate: Gate = request.app.state.gate
        return await discovery.search(gate.works, caller, given)

    return one
