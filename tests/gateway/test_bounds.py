"""Bounds of the gateway itself: calls in flight, listen streams, sessions; and one slow upstream beside the others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.gateway.rig import BOTH, Rig, a_key, bearer, modern_request, play, rpc, snapshot
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.call import Call, Upstream, UpstreamEvents
from toolyard.gateway.errors import TooManyCalls
from toolyard.gateway.events import StreamLimits
from toolyard.gateway.interceptors.in_flight import Bulkhead, InFlightLimits, Places
from toolyard.gateway.upstream.native import NativeServer, NativeTool, NativeUpstream
from toolyard.kit.clock import Clock


class Gate:
    """An upstream whose tool waits until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = 0
        self.most = 0
        self.begun = 0

    def make(self, spec: UpstreamSpec, events: UpstreamEvents, clock: Clock, era: Any) -> Upstream:
        async def wait(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
            self.running += 1
            self.begun += 1
            self.most = max(self.most, self.running)
            try:
                await self.go.wait()
            finally:
                self.running -= 1
            return {"content": [{"type": "text", "text": "went"}]}

        async def at_once(call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
            return {"content": [{"type": "text", "text": "now"}]}

        schema = {"type": "object"}
        tools = (NativeTool("wait", "Waits.", schema, wait), NativeTool("quick", "Does not.", schema, at_once))
        return NativeUpstream(spec, events=events, clock=clock, server=NativeServer({"name": "gate"}, tools=tools))


def two_upstreams() -> Any:
    specs = (UpstreamSpec("slow", "native", command=("x",)), UpstreamSpec("fast", "native", command=("x",)))
    return snapshot(*specs, servers=(ServerSpec("default", access="open"),))


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_an_upstream_takes_its_limit_and_no_more_and_the_others_do_not_notice() -> None:
    gate = Gate()
    bounds = Bounds(in_flight=InFlightLimits(process=100, server=100, upstream=3, wait_s=0.05))

    async def scene(rig: Rig) -> None:
        call = {"name": "slow__wait", "arguments": {}}
        waiting = [asyncio.create_task(rig.modern("tools/call", call)) for _ in range(3)]
        await until(lambda: gate.running == 3)
        refused = await rig.modern("tools/call", call)
        assert (refused.status, refused.error["data"]["reason"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        quick = await rig.modern("tools/call", {"name": "fast__quick", "arguments": {}})
        assert quick.result["content"][0]["text"] == "now"
        gate.go.set()
        assert [r.status for r in await asyncio.gather(*waiting)] == [200] * 3
        assert gate.most == 3
        assert (await rig.modern("tools/call", call)).status == 200

    play(scene, two_upstreams(), make=gate.make, bounds=bounds)


def test_the_door_is_told_of_calls_that_find_no_place_and_of_no_others() -> None:
    gate, told = Gate(), list[int]()
    bounds = Bounds(in_flight=InFlightLimits(process=100, server=100, upstream=3, wait_s=0.05))

    async def scene(rig: Rig) -> None:
        rig.gateway.in_flight.on_full = lambda: told.append(gate.running)
        call = {"name": "slow__wait", "arguments": {}}
        waiting = [asyncio.create_task(rig.modern("tools/call", call)) for _ in range(3)]
        await until(lambda: gate.running == 3)
        assert told == []
        assert (await rig.modern("tools/call", call)).status == 503
        assert set(told) == {3}
        told.clear()
        assert (await rig.modern("tools/call", {"name": "fast__quick", "arguments": {}})).status == 200
        assert told == []
        gate.go.set()
        await asyncio.gather(*waiting)

    play(scene, two_upstreams(), make=gate.make, bounds=bounds)


def test_one_key_takes_its_limit_and_no_more_and_leaves_places_to_another_key() -> None:
    gate = Gate()
    bounds = Bounds(in_flight=InFlightLimits(process=100, server=4, upstream=100, principal=3, wait_s=0.05))
    (mine, my_key), (other, other_key) = a_key(), a_key()
    specs = (UpstreamSpec("slow", "native", command=("x",)), UpstreamSpec("fast", "native", command=("x",)))

    async def scene(rig: Rig) -> None:
        call = {"name": "slow__wait", "arguments": {}}
        waiting = [asyncio.create_task(rig.modern("tools/call", call, headers=bearer(mine))) for _ in range(3)]
        await until(lambda: gate.running == 3)
        quick = {"name": "fast__quick", "arguments": {}}
        refused = await rig.modern("tools/call", quick, headers=bearer(mine))
        assert (refused.status, refused.error["data"]["reason"]) == (503, "overloaded")
        assert (await rig.modern("tools/call", quick, headers=bearer(other))).status == 200
        gate.go.set()
        assert [r.status for r in await asyncio.gather(*waiting)] == [200] * 3
        assert (await rig.modern("tools/call", call, headers=bearer(mine))).status == 200

    snap = snapshot(*specs, servers=(ServerSpec("default"),), keys=(my_key, other_key))
    play(scene, snap, make=gate.make, bounds=bounds)


def test_behind_an_upstream_that_frees_no_place_calls_soon_wait_no_more_and_wait_again_once_it_does() -> None:
    bulkhead = Bulkhead(4, wait_s=0.05)

    async def refused_at_once() -> bool:
        entering = asyncio.ensure_future(bulkhead.enter())
        await asyncio.sleep(0)
        at_once = entering.done()
        with pytest.raises(TooManyCalls):
            await entering
        return at_once

    async def scene() -> None:
        for _ in range(4):
            await bulkhead.enter()
        assert [await refused_at_once() for _ in range(5)] == [False, False, False, True, True]
        Places([bulkhead]).leave()
        await bulkhead.enter()
        waiting = asyncio.ensure_future(bulkhead.enter())
        await asyncio.sleep(0)
        bulkhead.leave()
        await waiting
        assert bulkhead.running == 4

    asyncio.run(scene())


def test_a_call_whose_time_is_up_while_it_waits_for_a_place_never_reaches_its_upstream() -> None:
    gate = Gate()
    bounds = Bounds(in_flight=InFlightLimits(process=1, server=100, upstream=100, wait_s=30))
    specs = (
        UpstreamSpec("slow", "native", command=("x",)),
        UpstreamSpec("fast", "native", command=("x",), timeout_s=0.05),
    )

    async def scene(rig: Rig) -> None:
        first = asyncio.create_task(rig.modern("tools/call", {"name": "slow__wait", "arguments": {}}))
        await until(lambda: gate.running == 1)
        late = asyncio.create_task(rig.modern("tools/call", {"name": "fast__wait", "arguments": {}}))
        await until(lambda: rig.server.running_count == 2)
        await asyncio.sleep(0.1)  # its time is 50 ms
        gate.go.set()
        data = (await late).error["data"]
        assert (data["reason"], data["may_have_run"]) == ("waited_too_long", False)
        assert (await first).status == 200
        assert gate.begun == 1

    play(scene, snapshot(*specs, servers=(ServerSpec("default", access="open"),)), make=gate.make, bounds=bounds)


def test_a_call_that_waits_its_turn_gets_it() -> None:
    gate = Gate()
    bounds = Bounds(in_flight=InFlightLimits(process=1, server=100, upstream=100, wait_s=30))

    async def scene(rig: Rig) -> None:
        call = {"name": "slow__wait", "arguments": {}}
        calls = [asyncio.create_task(rig.modern("tools/call", call)) for _ in range(2)]
        await until(lambda: gate.running == 1)
        gate.go.set()
        assert [r.status for r in await asyncio.gather(*calls)] == [200] * 2
        assert gate.most == 1

    play(scene, two_upstreams(), make=gate.make, bounds=bounds)


def test_a_caller_that_goes_away_gives_its_place_back() -> None:
    gate = Gate()
    bounds = Bounds(in_flight=InFlightLimits(process=1, server=1, upstream=1, wait_s=30))

    async def scene(rig: Rig) -> None:
        call = modern_request("tools/call", {"name": "slow__wait", "arguments": {}})
        first, queued = await rig.send("POST", "/mcp", *call), await rig.send("POST", "/mcp", *call)
        await until(lambda: gate.running == 1 and rig.server.running_count == 2)
        queued.close()
        await until(lambda: rig.server.running_count == 1)
        first.close()
        await until(lambda: gate.running == 0)
        gate.go.set()
        assert (await rig.modern("tools/call", {"name": "fast__quick", "arguments": {}})).status == 200

    play(scene, two_upstreams(), make=gate.make, bounds=bounds)


def test_listen_streams_are_bounded_for_each_principal_at_the_limit_and_one_above() -> None:
    bounds = Bounds(streams=StreamLimits(total=5, per_principal=2))

    async def scene(rig: Rig) -> None:
        headers, body = modern_request("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        streams = [await rig.open("POST", "/mcp", headers, body) for _ in range(2)]
        for stream in streams:
            assert (await stream.message())["method"] == "notifications/subscriptions/acknowledged"
        assert (await rig.http("POST", "/mcp", headers, body)).status == 503
        streams[0].close()
        async with asyncio.timeout(20):
            while True:
                again = await rig.open("POST", "/mcp", headers, body)
                if again.status == 200:
                    break
                again.close()
        for stream in (*streams, again):
            stream.close()

    play(scene, bounds=bounds)


def test_a_client_that_asks_for_nothing_it_may_have_is_acknowledged_with_nothing() -> None:
    async def scene(rig: Rig) -> None:
        headers, body = modern_request(
            "subscriptions/listen", {"notifications": {"resourceSubscriptions": ["demo://welcome"]}}
        )
        stream = await rig.open("POST", "/mcp", headers, body)
        assert (await stream.message())["params"]["notifications"] == {}
        stream.close()
        wrong = await rig.modern("subscriptions/listen", {"notifications": []})
        assert wrong.error["code"] == -32602

    play(scene)


def test_a_request_id_in_use_is_refused_and_the_first_goes_on() -> None:
    gate = Gate()

    async def scene(rig: Rig) -> None:
        session = await rig.initialize()
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        call = json.dumps(rpc("tools/call", {"name": "slow__wait", "arguments": {}}, "same")).encode()
        stream = await rig.open("POST", "/mcp", headers, call)
        await until(lambda: gate.running == 1)
        second = await rig.http("POST", "/mcp", headers, call)
        assert second.error["code"] == -32600
        gate.go.set()
        assert (await stream.message())["result"]["content"][0]["text"] == "went"
        stream.close()

    play(scene, two_upstreams(), make=gate.make)


def test_calls_that_wait_for_a_slow_upstream_hold_nothing_the_others_need() -> None:
    gate = Gate()
    bounds = Bounds(in_flight=InFlightLimits(process=8, server=8, upstream=2, wait_s=5))

    async def scene(rig: Rig) -> None:
        slow = [
            asyncio.create_task(rig.modern("tools/call", {"name": "slow__wait", "arguments": {}})) for _ in range(30)
        ]
        await until(lambda: gate.running == 2)
        await until(lambda: sum(t.done() for t in slow) == 26)
        quick = await asyncio.gather(
            *(rig.modern("tools/call", {"name": "fast__quick", "arguments": {}}) for _ in range(5))
        )
        assert [r.status for r in quick] == [200] * 5
        gate.go.set()
        statuses = sorted(r.status for r in await asyncio.gather(*slow))
        assert statuses == [200] * 4 + [503] * 26

    play(scene, two_upstreams(), make=gate.make, bounds=bounds)


def test_a_caller_that_does_not_answer_questions_keeps_nobody_else_out() -> None:
    bounds = Bounds(in_flight=InFlightLimits(process=2, server=2, upstream=2, wait_s=0.05))

    async def scene(rig: Rig) -> None:
        session = await rig.initialize(capabilities={"elicitation": {}})
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        streams = []
        for number in range(6):
            call = json.dumps(rpc("tools/call", {"name": "ask_name", "arguments": {}}, number)).encode()
            streams.append(await rig.open("POST", "/mcp", headers, call))
            assert (await streams[-1].message())["method"] == "elicitation/create"
        other = await rig.modern("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        assert other.status == 200
        for stream in streams:
            stream.close()

    play(scene, bounds=bounds)


def test_a_listen_stream_is_refused_to_a_client_that_takes_none() -> None:
    async def scene(rig: Rig) -> None:
        params = {"notifications": {"toolsListChanged": True}}
        reply = await rig.modern("subscriptions/listen", params, headers={"accept": "application/json"})
        assert reply.status == 406

    play(scene)


def test_calls_that_are_cancelled_while_they_ask_give_their_places_back() -> None:
    bounds = Bounds(in_flight=InFlightLimits(process=2, server=2, upstream=2, wait_s=0.05))

    async def scene(rig: Rig) -> None:
        session = await rig.initialize(capabilities={"elicitation": {}})
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        for number in range(8):
            call = json.dumps(rpc("tools/call", {"name": "ask_name", "arguments": {}}, number)).encode()
            stream = await rig.open("POST", "/mcp", headers, call)
            assert (await stream.message())["method"] == "elicitation/create"
            params = {"requestId": number}
            await rig.legacy({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}, session)
            await stream.rest()
            stream.close()
        reply = await rig.modern("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}})
        assert reply.status == 200

    play(scene, bounds=bounds)
