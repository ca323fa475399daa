"""A caller and an `McpHttpUpstream` in front of a fake, for the tests of the HTTP drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.gateway.upstream.fake_http_upstream import FakeUpstream, Json, Script, serving
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import AskRefused, Call, Principal
from toolyard.gateway.upstream.mcp_http import McpHttpUpstream
from toolyard.kit.clock import SystemClock

Answer = Callable[[Mapping[str, Json], str | None], Awaitable[dict[str, Json]]]


class Events:
    """Keeps what the upstream announced."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def lists_changed(self, upstream_id: str, kind: str) -> None:
        self._hear(("lists", kind))

    def resource_updated(self, upstream_id: str, principal_id: str | None, params: Json) -> None:
        self._hear(("resource", principal_id, params))

    def watches_lost(self, upstream_id: str) -> None:
        self._hear(("watches lost",))

    def _hear(self, what: tuple[Any, ...]) -> None:
        self.heard.append(what)
        task = asyncio.ensure_future(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, what: tuple[Any, ...], count: int = 1) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.heard.count(what) >= count)


class Caller:
    """The caller's side of calls: keeps what it is told, answers what it is asked."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.told: list[Json] = []
        self.asked: list[tuple[Mapping[str, Json], str | None]] = []
        self._answer = answer

    async def emit(self, message: Json) -> None:
        self.told.append(message)

    async def ask(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]:
        self.asked.append((requests, state))
        if self._answer is None:
            raise AskRefused
        return await self._answer(requests, state)

    def call(self, method: str, params: Json, *, seconds: float = 20.0, **more: Any) -> Call:
        deadline = asyncio.get_running_loop().time() + seconds
        fields: dict[str, Any] = {"era": "modern", "revision": "2026-07-28", "deadline": deadline, **more}
        return Call(
            principal=Principal("key:1", "key"),
            server="default",
            method=method,
            params=params,
            emit=self.emit,
            ask=self.ask,
            **fields,
        )


class Rig:
    def __init__(self, fake: FakeUpstream, upstream: McpHttpUpstream, events: Events) -> None:
        self.fake = fake
        self.upstream = upstream
        self.events = events

    async def request(self, method: str, params: Json, caller: Caller | None = None, **more: Any) -> Json:
        call = (caller or Caller()).call(method, params, **more)
        return await self.upstream.request(call, method, params)

    async def echo(self, caller: Caller | None = None, *, name: str = "echo", **more: Any) -> Json:
        return await self.request("tools/call", {"name": name, "arguments": {}}, caller, **more)


@asynccontextmanager
async def rig(script: Script, *, era_hint: Any = None, clock: Any = None, **spec: Any) -> AsyncIterator[Rig]:
    """A fake with `script`, and an upstream in front of it."""
    async with serving(script) as fake:
        made = UpstreamSpec("fake", "mcp-http", url=spec.pop("url", None) or fake.url, **spec)
        events = Events()
        upstream = McpHttpUpstream(made, events=events, clock=clock or SystemClock(), era_hint=era_hint)
        try:
            yield Rig(fake, upstream, events)
        finally:
            await upstream.aclose()


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run one test's coroutine, for at most a minute."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(bounded())
