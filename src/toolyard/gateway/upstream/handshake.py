"""Finds out which era a peer speaks, and opens the session where there is one.

`server/discover` first; any error or silence means legacy, hence `initialize` (2026-07-28 basic/versioning; not keyed
to one code, since old servers refuse in many ways). An upstream known to be legacy is initialized at once, and asked to
discover if that is refused: an era is remembered, never trusted. A slow starter may answer the first question after the
second was sent; if the second fails then, the first answer counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolyard import __version__
from toolyard.contract.definitions import Era, Json
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamInvalid, UpstreamTimedOut
from toolyard.gateway.upstream.peer import Peer
from toolyard.protocol.envelope import stamp
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import LEGACY, META_SERVER_INFO, MODERN

GATEWAY_INFO: Json = {"name": "toolyard", "title": "Toolyard", "version": __version__}


@dataclass(frozen=True, slots=True)
class Greeting:
    """What an upstream said about itself."""

    era: Era
    revision: str
    server_info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    instructions: str | None


async def greet(
    peer: Peer, *, hint: Era | None, capabilities: Json, probe_timeout_s: float, deadline: float
) -> Greeting:
    """Open the conversation until `deadline` (loop time). `capabilities` are declared where a session fixes them.

    Raises UpstreamError; a JSON-RPC refusal of both ways is UpstreamInvalid."""
    if hint == "legacy":
        try:
            return await _initialize(peer, capabilities, deadline)
        except RelayedError as refused:
            found = await _discover(peer, deadline)
            if found is None:
                raise _refused(refused) from refused
            return found
    probe = asyncio.get_running_loop().create_task(_discover(peer, deadline))
    try:
        await asyncio.wait({probe}, timeout=probe_timeout_s)
        if probe.done() and (found := probe.result()) is not None:
            return found
        return await _initialize(peer, capabilities, deadline)
    except (RelayedError, UpstreamTimedOut) as error:
        await asyncio.wait({probe}, timeout=probe_timeout_s)
        if probe.done() and (late := probe.result()) is not None:
            return late
        raise _refused(error) from error
    finally:
        probe.cancel()
        await asyncio.wait({probe})
        if not probe.cancelled():
            probe.exception()


async def _discover(peer: Peer, deadline: float) -> Greeting | None:
    """The greeting of a modern peer; None for one that does not say that it is modern."""
    params = stamp({}, revision=MODERN, client_capabilities={}, client_info=GATEWAY_INFO)
    try:
        result = await peer.request(peer.mint(), "server/discover", params, deadline=deadline)
    except (RelayedError, UpstreamInvalid, UpstreamTimedOut):
        return None
    supported = result.get("supportedVersions")
    if not isinstance(supported, list) or MODERN not in supported:
        return None
    meta = result.get("_meta")
    info = meta.get(META_SERVER_INFO) if isinstance(meta, dict) else None
    return _greeting("modern", MODERN, info, result)


async def _initialize(peer: Peer, capabilities: Json, deadline: float) -> Greeting:
    params = {"protocolVersion": LEGACY[0], "capabilities": capabilities, "clientInfo": GATEWAY_INFO}
    result = await peer.request(peer.mint(), "initialize", params, deadline=deadline)
    revision = result.get("protocolVersion")
    if revision not in LEGACY:
        raise UpstreamInvalid("The upstream chose a protocol revision that is not spoken here.")
    peer.notify("notifications/initialized")
    return _greeting("legacy", revision, result.get("serverInfo"), result)


def _greeting(era: Era, revision: str, info: Any, result: Json) -> Greeting:
    capabilities, instructions = result.get("capabilities"), result.get("instructions")
    return Greeting(
        era=era,
        revision=revision,
        server_info=info if isinstance(info, dict) else {},
        capabilities=capabilities if isinstance(capabilities, dict) else {},
        instructions=instructions if isinstance(instructions, str) else None,
    )


def _refused(error: RelayedError | UpstreamTimedOut) -> UpstreamError:
    if isinstance(error, UpstreamTimedOut):
        return error
    return UpstreamInvalid(f"The upstream refused to begin (error {error.rpc_code}).")
