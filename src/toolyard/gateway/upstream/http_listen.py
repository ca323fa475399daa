"""The gateway's own `subscriptions/listen` stream on a modern upstream: list changes, and the resources callers watch.

A stream's filter never changes. When the wish does, a new stream is opened, and once it is acknowledged the older ones
are closed: nothing is missed in between. A stream that breaks is opened again with growing pauses, and then everything
listened to is announced once, because it may have changed meanwhile (all announcements are level triggers).
Source: 2026-07-28 basic/patterns/subscriptions.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamTimedOut
from toolyard.gateway.upstream.http_delivery import LISTS, UPDATED, Announcer
from toolyard.gateway.upstream.http_exchange import STREAM_S, Endpoint
from toolyard.net.response import HttpResponse
from toolyard.protocol.errors import RelayedError, RequestId
from toolyard.protocol.jsonrpc import Notification, Reply
from toolyard.protocol.revisions import META_SUBSCRIPTION_ID

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
METHOD_NOT_FOUND = -32601
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
FILTERS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}

OpenStream = Callable[[RequestId, Json, float], Awaitable[HttpResponse]]


class Listener:
    """Keeps at most one acknowledged stream open while there is anything to listen to."""

    def __init__(self, open_stream: OpenStream, endpoint: Endpoint, announcer: Announcer) -> None:
        self.is_open = False
        self._open_stream = open_stream
        self._endpoint = endpoint
        self._announcer = announcer
        self._lists: dict[str, bool] = {}
        self._may_watch = False
        self._watches: dict[str, int] = {}
        self._ids = (f"listen-{number}" for number in itertools.count(1))
        self._generation = 0
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def watched(self) -> int:
        return len(self._watches)

    def listen_to(self, capabilities: Mapping[str, Any]) -> None:
        """Listen to the list changes that the server's capabilities promise."""
        offered = {kind: capabilities.get(kind) for kind in FILTERS}
        lists = {
            FILTERS[kind]: True
            for kind, value in offered.items()
            if isinstance(value, dict) and value.get("listChanged") is True
        }
        resources = offered["resources"]
        self._may_watch = isinstance(resources, dict) and resources.get("subscribe") is True
        if lists != self._lists or (self._wanted() and not self._streams):
            self._lists = lists
            self._renew()

    async def watch(self, uri: str, deadline: float) -> None:
        """Count one more watcher of `uri`; returns when the server has acknowledged."""
        if not self._may_watch:
            raise RelayedError(METHOD_NOT_FOUND, "Method not found")
        self._watches[uri] = self._watches.get(uri, 0) + 1
        if self._watches[uri] > 1 and self.is_open:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._renew()
        self._waiting.append((self._generation, waiter))
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
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
            self._renew()

    async def aclose(self) -> None:
        """Close all streams."""
        tasks = list(self._streams.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wanted(self) -> Json:
        return {**self._lists, "resourceSubscriptions": list(self._watches)} if self._watches else dict(self._lists)

    def _renew(self) -> None:
        """Open a stream for what is wanted now; the older ones are closed when it is acknowledged."""
        self._generation += 1
        wanted = self._wanted()
        if not wanted:
            self._close_older(self._generation)
            self.is_open = False
            return
        generation = self._generation
        task = asyncio.get_running_loop().create_task(self._keep(generation, wanted))
        self._streams[generation] = task
        task.add_done_callback(lambda _: self._streams.pop(generation, None))

    def _close_older(self, generation: int) -> None:
        for number, task in list(self._streams.items()):
            if number < generation:
                task.cancel()

    async def _keep(self, generation: int, wanted: Json) -> None:
        """Keep the stream of one generation open until a newer one takes over."""
        failures = 0
        while generation == self._generation:
            try:
                acknowledged = await self._listen(generation, wanted, reopened=failures > 0)
                failures = 1 if acknowledged else failures + 1
            except RelayedError as error:
                self._give_up(generation, error)
                return
            except UpstreamError:
                failures += 1
            if generation != self._generation:
                return
            self.is_open = False
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 10))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)

    async def _listen(self, generation: int, wanted: Json, *, reopened: bool) -> bool:
        """One stream until its end; true if it had been acknowledged. A break counts as an end."""
        request_id = next(self._ids)
        acknowledged = False
        response = await self._open_stream(request_id, wanted, asyncio.get_running_loop().time() + STREAM_S)
        with response:
            try:
                async for event in self._endpoint.events(response, self._endpoint.event_parser()):
                    message = self._endpoint.decode(event.data) if event.data else None
                    if isinstance(message, Notification) and message.method == ACKNOWLEDGED:
                        acknowledged = True
                        self._acknowledge(generation, wanted, reopened=reopened)
                    elif isinstance(message, Notification):
                        self._announcer.announce(_without_subscription(message))
                    elif isinstance(message, Reply) and message.id == request_id:
                        self._raise_error(message)
                        break
            except UpstreamError:
                if not acknowledged:
                    raise
        return acknowledged

    def _raise_error(self, reply: Reply) -> None:
        if reply.error is not None:
            raise RelayedError(reply.error["code"], reply.error["message"], reply.error.get("data"))

    def _acknowledge(self, generation: int, wanted: Json, *, reopened: bool) -> None:
        self._close_older(generation)
        if generation == self._generation:
            self.is_open = True
        for number, waiter in self._waiting:
            if number <= generation and not waiter.done():
                waiter.set_result(None)
        self._waiting = [(number, waiter) for number, waiter in self._waiting if not waiter.done()]
        if reopened:
            self._announce_all(wanted)

    def _announce_all(self, wanted: Json) -> None:
        for method, kind in LISTS.items():
            if FILTERS[kind] in wanted:
                self._announcer.announce(Notification(method, {}))
        for uri in wanted.get("resourceSubscriptions", ()):
            self._announcer.announce(Notification(UPDATED, {"uri": uri}))

    def _give_up(self, generation: int, error: RelayedError) -> None:
        """The server refuses the subscription itself: asking again would not help."""
        if generation == self._generation:
            self.is_open = False
        for number, waiter in self._waiting:
            if number <= generation and not waiter.done():
                waiter.set_exception(error)


def _without_subscription(notification: Notification) -> Notification:
    meta = notification.params.get("_meta")
    if not isinstance(meta, dict) or META_SUBSCRIPTION_ID not in meta:
        return notification
    rest = {name: value for name, value in meta.items() if name != META_SUBSCRIPTION_ID}
    params = {name: value for name, value in notification.params.items() if name != "_meta"}
    return Notification(notification.method, {**params, "_meta": rest} if rest else params)
