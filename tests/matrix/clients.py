"""Raw clients of the matrix on connections that carry many messages, and how to get any client."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.gateway.rig import LIMIT_S, Rig, envelope, rpc
from tests.matrix.client import (
    ACKNOWLEDGED,
    Answers,
    Client,
    Inbox,
    ModernClient,
    Seen,
    initialize,
    subscribed,
    take,
    wanted_of,
    with_meta,
)
from tests.matrix.http_clients import LegacyHttp, ModernHttp
from tests.matrix.offers import Json
from tests.matrix.wires import WIRES, Wire
from toolyard.protocol.revisions import META_SUBSCRIPTION_ID, MODERN


class Line:
    """A connection that carries many messages: replies by request id, the rest to whoever it is for."""

    def __init__(self, wire: Wire) -> None:
        self.inbox = Inbox()
        self.seen = Seen()
        self.answers: Answers = {}
        self._wire = wire
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Json]] = {}
        self._reading = asyncio.ensure_future(self._read())

    async def request(self, method: str, params: Json | None) -> tuple[int, asyncio.Future[Json]]:
        """Send a request; its id, and its reply as it comes."""
        request_id = next(self._ids)
        self._replies[request_id] = reply = asyncio.get_running_loop().create_future()
        await self.send(rpc(method, params, request_id))
        return request_id, reply

    async def reply_to(self, method: str, params: Json | None) -> Json:
        async with asyncio.timeout(LIMIT_S):
            return await (await self.request(method, params))[1]

    async def send(self, message: Json) -> None:
        await self._wire.send(message)

    async def notify(self, method: str, params: Json | None = None) -> None:
        await self.send({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})

    async def _read(self) -> None:
        while (message := await self._wire.receive()) is not None:
            if "method" not in message:
                future = self._replies.pop(message["id"], None)
                if future is not None and not future.done():
                    future.set_result(message)
            elif "id" not in message and _belongs_to_no_request(message):
                self.inbox.put(message)
            else:
                reply = take(self.seen, message, self.answers)
                if reply is not None:
                    await self.send(reply)

    async def aclose(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._wire.aclose()


class ModernLine(ModernClient):
    """2026-07-28 on a connection: cancelling is a notification."""

    def __init__(self, transport: str, line: Line, capabilities: Json) -> None:
        super().__init__(transport, capabilities)
        self._line = line

    def _params(self, params: Json, meta: Json | None = None) -> Json:
        return {**params, "_meta": {**envelope(self.capabilities), **(meta or {})}}

    async def _round(self, method: str, params: Json, meta: Json, notifications: list[Json]) -> Json:
        self._line.seen = Seen(notifications=notifications)
        return await self._line.reply_to(method, self._params(params, meta))

    async def begin(self, method: str, params: Json) -> Callable[[], Any]:
        request_id, _ = await self._line.request(method, self._params(params))

        async def cancel() -> None:
            await self._line.notify("notifications/cancelled", {"requestId": request_id})

        return cancel

    @asynccontextmanager
    async def watching(self, *lists: str, uris: tuple[str, ...] = ()) -> AsyncIterator[Inbox]:
        cancel = await self.begin("subscriptions/listen", wanted_of(lists, uris))
        acknowledged = await self._line.inbox.wait(ACKNOWLEDGED)
        self._line.inbox.watched = acknowledged["notifications"].get("resourceSubscriptions", [])
        try:
            yield self._line.inbox
        finally:
            await cancel()

    async def notify(self, method: str, params: Json | None = None) -> None:
        raise AssertionError(f"a modern client sends no {method}")

    async def aclose(self) -> None:
        await self._line.aclose()


class LegacyLine:
    """An older revision on a connection, which is its session."""

    def __init__(self, transport: str, line: Line, revision: str, capabilities: Json) -> None:
        self.transport = transport
        self.revision = revision
        self.capabilities = capabilities
        self.hello: Json = {}
        self._line = line

    async def open(self) -> LegacyLine:
        params = initialize(self.revision, self.capabilities)["params"]
        self.hello = (await self._line.reply_to("initialize", params))["result"]
        await self.notify("notifications/initialized")
        return self

    async def do(
        self, method: str, params: Json | None = None, *, meta: Json | None = None, answers: Answers | None = None
    ) -> Seen:
        seen = self._line.seen = Seen()
        self._line.answers = answers or {}
        seen.reply = await self._line.reply_to(method, with_meta(params, meta))
        return seen

    async def begin(self, method: str, params: Json) -> Callable[[], Any]:
        request_id, _ = await self._line.request(method, params)

        async def cancel() -> None:
            await self.notify("notifications/cancelled", {"requestId": request_id})

        return cancel

    @asynccontextmanager
    async def watching(self, *lists: str, uris: tuple[str, ...] = ()) -> AsyncIterator[Inbox]:
        async with subscribed(self, uris):
            yield self._line.inbox

    async def notify(self, method: str, params: Json | None = None) -> None:
        await self._line.notify(method, params)

    async def aclose(self) -> None:
        await self._line.aclose()


async def connected(rig: Rig, transport: str, revision: str, capabilities: Json) -> Client:
    """A client that is ready for requests."""
    if transport == "http":
        return (
            ModernHttp(rig, capabilities)
            if revision == MODERN
            else await LegacyHttp(rig, revision, capabilities).open()
        )
    line = Line(await WIRES[transport].open(rig))
    if revision == MODERN:
        return ModernLine(transport, line, capabilities)
    return await LegacyLine(transport, line, revision, capabilities).open()


def _belongs_to_no_request(message: Json) -> bool:
    meta = (message.get("params") or {}).get("_meta") or {}
    method: str = message["method"]
    return META_SUBSCRIPTION_ID in meta or method.endswith(("list_changed", "resources/updated"))
