"""What the operator does with one upstream of a running gateway: start, stop, restart, check, wait."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import LIMIT_S, OPEN, Rig, demo, modern_request, rpc, running, snapshot
from tests.gateway.test_operations import Kept
from tests.unit.contract.making import observed, snap, upstream
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway.call import Call, Head, Upstream, UpstreamEvents
from toolyard.gateway.errors import OrderInvalid, UpstreamDisabled, UpstreamUnknown
from toolyard.gateway.operating import Order
from toolyard.kit.clock import Clock
from toolyard.platform import make_upstream

SHOP: Json = {"name": "buy", "inputSchema": {"type": "object"}}
ASK = {
    "method": "elicitation/create",
    "params": {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}},
}
ANN = {"action": "accept", "content": {"name": "Ann"}}
ELICIT = {"elicitation": {"form": {}}}

Scene = Callable[[Rig, Fakes], Awaitable[None]]


def with_fakes(scene: Scene, **prepared: Any) -> None:
    """Play with the upstreams `a` (with the tool `buy` and the resource `a:1`) and `b`."""

    def prepare(fake: FakeUpstream) -> None:
        for name, value in prepared.items():
            setattr(fake, name, value)

    capabilities = {"tools": {}, "resources": {"subscribe": True}}
    fakes = Fakes(
        observed("a", SHOP, resources=("a:1",), capabilities=capabilities), observed("b", "look"), prepare=prepare
    )
    specs = upstream("a", timeout_s=LIMIT_S), upstream("b")

    async def run() -> None:
        async with running(snapshot(*specs, servers=(OPEN,)), make=fakes.make) as rig:
            await scene(rig, fakes)

    asyncio.run(run())


async def ordered(rig: Rig, operation: Any, upstream_id: str = "a", **more: Any) -> dict[str, Any]:
    async with asyncio.timeout(2 * LIMIT_S):
        return await rig.gateway.operating.carry_out(Order(operation, upstream_id, **more))


async def buy(rig: Rig, **more: Any) -> Any:
    return (await rig.modern("tools/call", {"name": "buy", "arguments": {}, **more}, capabilities=ELICIT)).message


def reason(message: Any) -> Any:
    return message["error"]["data"]["reason"]


def test_a_stopped_upstream_refuses_calls_with_a_code_and_is_listed_as_last_seen() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        told = await ordered(rig, "stop")
        assert (told["state"], told["error"], told["offers"]["tools"]) == ("stopped", None, 1)
        assert fakes["a"].closed == 1
        refused = await buy(rig)
        assert reason(refused) == "upstream_stopped"
        assert refused["error"]["data"]["may_have_run"] is False
        assert fakes["a"].requests == []
        listed = (await rig.modern("tools/list")).result
        assert sorted(tool["name"] for tool in listed["tools"]) == ["buy", "look"]
        assert listed["_meta"]["toolyard/staleUpstreams"] == ["a"]
        assert (await rig.modern("tools/call", {"name": "look", "arguments": {}})).result["content"]

    with_fakes(scene)


def test_a_stopped_upstream_is_started_again_on_a_new_connection() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        await ordered(rig, "stop")
        before = fakes["a"]
        assert (await ordered(rig, "start"))["state"] == "ready"
        assert fakes["a"] is not before
        assert "result" in await buy(rig)
        assert "toolyard/staleUpstreams" not in (await rig.modern("tools/list")).result["_meta"]
        assert (await ordered(rig, "start"))["state"] == "ready"
        assert [f.spec.id for f in fakes.made].count("a") == 2

    with_fakes(scene)


def test_a_call_in_flight_ends_before_its_upstream_is_closed() -> None:
    class Slow:
        def __init__(self) -> None:
            self.begun = asyncio.Event()
            self.goes_on = asyncio.Event()

        async def answer(self, call: Call, method: str, params: Json) -> Json:
            self.begun.set()
            await self.goes_on.wait()
            return {"content": [{"type": "text", "text": "done"}]}

    slow = Slow()

    async def scene(rig: Rig, fakes: Fakes) -> None:
        call = asyncio.ensure_future(buy(rig))
        await slow.begun.wait()
        told = await ordered(rig, "stop", timeout_s=0.05)
        assert told["state"] == "stopping"
        assert reason(await buy(rig)) == "upstream_stopped"
        assert fakes["a"].closed == 0
        slow.goes_on.set()
        assert (await call)["result"]["content"][0]["text"] == "done"
        assert (await ordered(rig, "stop"))["state"] == "stopped"
        assert fakes["a"].closed == 1

    with_fakes(scene, answer=slow.answer)


@pytest.mark.parametrize("operation", ["stop", "restart"])
def test_in_a_hurry_nothing_is_waited_for(operation: str) -> None:
    begun = asyncio.Event()

    async def never(call: Call, method: str, params: Json) -> Json:
        begun.set()
        await asyncio.Event().wait()
        return {}

    async def scene(rig: Rig, fakes: Fakes) -> None:
        writer = await rig.send("POST", "/mcp", *modern_request("tools/call", {"name": "buy", "arguments": {}}))
        await begun.wait()
        old = fakes["a"]
        if operation == "stop":
            assert (await ordered(rig, "stop", timeout_s=0.05))["state"] == "stopping"
        await ordered(rig, operation, now=True)
        while not old.closed:
            await asyncio.sleep(0.01)
        writer.close()

    with_fakes(scene, answer=never)


def test_a_restart_opens_anew_at_once_and_lets_the_calls_of_the_old_one_end() -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def answer(call: Call, method: str, params: Json) -> Json:
        if not begun.is_set():
            begun.set()
            await goes_on.wait()
            return {"content": [{"type": "text", "text": "old"}]}
        return {"content": [{"type": "text", "text": "new"}]}

    async def scene(rig: Rig, fakes: Fakes) -> None:
        old = fakes["a"]
        call = asyncio.ensure_future(buy(rig))
        await begun.wait()
        assert (await ordered(rig, "restart"))["state"] == "ready"
        assert (await buy(rig))["result"]["content"][0]["text"] == "new"
        assert (old.closed, fakes["a"] is old) == (0, False)
        goes_on.set()
        assert (await call)["result"]["content"][0]["text"] == "old"
        while not old.closed:
            await asyncio.sleep(0.01)

    with_fakes(scene, answer=answer)


async def waiting_shop(call: Call, method: str, params: Json) -> Json:
    answers = await call.ask({"name": ASK}, held=True)
    return {"content": [{"type": "text", "text": answers["name"]["content"]["name"]}]}


def answered(parked: Json) -> Json:
    result = parked["result"]
    (key,) = result["inputRequests"]
    return {"requestState": result["requestState"], "inputResponses": {key: ANN}}


@pytest.mark.parametrize("operation", ["stop", "restart"])
def test_a_parked_call_is_still_answered_while_its_upstream_ends(operation: str) -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        parked = await buy(rig)
        told = await ordered(rig, operation, timeout_s=0.5)
        assert told["state"] == ("stopping" if operation == "stop" else "ready")
        assert (await buy(rig, **answered(parked)))["result"]["content"][0]["text"] == "Ann"

    with_fakes(scene, answer=waiting_shop, pushes=True)


def test_what_was_watched_is_watched_again_after_a_stop_and_after_a_restart() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        session = await rig.initialize()
        await rig.legacy(rpc("resources/subscribe", {"uri": "a:1"}), session)
        assert fakes["a"].watched == ["+a:1"]
        await ordered(rig, "stop")
        for operation in ("start", "restart"):
            await ordered(rig, operation)
            async with asyncio.timeout(LIMIT_S):
                while fakes["a"].watched != ["+a:1"]:
                    await asyncio.sleep(0.01)

    with_fakes(scene)


def test_a_check_looks_now_and_says_what_came_of_it() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        fake = fakes["a"]
        told = await ordered(rig, "check")
        assert (told["state"], fake.observed, told["offers"]["resources"]) == ("ready", 2, 1)
        fake.dead = True
        told = await ordered(rig, "check")
        assert (told["state"], told["error_code"], told["error"]) == ("failing", "upstream_unreachable", "a is dead")
        fake.dead = False
        assert (await ordered(rig, "check"))["state"] == "ready"
        await ordered(rig, "stop")
        assert (await ordered(rig, "check"))["state"] == "stopped"
        assert fake.observed == 4

    with_fakes(scene)


def test_a_check_during_a_look_waits_for_one_that_began_after_it() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        fake = fakes["a"]
        fake.gate.clear()
        rig.gateway.pool.refresh("a")
        while fake.observed < 2:
            await asyncio.sleep(0.01)
        check = asyncio.ensure_future(ordered(rig, "check"))
        await asyncio.sleep(0)
        fake.gate.set()
        assert (await check)["state"] == "ready"
        assert fake.observed == 3

    with_fakes(scene)


def test_a_wait_ends_when_the_upstream_is_ready_and_otherwise_says_why_not() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        fakes["a"].dead = True
        await ordered(rig, "check")
        told = await ordered(rig, "wait", timeout_s=0.05)
        assert (told["state"], told["error"]) == ("failing", "a is dead")
        waiting = asyncio.ensure_future(ordered(rig, "wait"))
        fakes["a"].dead = False
        rig.gateway.pool.refresh("a")
        assert (await waiting)["state"] == "ready"

    with_fakes(scene)


def test_a_wait_for_a_failing_upstream_ends_when_that_is_stopped() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        fakes["a"].dead = True
        await ordered(rig, "check")
        waiting = asyncio.ensure_future(ordered(rig, "wait"))
        await asyncio.sleep(0)
        await ordered(rig, "stop")
        assert (await waiting)["state"] in {"stopping", "stopped"}

    with_fakes(scene)


def test_a_stopped_upstream_stays_stopped_when_its_configuration_changes_and_is_forgotten_with_it() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        await ordered(rig, "stop")
        changed, other = upstream("a", timeout_s=7), upstream("b")
        rig.gateway.offer(snap(changed, other, servers=(OPEN,), revision=2))
        assert reason(await buy(rig)) == "upstream_stopped"
        assert fakes["a"].observed == 0
        rig.gateway.offer(snap(other, servers=(OPEN,), revision=3))
        rig.gateway.offer(snap(changed, other, servers=(OPEN,), revision=4))
        await rig.ready("a")
        assert rig.gateway.pool.get("a").spec.timeout_s == 7
        assert "result" in await buy(rig)

    with_fakes(scene)


def test_orders_that_make_no_sense_are_refused() -> None:
    async def scene(rig: Rig, fakes: Fakes) -> None:
        with pytest.raises(UpstreamUnknown):
            await ordered(rig, "stop", "nobody")
        off = upstream("a", enabled=False)
        rig.gateway.offer(snap(off, "b", servers=(OPEN,), revision=2))
        with pytest.raises(UpstreamDisabled):
            await ordered(rig, "start")
        for body in (
            b"",
            b"{}",
            b"[]",
            b'{"operation": "burn", "upstream": "a"}',
            b'{"operation": 1, "upstream": "a"}',
        ):
            with pytest.raises(OrderInvalid):
                await rig.gateway.operating.take(Head("http", "POST", "/operator/upstreams", {}), body, Kept())

    with_fakes(scene)


def test_orders_are_taken_from_the_operator_only(tmp_path: Path) -> None:
    order = json.dumps({"operation": "stop", "upstream": "demo"}).encode()
    headers = {"content-type": "application/json"}

    async def at_the_socket(path: Path, *lines: str) -> tuple[int, Any]:
        reader, writer = await asyncio.open_unix_connection(str(path))
        head = "\r\n".join(["POST /operator/upstreams HTTP/1.1", "Host: localhost", "Connection: close", *lines])
        writer.write(f"{head}\r\nContent-Length: {len(order)}\r\n\r\n".encode() + order)
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])

    async def run() -> None:
        async with running(snapshot(demo(), servers=(OPEN,))) as rig:
            assert (await rig.http("POST", "/operator/upstreams", headers, order)).status == 404
            socket = tmp_path / "s"
            await rig.server.start_unix(socket)
            assert (await at_the_socket(socket))[0] == 415
            assert rig.gateway.pool.status()[0]["state"] == "ready"
            status, told = await at_the_socket(socket, "Content-Type: application/json")
            assert (status, told["state"], told["id"]) == (200, "stopped", "demo")

    asyncio.run(run())


@pytest.mark.slow
def test_a_parked_call_whose_upstream_was_closed_meanwhile_learns_that_it_may_have_run(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    program = Path(__file__).parent / "faults/ledger_server.py"
    spec = UpstreamSpec("shop", "mcp-stdio", command=(sys.executable, str(program), "--ledger", str(ledger)))

    async def run() -> None:
        async with running(snapshot(spec, servers=(OPEN,))) as rig:
            parked = await buy(rig)
            assert (await ordered(rig, "stop", "shop", now=True))["state"] == "stopped"
            lost = await buy(rig, **answered(parked))
            assert (reason(lost), lost["error"]["data"]["may_have_run"]) == ("upstream_incomplete", True)
            assert reason(await buy(rig)) == "upstream_stopped"
            assert ledger.read_text().split().count("begun") == 1

    asyncio.run(run())


def test_own_tools_and_passed_on_ones_are_served_at_one_url_or_chosen_by_server() -> None:
    fakes = Fakes(observed("a", SHOP))

    def make(spec: UpstreamSpec, events: UpstreamEvents, clock: Clock, era: Any) -> Upstream:
        return (
            make_upstream(spec, events, clock, era) if spec.kind == "native" else fakes.make(spec, events, clock, era)
        )

    own = ServerSpec("own", access="open", names="plain", tools=("demo/*",))
    others = ServerSpec("others", access="open", names="plain", tools=("a/*",))

    async def offered(rig: Rig, path: str) -> set[str]:
        return {tool["name"] for tool in (await rig.modern("tools/list", path=path)).result["tools"]}

    async def run() -> None:
        async with running(snapshot(demo(), upstream("a"), servers=(OPEN, own, others)), make=make) as rig:
            assert {"echo", "buy"} <= await offered(rig, "/mcp")
            assert "buy" not in await offered(rig, "/mcp/own")
            assert await offered(rig, "/mcp/others") == {"buy"}
            for name, arguments in (("echo", {"text": "x"}), ("buy", {})):
                assert (await rig.modern("tools/call", {"name": name, "arguments": arguments})).result["content"]

    asyncio.run(run())


@pytest.mark.slow
def test_the_transport_of_an_upstream_is_switched_while_the_gateway_runs(tmp_path: Path) -> None:
    program = [sys.executable, str(Path(__file__).parent / "faults/ledger_server.py"), "--ledger", str(tmp_path / "l")]

    async def bought(rig: Rig) -> str:
        done = await buy(rig, **answered(await buy(rig)))
        return str(done["result"]["content"][0]["text"])

    async def run() -> None:
        child = await asyncio.create_subprocess_exec(*program, "--http", "0", stdout=asyncio.subprocess.PIPE)
        assert child.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(await child.stdout.readline())}/mcp"
            by_stdio = UpstreamSpec("shop", "mcp-stdio", command=tuple(program), timeout_s=LIMIT_S)
            by_http = UpstreamSpec("shop", "mcp-http", url=url, timeout_s=LIMIT_S)
            async with running(snapshot(by_stdio, servers=(OPEN,))) as rig:
                assert await bought(rig) == "sold"
                for revision, spec in enumerate((by_http, by_stdio), start=2):
                    rig.gateway.offer(snapshot(spec, servers=(OPEN,), revision=revision))
                    told = await ordered(rig, "wait", "shop", timeout_s=LIMIT_S)
                    assert (told["state"], told["kind"]) == ("ready", spec.kind)
                    assert await bought(rig) == "sold"
        finally:
            child.kill()
            await child.wait()

    asyncio.run(run())


DIES = "import sys; sys.stderr.write('no licence\\n'); sys.exit(3)"


@pytest.mark.slow
def test_a_restart_tries_a_program_again_that_was_put_aside_for_dying(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(DIES)
    spec = UpstreamSpec("kept", "mcp-stdio", command=(sys.executable, str(script)), timeout_s=LIMIT_S)

    async def run() -> None:
        async with running(snapshot(spec, servers=(OPEN,))) as rig:
            told = rig.gateway.pool.status_of("kept") or {}
            async with asyncio.timeout(4 * LIMIT_S):
                while told["retry_in_s"] < 100:
                    told = await ordered(rig, "check", "kept")
            assert told["state"] == "failing"
            script.write_text((Path(__file__).parent / "stateful_server.py").read_text())
            assert (await ordered(rig, "check", "kept"))["state"] == "failing"
            told = await ordered(rig, "restart", "kept")
            assert (told["state"], told["error"]) == ("ready", None)

    asyncio.run(run())
