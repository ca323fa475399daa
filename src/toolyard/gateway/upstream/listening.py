"""The gateway's own `subscriptions/listen` on a modern peer: changed lists, and the resources somebody watches.

Source: 2026-07-28 basic/patterns/subscriptions.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.upstream.errors import UpstreamTimedOut
from toolyard.gateway.upstream.handshake import GATEWAY_INFO
from toolyard.gateway.upstream.peer import Peer
from toolyard.gateway.upstream.subscription import Acknowledge, Subscription, announcements, lists_of
from toolyard.protocol.envelope import stamp
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import META_SUBSCRIPTION_ID, MODERN

ACKNOWLEDGE_S = 5.0
SOON_S = 2.0


class Listening:
    """Keeps one listen request open on `peer` while there is something to hear. `announce(method, params)` is told what
    may have changed unheard."""

    def __init__(self, peer: Peer, capabilities: Mapping[str, Any], announce: Callable[[str, Json], None]) -> None:
        self._peer = peer
        self._lists = lists_of(capabilities)
        self._announce = announce
        self._acknowledged: dict[int, Acknowledge] = {}
        self._subscription = Subscription(self._listen, self._announce_all)

    async def update(self, uris: tuple[str, ...], deadline: float) -> None:
        """Listen to `uris` from now on, besides the lists. Raises RelayedError if the peer refuses, UpstreamTimedOut if
        it does not acknowledge."""
        self._subscription.want({**self._lists, "resourceSubscriptions": list(uris)} if uris else self._lists)
        try:
            await self._subscription.heard(min(deadline, asyncio.get_running_loop().time() + ACKNOWLEDGE_S))
        except TimeoutError:
            self._subscription.note_gap()
            if uris:
                raise UpstreamTimedOut("The upstream did not acknowledge the subscription.") from None

    def honours(self, uri: str) -> bool:
        """Whether the peer said that it watches this resource."""
        return self._subscription.honours(uri)

    def note_gap(self) -> None:
        """What is listened to may have changed before the peer acknowledges."""
        self._subscription.note_gap()

    async def settled(self) -> None:
        """Wait a moment until the peer listens, or refuses to; if it does neither, what changes is announced later."""
        self._subscription.again()
        try:
            await self._subscription.heard(asyncio.get_running_loop().time() + SOON_S)
        except TimeoutError:
            self._subscription.note_gap()
        except RelayedError:
            return

    def acknowledged(self, params: Json) -> None:
        """Take the first notification of a listen request."""
        meta = params.get("_meta")
        request_id = meta.get(META_SUBSCRIPTION_ID) if isinstance(meta, dict) else None
        if type(request_id) is int and request_id in self._acknowledged:
            self._acknowledged[request_id](params.get("notifications"))

    async def aclose(self) -> None:
        await self._subscription.aclose()

    async def _listen(self, wanted: Json, acknowledged: Acknowledge) -> None:
        """One listen request until its end."""
        params = stamp({"notifications": wanted}, revision=MODERN, client_capabilities={}, client_info=GATEWAY_INFO)
        request_id = self._peer.mint()
        self._acknowledged[request_id] = acknowledged
        try:
            await self._peer.request(request_id, "subscriptions/listen", params, deadline=math.inf)
        finally:
            del self._acknowledged[request_id]

    def _announce_all(self, wanted: Json) -> None:
        for method, params in announcements(wanted):
            self._announce(method, params)
