"""The gateway's own `subscriptions/listen` stream on a modern upstream over HTTP: list changes, and the resources that
callers watch.

Source: 2026-07-28 basic/patterns/subscriptions.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.upstream.errors import UpstreamTimedOut
from toolyard.gateway.upstream.http_delivery import Announcer
from toolyard.gateway.upstream.http_exchange import STREAM_S, Endpoint
from toolyard.gateway.upstream.subscription import (
    ACKNOWLEDGED,
    Acknowledge,
    Subscription,
    announcements,
    lists_of,
    not_watched,
)
from toolyard.net.response import HttpResponse
from toolyard.protocol.errors import RelayedError, RequestId
from toolyard.protocol.jsonrpc import Notification, Reply
from toolyard.protocol.revisions import META_SUBSCRIPTION_ID

METHOD_NOT_FOUND = -32601
SOON_S = 2.0

OpenStream = Callable[[RequestId, Json, float], Awaitable[HttpResponse]]


class Listener:
    """Counts who watches what, and keeps the stream for it open while there is anything to listen to."""

    def __init__(self, open_stream: OpenStream, endpoint: Endpoint, announcer: Announcer) -> None:
        self._open_stream = open_stream
        self._endpoint = endpoint
        self._announcer = announcer
        self._lists: Json = {}
        self._may_watch = False
        self._watches: dict[str, int] = {}
        self._ids = (f"listen-{number}" for number in itertools.count(1))
        self._subscription = Subscription(self._listen, self._announce_all)

    @property
    def is_open(self) -> bool:
        return self._subscription.is_open

    @property
    def watched(self) -> int:
        return len(self._watches)

    async def listen_to(self, capabilities: Mapping[str, Any]) -> None:
        """Listen to the list changes that the server's capabilities promise. Returns when the server listens, or after
        a moment: then the lists are announced as soon as it does."""
        resources = capabilities.get("resources")
        self._may_watch = isinstance(resources, dict) and resources.get("subscribe") is True
        self._lists = lists_of(capabilities)
        self._subscription.want(self._wanted())
        try:
            await self._subscription.heard(asyncio.get_running_loop().time() + SOON_S)
        except TimeoutError:
            self._subscription.note_gap()
        except RelayedError:
            return

    async def watch(self, uri: str, deadline: float) -> None:
        """Count one more watcher of `uri`; returns when the server has acknowledged. Raises RelayedError, also where
        the server watches other resources but not this one."""
        if not self._may_watch:
            raise RelayedError(METHOD_NOT_FOUND, "Method not found")
        self._watches[uri] = self._watches.get(uri, 0) + 1
        self._subscription.want(self._wanted())
        try:
            await self._subscription.heard(deadline)
            if not self._subscription.honours(uri):
                raise not_watched(uri)
        except BaseException as error:
            self.unwatch(uri)
            if isinstance(error, TimeoutError):
                raise UpstreamTimedOut(f"Upstream {self._endpoint.upstream_id!r} did not answer in time.") from None
            raise

    def unwatch(self, uri: str) -> None:
        """Count one watcher less."""
        left = self._watches.get(uri, 0) - 1
        if left > 0:
            self._watches[uri] = left
        elif self._watches.pop(uri, None) is not None:
            self._subscription.want(self._wanted())

    async def aclose(self) -> None:
        """Close all streams."""
        await self._subscription.aclose()

    def _wanted(self) -> Json:
        return {**self._lists, "resourceSubscriptions": list(self._watches)} if self._watches else dict(self._lists)

    async def _listen(self, wanted: Json, acknowledged: Acknowledge) -> None:
        """One stream until its end."""
        request_id = next(self._ids)
        response = await self._open_stream(request_id, wanted, asyncio.get_running_loop().time() + STREAM_S)
        with response:
            async for event in self._endpoint.events(response, self._endpoint.event_parser()):
                message = self._endpoint.decode(event.data) if event.data else None
                if isinstance(message, Notification) and message.method == ACKNOWLEDGED:
                    acknowledged(message.params.get("notifications"))
                elif isinstance(message, Notification):
                    self._announcer.announce(_without_subscription(message))
                elif isinstance(message, Reply) and message.id == request_id:
                    if message.error is not None:
                        raise RelayedError(message.error["code"], message.error["message"], message.error.get("data"))
                    return

    def _announce_all(self, wanted: Json) -> None:
        for method, params in announcements(wanted):
            self._announcer.announce(Notification(method, params))


def _without_subscription(notification: Notification) -> Notification:
    meta = notification.params.get("_meta")
    if not isinstance(meta, dict) or META_SUBSCRIPTION_ID not in meta:
        return notification
    rest = {name: value for name, value in meta.items() if name != META_SUBSCRIPTION_ID}
    params = {name: value for name, value in notification.params.items() if name != "_meta"}
    return Notification(notification.method, {**params, "_meta": rest} if rest else params)
