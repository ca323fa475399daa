"""The gateway's own `subscriptions/listen` on a modern peer: changed lists, and the resources somebody watches.

2026-07-28 basic/patterns/subscriptions: a filter cannot be changed, so another one is another request; the old request
is cancelled once the new one is acknowledged, and nothing is missed in between.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamTimedOut
from toolyard.gateway.upstream.handshake import GATEWAY_INFO
from toolyard.gateway.upstream.peer import Peer
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol.envelope import stamp
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import META_SUBSCRIPTION_ID, MODERN

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
PAUSE_S = 5.0
ACKNOWLEDGE_S = 5.0
_LISTS = {"tools": "toolsListChanged", "resources": "resourcesListChanged", "prompts": "promptsListChanged"}


class Listening:
    """Keeps one listen request open on `peer` while there is something to hear."""

    def __init__(self, peer: Peer, capabilities: Mapping[str, Any]) -> None:
        self._peer = peer
        self._lists = [
            name
            for kind, name in _LISTS.items()
            if isinstance(offered := capabilities.get(kind), dict) and offered.get("listChanged") is True
        ]
        self._tasks = TaskOwner(f"listening {peer.name}")
        self._current: asyncio.Task[None] | None = None
        self._acknowledged: dict[int, asyncio.Future[None]] = {}

    async def update(self, uris: tuple[str, ...], deadline: float) -> None:
        """Listen to `uris` from now on, besides the lists. Raises UpstreamTimedOut if that is not acknowledged."""
        old, self._current = self._current, None
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if uris or self._lists:
            self._current = self._tasks.start(self._listen(uris, heard))
            limit = min(deadline, asyncio.get_running_loop().time() + ACKNOWLEDGE_S)
            await asyncio.wait({heard, self._current}, timeout=limit - asyncio.get_running_loop().time(),
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        if old is not None:
            old.cancel()
        if uris and not heard.done():
            raise UpstreamTimedOut("The upstream did not acknowledge the subscription.")

    def acknowledged(self, params: Json) -> None:
        """Take the first notification of a listen request."""
        meta = params.get("_meta")
        request_id = meta.get(META_SUBSCRIPTION_ID) if isinstance(meta, dict) else None
        heard = self._acknowledged.get(request_id) if type(request_id) is int else None
        if heard is not None and not heard.done():
            heard.set_result(None)

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _listen(self, uris: tuple[str, ...], heard: asyncio.Future[None]) -> None:
        """Ask again whenever the upstream ends the request in good order; an error means that it cannot do this."""
        wanted: Json = dict.fromkeys(self._lists, True)
        if uris:
            wanted["resourceSubscriptions"] = list(uris)
        params = stamp({"notifications": wanted}, revision=MODERN, client_capabilities={}, client_info=GATEWAY_INFO)
        while True:
            request_id = self._peer.mint()
            self._acknowledged[request_id] = heard
            try:
                await self._peer.request(request_id, "subscriptions/listen", params, deadline=math.inf)
            except (RelayedError, UpstreamError):
                return
            finally:
                del self._acknowledged[request_id]
            await asyncio.sleep(PAUSE_S)
