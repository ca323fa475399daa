"""A gateway in trouble: it takes nothing more that stays, then no more calls, answers probes and metrics, recovers."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.gateway.rig import BOTH, OPEN, Rig, demo, modern_request, play, rpc, snapshot
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.overload import (
    CALM,
    OVERLOADED,
    STRAINED,
    Overload,
    OverloadLimits,
    container_limit,
    resident_bytes,
)

LATE_S, IN_TIME_S = 0.2, 0.01
ADD = {"name": "add", "arguments": {"a": 1, "b": 1}}
LISTEN = {"notifications": {"toolsListChanged": True}}
MIB = 1024 * 1024


class Memory:
    """How much a process has, as the test says."""

    def __init__(self) -> None:
        self.used = 10 * MIB

    def __call__(self) -> int:
        return self.used


def after(overload: Overload, *lags_s: float) -> int:
    for lag_s in lags_s:
        overload.looked(lag_s)
    return overload.level


def test_late_turns_one_after_the_other_strain_many_of_them_overload_and_time_heals() -> None:
    told: list[bool] = []
    overload = Overload(OverloadLimits(strained_looks=2, overloaded_looks=5, hold_looks=20), Memory())
    overload.on_closed.append(told.append)
    assert after(overload, IN_TIME_S, LATE_S, IN_TIME_S, LATE_S) == CALM
    assert after(overload, LATE_S) == STRAINED
    assert after(overload, LATE_S, LATE_S) == STRAINED
    assert after(overload, LATE_S) == OVERLOADED
    assert told == [True]
    assert after(overload, *[IN_TIME_S] * 19) == OVERLOADED
    assert after(overload, IN_TIME_S, IN_TIME_S) == CALM
    assert told == [True, False]


@pytest.mark.parametrize(("used", "level"), [(84, CALM), (86, STRAINED), (96, OVERLOADED)])
def test_memory_near_its_limit_strains_and_then_overloads_until_it_is_free_again(used: int, level: int) -> None:
    memory = Memory()
    overload = Overload(OverloadLimits(memory_bytes=100 * MIB), memory)
    assert after(overload, *[IN_TIME_S] * 30) == CALM
    memory.used = used * MIB
    assert after(overload, *[IN_TIME_S] * 10) == level
    assert after(overload, *[IN_TIME_S] * 50) == level
    memory.used = 50 * MIB
    assert after(overload, *[IN_TIME_S] * 30) == CALM


def test_without_a_limit_memory_is_not_looked_at() -> None:
    memory = Memory()
    memory.used = 1 << 60
    assert after(Overload(OverloadLimits(), memory), *[IN_TIME_S] * 30) == CALM


def test_the_memory_of_this_process_is_found() -> None:
    assert 5 * MIB < resident_bytes() < 1 << 40


def test_the_least_limit_of_the_control_groups_around_a_process_counts(tmp_path: Path) -> None:
    group = tmp_path / "outer" / "inner"
    group.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    assert container_limit(tmp_path, own) == 0
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text(f"{64 * MIB}\n")
    assert container_limit(tmp_path, own) == 64 * MIB
    (group / "memory.max").write_text(f"{32 * MIB}\n")
    assert container_limit(tmp_path, own) == 32 * MIB
    assert container_limit(tmp_path, tmp_path / "nothing") == 0


def test_a_strained_gateway_takes_calls_and_nothing_that_stays() -> None:
    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        listening = await rig.open("POST", "/mcp", *modern_request("subscriptions/listen", LISTEN))
        assert (await listening.message())["method"] == "notifications/subscriptions/acknowledged"
        after(rig.gateway.overload, LATE_S, LATE_S)
        refused = await rig.modern("subscriptions/listen", LISTEN)
        assert (refused.status, refused.error["data"]["reason"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        for path, headers in (("/mcp", {"mcp-session-id": session, "accept": BOTH}), ("/sse", {"accept": BOTH})):
            stream = await rig.http("GET", path, headers)
            assert (stream.status, stream.headers["retry-after"]) == (503, "1")
        assert (await rig.modern("tools/call", ADD)).status == 200
        listening.close()

    play(scene, bounds=Bounds(overload=OverloadLimits(hold_looks=1_000_000)))


def test_an_overloaded_gateway_begins_no_call_on_any_connection_and_answers_probes_and_metrics() -> None:
    async def scene(rig: Rig) -> None:
        rig.gateway.overload.on_closed.append(rig.server.admission.set_closed)
        session = await rig.initialize()
        after(rig.gateway.overload, *[LATE_S] * 8)
        refused = await rig.modern("tools/call", ADD)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert json.loads(refused.body)["error"]["code"] == "overloaded"
        legacy = await rig.legacy(rpc("tools/call", ADD), session)
        assert legacy.status == 503
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert (await rig.http("GET", path)).status == 200
        rig.server.admission.set_closed(False)  # as on a connection that was open before, where no request begins
        inner = await rig.modern("tools/call", ADD)
        assert (inner.status, inner.error["data"]["reason"]) == (503, "overloaded")

    play(scene, bounds=Bounds(overload=OverloadLimits(hold_looks=1_000_000)))


@pytest.mark.slow
def test_work_that_holds_the_loop_again_and_again_closes_the_gateway_until_it_has_time_again() -> None:
    async def scene(rig: Rig) -> None:
        closed: list[bool] = []
        rig.gateway.overload.on_closed.append(closed.append)
        async with asyncio.timeout(20):
            while not closed:
                time.sleep(0.16)
                await asyncio.sleep(0)
        await rig.until(lambda: closed == [True, False])
        assert (await rig.modern("tools/call", ADD)).status == 200

    play(scene, snapshot(demo(), servers=(OPEN,)))
