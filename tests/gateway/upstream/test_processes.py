"""How many processes all stdio upstreams have together: who makes room, who waits, who is refused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.upstream.callers import Caller, RecordedEvents, said
from tests.gateway.upstream.leftovers import alive, eventually, run_clean
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.upstream import processes as module
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamExited
from toolyard.gateway.upstream.mcp_stdio import StdioUpstream
from toolyard.gateway.upstream.processes import Processes
from toolyard.kit.clock import ManualClock

FAKE = str(Path(__file__).with_name("fake_stdio_server.py"))


class NoWait:
    """Chance that always decides for the shortest wait."""

    def uniform(self, low: float, high: float) -> float:
        return low


class Rig:
    """Two upstreams that share so many places."""

    def __init__(self, most: int) -> None:
        self.clock = ManualClock()
        self.places = Processes(most)
        self.upstreams = {name: self._upstream(name) for name in ("one", "two")}

    def _upstream(self, name: str) -> StdioUpstream:
        spec = UpstreamSpec(name, "mcp-stdio", command=(sys.executable, "-S", "-E", FAKE))
        return StdioUpstream(
            spec, events=RecordedEvents(), clock=self.clock, rng=NoWait(), processes=self.places,  # type: ignore[arg-type]
        )  # fmt: skip

    async def tool(self, upstream: str, who: str, name: str = "pid", **arguments: Any) -> Any:
        """A call, after which a second has passed."""
        params = {"name": name, "arguments": arguments}
        answer = said(await self.upstreams[upstream].request(Caller(who).call(20.0), "tools/call", params))
        self.clock.advance(1.0)
        return answer

    async def holding(self, upstream: str, who: str) -> asyncio.Task[Any]:
        """A call that runs until `release`."""
        pid = await self.tool(upstream, who)
        task = asyncio.ensure_future(self.tool(upstream, who, "hold"))
        while not any(s["waiting"] for s in self.upstreams[upstream].status()["sessions"] if s["owner"] == who):
            await asyncio.sleep(0.005)
        assert alive(pid)
        return task


def drive(most: int, use: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        rig = Rig(most)
        try:
            await use(rig)
            assert rig.places.running <= most
        finally:
            for upstream in rig.upstreams.values():
                await upstream.aclose()
        assert rig.places.running == 0

    run_clean(whole)


def test_the_session_that_idled_longest_makes_room_whichever_upstream_it_is_of() -> None:
    async def use(rig: Rig) -> None:
        first, second = await rig.tool("one", "key:a"), await rig.tool("two", "key:a")
        third = await rig.tool("two", "key:b")
        eventually(lambda: not alive(first), "the longest idle ends")
        assert await rig.tool("two", "key:a") == second
        assert await rig.tool("one", "key:a") not in (first, third)
        eventually(lambda: not alive(third), "now this one has idled longest")
        assert rig.places.running == 2

    drive(2, use)


def test_when_all_are_in_use_a_new_caller_is_refused_in_time_and_nothing_has_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.2)

    async def use(rig: Rig) -> None:
        running = await rig.holding("one", "key:a")
        with pytest.raises(UpstreamBusy, match=r"limits\.processes") as caught:
            await rig.tool("two", "key:a")
        assert not caught.value.may_have_run
        assert rig.upstreams["two"].status()["restarts"] == 0
        await rig.tool("one", "key:a", "release")
        await running
        assert await rig.tool("two", "key:a", "echo", n=1) == {"n": 1}

    drive(1, use)


def test_a_caller_that_waits_gets_the_place_of_a_session_that_is_no_longer_in_use() -> None:
    async def use(rig: Rig) -> None:
        running = await rig.holding("one", "key:a")
        waiting = asyncio.ensure_future(rig.tool("two", "key:a", "echo", n=1))
        while not rig.upstreams["two"].status()["starting"]:
            await asyncio.sleep(0.005)
        await rig.tool("one", "key:a", "release")
        await running
        assert await waiting == {"n": 1}

    drive(1, use)


def test_a_process_that_dies_or_does_not_even_start_gives_its_place_back() -> None:
    async def use(rig: Rig) -> None:
        for _ in range(3):
            with pytest.raises(UpstreamExited):
                await rig.tool("one", "key:a", "die")
        assert await rig.tool("two", "key:a", "echo", n=1) == {"n": 1}
        assert rig.places.running == 1

    drive(1, use)


def test_the_gateways_own_sessions_make_room_at_once_and_take_no_place_that_a_caller_used_just_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.2)

    async def use(rig: Rig) -> None:
        assert (await rig.upstreams["one"].observe()).era == "legacy"
        assert (await rig.upstreams["two"].observe()).era == "legacy"
        pid = await rig.tool("one", "key:a")
        with pytest.raises(UpstreamBusy):
            await rig.upstreams["two"].observe()
        rig.clock.advance(61.0)
        await rig.upstreams["two"].observe()
        eventually(lambda: not alive(pid), "it has idled for a minute")

    drive(1, use)
