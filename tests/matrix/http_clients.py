"""Raw clients of the matrix over Streamable HTTP, of either era."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.gateway.rig import BOTH, Rig, Stream, modern_request, rpc
from tests.matrix.client import (
    ACKNOWLEDGED,
    Answers,
    Inbox,
    ModernClient,
    Seen,
    initialize,
    subscribed,
    take,
    wanted_of,
    with_meta,
)
from tests.matrix.offers import Json


class ModernHttp(ModernClient):
    """2026-07-28 over Streamable HTTP: a POST for each request, going away cancels it."""

    def __init__(self, rig: Rig, capabilities: Json) -> None:
        super().__init__("http", capabilities)
        self._rig = rig
        self._ids = itertools.count(1)

    def _request(self, method: str, params: Json, meta: Json | None = None) -> tuple[dict[str, str], bytes]:
        return modern_request(
            method, params, request_id=next(self._ids), capabilities=self.capabilities, meta=meta or {}
        )

    async def _round(self, method: str, params: Json, meta: Json, notifications: list[Json]) -> Json:
        reply = await self._rig.http("POST", "/mcp", *self._request(method, params, meta))
        *before, answer = reply.messages
        notifications += before
        return dict(answer)

    async def begin(self, method: str, params: Json) -> Callable[[], Any]:
        writer = await self._rig.send("POST", "/mcp", *self._request(method, params))

        async def cancel() -> None:
            writer.close()

        return cancel

    @asynccontextmanager
    async def watching(self, *lists: str, uris: tuple[str, ...] = ()) -> AsyncIterator[Inbox]:
        stream = await self._rig.open("POST", "/mcp", *self._request("subscriptions/listen", wanted_of(lists, uris)))
        acknowledged = await stream.message()
        assert acknowledged["method"] == ACKNOWLEDGED
        inbox = Inbox()
        inbox.watched = acknowledged["params"]["notifications"].get("resourceSubscriptions", [])
        pump = asyncio.ensure_future(_pump(stream, inbox))
        try:
            yield inbox
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            stream.close()

    async def notify(self, method: str, params: Json | None = None) -> None:
        raise AssertionError(f"a modern client sends no {method}")

    async def aclose(self) -> None:
        """Nothing is kept."""


class LegacyHttp:
    """An older revision over Streamable HTTP: a session, a POST for each message, a GET stream for the rest."""

    def __init__(self, rig: Rig, revision: str, capabilities: Json) -> None:
        self.revision = revision
        self.transport = "http"
        self.capabilities = capabilities
        self.hello: Json = {}
        self._rig = rig
        self._ids = itertools.count(1)
        self._headers: dict[str, str] = {}
        self._inbox = Inbox()
        self._stream: Stream | None = None
        self._pump: asyncio.Future[None] | None = None

    async def open(self) -> LegacyHttp:
        reply = await self._post(initialize(self.revision, self.capabilities))
        self.hello = reply.result
        self._headers = {
            "mcp-session-id": reply.headers["mcp-session-id"],
            "mcp-protocol-version": reply.result["protocolVersion"],
        }
        await self.notify("notifications/initialized")
        self._stream = await self._rig.open("GET", "/mcp", {"accept": "text/event-stream", **self._headers})
        assert self._stream.status == 200
        self._pump = asyncio.ensure_future(_pump(self._stream, self._inbox))
        return self

    async def do(
        self, method: str, params: Json | None = None, *, meta: Json | None = None, answers: Answers | None = None
    ) -> Seen:
        seen = Seen()
        stream = await self._open(rpc(method, with_meta(params, meta), next(self._ids)))
        try:
            if not stream.headers["content-type"].startswith("text/event-stream"):
                seen.reply = (await stream.rest()).message
                return seen
            while not seen.reply:
                message = await stream.message()
                reply = take(seen, message, answers or {})
                if reply is not None:
                    await self._post(reply)
            return seen
        finally:
            stream.close()

    async def begin(self, method: str, params: Json) -> Callable[[], Any]:
        request_id = next(self._ids)
        body = json.dumps(rpc(method, params, request_id)).encode()
        writer = await self._rig.send("POST", "/mcp", self._sent(), body)

        async def cancel() -> None:
            await self.notify("notifications/cancelled", {"requestId": request_id})
            writer.close()

        return cancel

    @asynccontextmanager
    async def watching(self, *lists: str, uris: tuple[str, ...] = ()) -> AsyncIterator[Inbox]:
        async with subscribed(self, uris):
            yield self._inbox

    async def notify(self, method: str, params: Json | None = None) -> None:
        message: Json = {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}
        assert (await self._post(message)).status == 202

    async def aclose(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._stream is not None:
            self._stream.close()
        await self._rig.http("DELETE", "/mcp", self._headers)

    def _sent(self) -> dict[str, str]:
        return {"content-type": "application/json", "accept": BOTH, **self._headers}

    async def _open(self, message: Json) -> Stream:
        return await self._rig.open("POST", "/mcp", self._sent(), json.dumps(message).encode())

    async def _post(self, message: Json) -> Any:
        return await self._rig.http("POST", "/mcp", self._sent(), json.dumps(message).encode())


async def _pump(stream: Stream, inbox: Inbox) -> None:
    while True:
        while not stream.waiting:
            chunk = await stream.chunk()
            if not chunk:
                return
            stream.waiting += stream.parser.feed(chunk)
        event = stream.waiting.pop(0)
        if event.data:
            inbox.put(json.loads(event.data))
