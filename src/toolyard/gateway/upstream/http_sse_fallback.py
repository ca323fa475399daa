"""HTTP+SSE (2024-11-05) behind the same face as the drivers of Streamable HTTP: what is tried when both are refused."""

from __future__ import annotations

from typing import Any, Final

from toolyard.contract.definitions import Json, Observation
from toolyard.gateway.call import Call, Upstream
from toolyard.protocol.revisions import LEGACY


class SseFallback:
    """Hands everything on to the upstream that speaks HTTP+SSE."""

    era: Final = "legacy"

    def __init__(self, upstream: Upstream) -> None:
        self.revision: str = LEGACY[-1]
        self.running = 0
        self._upstream = upstream

    async def observe(self) -> Observation:
        observation = await self._upstream.observe()
        self.revision = observation.revision
        return observation

    async def request(self, call: Call, method: str, params: Json) -> Json:
        self.running += 1
        try:
            return await self._upstream.request(call, method, params)
        finally:
            self.running -= 1

    async def watch(self, call: Call, uri: str) -> None:
        await self._upstream.watch(call, uri)

    async def roots_changed(self, call: Call) -> None:
        await self._upstream.roots_changed(call)

    def forget(self, isolation: str) -> None:
        self._upstream.forget(isolation)

    async def unwatch(self, call: Call, uri: str) -> None:
        await self._upstream.unwatch(call, uri)

    def status(self) -> dict[str, Any]:
        return {"transport": "http+sse", **self._upstream.status()}

    async def aclose(self) -> None:
        await self._upstream.aclose()
