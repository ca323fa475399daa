"""The operator's orders for an upstream of a gateway with several workers: all carry them out, its keeper tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes
from tests.gateway.rig import LIMIT_S, OPEN, demo, rpc, snapshot
from tests.gateway.test_workers_upstreams import kept_by, stdio, until
from tests.gateway.workers_rig import WorkerRig, play, start_worker
from tests.unit.contract.making import observed
from toolyard.gateway.operating import Order
from toolyard.gateway.workers.operations import forget_stopped, stopped_in

HELLO = {"name": "hello", "arguments": {}}


async def ordered(rig: WorkerRig, operation: Any, upstream_id: str, **more: Any) -> dict[str, Any]:
    async with asyncio.timeout(2 * LIMIT_S):
        return await rig.gateway.operating.carry_out(Order(operation, upstream_id, **more))


async def outcomes(rigs: tuple[WorkerRig, ...], tool: str = "hello") -> list[Any]:
    """What a call comes to at each worker: the text, or the reason of its error."""
    told = []
    for rig in rigs:
        message = (await rig.modern("tools/call", {"name": tool, "arguments": {}})).message
        told.append(message["error"]["data"]["reason"] if "error" in message else "ok")
    return told


@pytest.mark.parametrize("keeper", [0, 1, 2])
def test_what_is_stopped_is_stopped_in_every_worker_and_what_is_started_is_started(keeper: int) -> None:
    name = kept_by(keeper, 3)
    fakes = Fakes(observed(name, "hello", era="legacy"))

    async def scene(*rigs: WorkerRig) -> None:
        old = fakes[name]
        told = await ordered(rigs[0], "stop", name)
        assert (told["state"], told["offers"]["tools"], old.closed) == ("stopped", 1, 1)
        assert await outcomes(rigs) == ["upstream_stopped"] * 3
        assert [(await rig.modern("tools/list")).result["_meta"]["toolyard/staleUpstreams"] for rig in rigs] == [
            [name]
        ] * 3
        assert (await ordered(rigs[0], "check", name))["state"] == "stopped"
        assert (await ordered(rigs[0], "start", name))["state"] == "ready"
        assert await outcomes(rigs) == ["ok"] * 3
        assert [fake.spec.id for fake in fakes.made] == [name] * 2

    play(scene, 3, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_the_keeper_looks_and_tells_what_it_found() -> None:
    name = kept_by(1, 2)
    fakes = Fakes(observed(name, "hello", era="legacy"))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        fakes[name].dead = True
        told = await ordered(first, "check", name)
        assert (told["state"], told["error"], fakes[name].observed) == ("failing", f"{name} is dead", 2)
        assert (await ordered(first, "wait", name, timeout_s=0.05))["state"] == "failing"
        fakes[name].dead = False
        assert (await ordered(first, "check", name))["state"] == "ready"
        assert (await ordered(first, "wait", name))["state"] == "ready"

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_after_a_restart_resources_are_watched_at_the_new_one_for_clients_of_another_worker() -> None:
    name = kept_by(1, 2)
    fakes = Fakes(observed(name, "hello", resources=("x://1",), capabilities={"resources": {"subscribe": True}}))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        session = await first.initialize()
        await first.legacy(rpc("resources/subscribe", {"uri": "x://1"}), session)
        old = fakes[name]
        assert old.watched == ["+x://1"]
        assert (await ordered(first, "restart", name))["state"] == "ready"
        assert fakes[name] is not old
        await until(lambda: fakes[name].watched == ["+x://1"])
        await until(lambda: old.closed == 1)

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_an_upstream_that_lives_in_every_worker_is_stopped_and_started_in_every_worker() -> None:
    async def scene(*rigs: WorkerRig) -> None:
        assert (await ordered(rigs[0], "stop", "demo"))["state"] == "stopped"
        assert await outcomes(rigs, "now") == ["upstream_stopped"] * 2
        assert (await ordered(rigs[0], "restart", "demo"))["state"] == "ready"
        assert await outcomes(rigs, "now") == ["ok"] * 2

    play(scene, 2, snapshot(demo(), servers=(OPEN,)))


def test_a_worker_that_takes_the_place_of_another_knows_what_is_stopped() -> None:
    name = kept_by(1, 2)
    fakes = Fakes(observed(name, "hello", era="legacy"))
    snap = snapshot(stdio(name), servers=(OPEN,))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        await ordered(first, "stop", name)
        directory = second.crew.peers.path.parent.parent
        assert stopped_in(directory) == {name}
        await second.crew.aclose()
        fresh = await start_worker(1, 2, directory, snap, fakes.make, None)
        try:
            await first.others_there()
            assert await outcomes((first, fresh)) == ["upstream_stopped"] * 2
            assert fakes[name].observed == 0
            assert (await ordered(first, "start", name))["state"] == "ready"
            assert await outcomes((first, fresh)) == ["ok"] * 2
            assert stopped_in(directory) == frozenset()
            await ordered(first, "stop", name)
            forget_stopped(directory)
            assert stopped_in(directory) == frozenset()
        finally:
            await fresh.aclose()

    play(scene, 2, snap, make=fakes.make)
