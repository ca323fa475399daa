"""Upstreams over several workers: each is kept by one, reached by all, and known under the same names everywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import BOTH, LIMIT_S, OPEN, envelope, modern_request, rpc, snapshot
from tests.gateway.test_duplex import Client
from tests.gateway.upstream.fake_http_upstream import Legacy, Modern, serving, tool
from tests.gateway.workers_rig import WorkerRig, play, start_worker, workers
from tests.gateway.workshop import ABLE, ask_for
from tests.gateway.workshop import until as until_task
from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import TaskRule, ToolRule, UpstreamSpec
from toolyard.gateway.call import Call
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.downstream.stdio import operator_head
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamExited
from toolyard.gateway.workers.worker import Worker, keeper_of
from toolyard.protocol.errors import RelayedError

ASKED = {"action": "accept", "content": {"name": "Ada"}}
QUESTION = {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {"type": "object"}}}


def kept_by(index: int, count: int) -> str:
    """An upstream id that this worker keeps."""
    return next(f"u{n}" for n in range(1000) if keeper_of(f"u{n}", count) == index)


def stdio(upstream_id: str, **changes: Any) -> UpstreamSpec:
    return UpstreamSpec(upstream_id, "mcp-stdio", command=("true",), **changes)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def answers(**tools: Callable[[Call], Any]) -> Callable[[FakeUpstream], None]:
    """Prepares fakes whose tools do what the functions say."""

    async def answer(call: Call, method: str, params: Json) -> Json:
        assert method == "tools/call"
        return {"content": [{"type": "text", "text": str(await tools[params["name"]](call))}]}

    def prepare(fake: FakeUpstream) -> None:
        fake.answer, fake.pushes = answer, True

    return prepare


def test_every_upstream_has_one_keeper_and_all_workers_agree_on_it() -> None:
    ids = [f"upstream-{n}" for n in range(300)]
    for upstream_id in ids:
        assert sum(Worker(index, 3).keeps(upstream_id) for index in range(3)) == 1
    assert {keeper_of(i, 3) for i in ids} == {0, 1, 2}


def test_an_upstream_is_made_once_and_called_through_every_worker() -> None:
    name = kept_by(1, 3)
    fakes = Fakes(observed(name, "hello", era="legacy"))

    async def scene(*rigs: WorkerRig) -> None:
        for rig in rigs:
            reply = await rig.modern("tools/call", {"name": "hello", "arguments": {"n": 1}})
            assert reply.result["content"] == [{"type": "text", "text": "hello"}]
        assert [fake.observed for fake in fakes.made] == [1]
        assert [params for _, params in fakes[name].requests] == [{"name": "hello", "arguments": {"n": 1}}] * 3

    play(scene, 3, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_a_change_of_the_tools_reaches_the_listeners_of_every_worker() -> None:
    name = kept_by(1, 3)
    fakes = Fakes(observed(name, "old"))

    async def scene(*rigs: WorkerRig) -> None:
        sessions = [await rig.initialize() for rig in rigs]
        streams = [
            await rig.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": session})
            for rig, session in zip(rigs, sessions, strict=True)
        ]
        await until(lambda: all(s.listeners for r in rigs for s in r.gateway.sessions._sessions.values()))
        fakes[name].offers = observed(name, "old", "new")
        assert fakes[name].events is not None
        fakes[name].events.lists_changed(name, "tools")
        for stream in streams:
            assert (await stream.message())["method"] == "notifications/tools/list_changed"
            stream.close()
        for rig in rigs:
            assert [tool["name"] for tool in (await rig.modern("tools/list")).result["tools"]] == ["new", "old"]

    play(scene, 3, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_colliding_names_are_the_same_in_every_worker_whoever_saw_them_first() -> None:
    first, second = kept_by(1, 3), kept_by(2, 3)
    fakes = Fakes(observed(first), observed(second, "same"))

    async def scene(*rigs: WorkerRig) -> None:
        fakes[first].offers = observed(first, "same")
        assert fakes[first].events is not None
        fakes[first].events.lists_changed(first, "tools")
        await until(lambda: all(len(rig.gateway.holder.current.servers["default"].tools) == 2 for rig in rigs))
        seen = [
            {name: b.upstream_id for name, b in rig.gateway.holder.current.servers["default"].tools.items()}
            for rig in rigs
        ]
        assert seen == [{"same": second, f"{first}__same": first}] * 3
        for rig in rigs:
            assert rig.gateway.holder.names == rigs[0].gateway.holder.names

    play(scene, 3, snapshot(stdio(first), stdio(second), servers=(OPEN,)), make=fakes.make)


def test_notifications_come_back_before_the_result() -> None:
    name = kept_by(1, 2)

    async def progress(call: Call) -> str:
        for n in range(200):
            await call.emit({"method": "notifications/progress", "params": {"progress": n, "total": 200}})
        return "done"

    fakes = Fakes(observed(name, "work"), prepare=answers(work=progress))

    async def scene(first: WorkerRig, _second: WorkerRig) -> None:
        meta = {"progressToken": "t"}
        reply = await first.modern("tools/call", {"name": "work", "arguments": {}}, meta=meta)
        assert [m["params"]["progress"] for m in reply.messages[:-1]] == list(range(200))
        assert reply.result["content"][0]["text"] == "done"

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_a_legacy_client_is_asked_for_an_upstream_at_another_worker() -> None:
    name = kept_by(1, 2)

    async def ask(call: Call) -> str:
        return json.dumps(await call.ask({"k": QUESTION}, held=True))

    fakes = Fakes(observed(name, "ask", era="legacy"), prepare=answers(ask=ask))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        session = await first.initialize(capabilities={"elicitation": {}})
        headers = {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}
        body = json.dumps(rpc("tools/call", {"name": "ask", "arguments": {}})).encode()
        stream = await second.open("POST", "/mcp", headers, body)
        question = await stream.message()
        await first.legacy({"jsonrpc": "2.0", "id": question["id"], "result": ASKED}, session)
        assert json.loads((await stream.message())["result"]["content"][0]["text"]) == {"k": ASKED}
        stream.close()

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_a_parked_call_is_taken_up_through_any_worker_and_runs_once() -> None:
    name = kept_by(1, 3)

    async def ask(call: Call) -> str:
        return json.dumps(await call.ask({"k": QUESTION}, held=True))

    fakes = Fakes(observed(name, "ask", era="legacy"), prepare=answers(ask=ask))

    async def scene(*rigs: WorkerRig) -> None:
        for asked_at, answered_at in ((0, 2), (2, 0), (1, 2), (0, 1), (2, 2)):
            params: Json = {"name": "ask", "arguments": {}}
            capabilities: Json = {"elicitation": {}}
            first = await rigs[asked_at].modern("tools/call", params, capabilities=capabilities)
            (key,) = first.result["inputRequests"]
            again = {**params, "requestState": first.result["requestState"], "inputResponses": {key: ASKED}}
            second = await rigs[answered_at].modern("tools/call", again, capabilities=capabilities, request_id=7)
            assert json.loads(second.result["content"][0]["text"]) == {"k": ASKED}
            assert second.message["id"] == 7
            replayed = await rigs[asked_at].modern("tools/call", again, capabilities=capabilities)
            assert replayed.error["code"] == -32602
        assert len(fakes[name].requests) == 5

    play(scene, 3, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_a_parked_call_of_a_process_that_ended_is_lost_in_words() -> None:
    name = kept_by(0, 2)

    async def ask(call: Call) -> str:
        return json.dumps(await call.ask({"k": QUESTION}, held=True))

    fakes = Fakes(observed(name, "ask", era="legacy"), prepare=answers(ask=ask))
    snap = snapshot(stdio(name), servers=(OPEN,))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        params: Json = {"name": "ask", "arguments": {}}
        parked = await second.modern("tools/call", params, capabilities={"elicitation": {}})
        (key,) = parked.result["inputRequests"]
        again = {**params, "requestState": parked.result["requestState"], "inputResponses": {key: ASKED}}
        directory = second.crew.peers.path.parent.parent
        await second.aclose()
        fresh = await start_worker(1, 2, directory, snap, fakes.make, None)
        try:
            await fresh.others_there()
            for rig in (first, fresh):
                lost = await rig.modern("tools/call", again, capabilities={"elicitation": {}})
                assert (lost.error["code"], lost.error["data"]["reason"]) == (-32602, "call_lost")
        finally:
            await fresh.aclose()
        assert len(fakes[name].requests) == 1

    play(scene, 2, snap, make=fakes.make)


def test_errors_of_every_kind_are_the_same_through_another_worker() -> None:
    name = kept_by(1, 2)

    async def relayed(_call: Call) -> str:
        raise RelayedError(-32050, "own words", {"more": [1]})

    async def busy(_call: Call) -> str:
        raise UpstreamBusy(upstream=name)

    async def exited(_call: Call) -> str:
        raise UpstreamExited("it went")

    prepare = answers(relayed=relayed, busy=busy, exited=exited)
    fakes = Fakes(observed(name, "relayed", "busy", "exited"), prepare=prepare)

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        for name_of_tool in ("relayed", "busy", "exited"):
            far, near = [
                await rig.modern("tools/call", {"name": name_of_tool, "arguments": {}}) for rig in (first, second)
            ]
            assert (far.status, far.error) == (near.status, near.error)

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_a_cancelled_call_is_cancelled_at_the_upstream() -> None:
    name = kept_by(1, 2)
    told: list[str] = []

    async def wait(_call: Call) -> str:
        told.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")
        return ""

    fakes = Fakes(observed(name, "wait"), prepare=answers(wait=wait))

    async def scene(first: WorkerRig, _second: WorkerRig) -> None:
        headers, body = modern_request("tools/call", {"name": "wait", "arguments": {}})
        writer = await first.send("POST", "/mcp", headers, body)
        await until(lambda: told == ["began"])
        writer.close()
        await until(lambda: told == ["began", "ended"])

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_a_call_whose_upstreams_worker_goes_is_lost_in_words_and_never_repeated() -> None:
    name = kept_by(1, 2)
    began = asyncio.Event()

    async def wait(_call: Call) -> str:
        began.set()
        await asyncio.Event().wait()
        return ""

    fakes = Fakes(observed(name, "wait"), prepare=answers(wait=wait))
    snap = snapshot(stdio(name), servers=(OPEN,))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        call = asyncio.ensure_future(first.modern("tools/call", {"name": "wait", "arguments": {}}))
        await began.wait()
        directory = second.crew.peers.path.parent.parent
        await second.crew.aclose()
        reply = await call
        assert reply.error["data"]["reason"] == "upstream_lost"
        assert "not known" in reply.error["message"]
        assert len(fakes[name].requests) == 1
        assert first.gateway.pool.stale([name]) == [name]
        fresh = await start_worker(1, 2, directory, snap, fakes.make, None)
        try:
            await until(lambda: first.gateway.pool.stale([name]) == [])
            fakes[name].answer = FakeUpstream(stdio(name), observed(name)).answer
            assert (await first.modern("tools/call", {"name": "wait", "arguments": {}})).result["content"]
        finally:
            await fresh.aclose()

    play(scene, 2, snap, make=fakes.make)


def test_a_resource_is_watched_at_the_keeper_for_clients_of_all_workers_and_again_after_its_end() -> None:
    name = kept_by(1, 3)
    subscribable = observed(name, resources=("x://1",), capabilities={"resources": {"subscribe": True}})
    fakes = Fakes(subscribable)
    snap = snapshot(stdio(name), servers=(OPEN,))

    async def scene(first: WorkerRig, second: WorkerRig, third: WorkerRig) -> None:
        sessions = [(rig, await rig.initialize()) for rig in (first, third)]
        streams = []
        for rig, session in sessions:
            reply = await rig.legacy(rpc("resources/subscribe", {"uri": "x://1"}), session)
            assert reply.result == {}
            streams.append(await rig.open("GET", "/mcp", {"accept": BOTH, "mcp-session-id": session}))
        assert fakes[name].watched.count("+x://1") == 2
        await until(lambda: all(s.listeners for r in (first, third) for s in r.gateway.sessions._sessions.values()))
        assert fakes[name].events is not None
        fakes[name].events.resource_updated(name, None, {"uri": "x://1"})
        for stream in streams:
            assert (await stream.message())["method"] == "notifications/resources/updated"
        fakes[name].events.watches_lost(name)
        await until(lambda: fakes[name].watched.count("+x://1") == 4)
        for stream in streams:
            assert (await stream.message())["method"] == "notifications/resources/updated"
        assert fakes[name].watched.count("-x://1") == 0
        directory = second.crew.peers.path.parent.parent
        await second.crew.aclose()
        await until(lambda: fakes.made[0].watched.count("-x://1") == 2)
        fresh = await start_worker(1, 3, directory, snap, fakes.make, None)
        try:
            await until(lambda: fakes[name].watched.count("+x://1") == 2)
            for stream in streams:
                assert (await stream.message())["method"] == "notifications/resources/updated"
                stream.close()
            rig, session = sessions[0]
            await rig.legacy(rpc("resources/unsubscribe", {"uri": "x://1"}), session)
            await until(lambda: fakes[name].watched.count("-x://1") == 1)
        finally:
            await fresh.aclose()

    play(scene, 3, snap, make=fakes.make)


def test_a_new_configuration_is_in_force_in_all_workers_under_the_same_names() -> None:
    first_id, second_id = kept_by(1, 3), kept_by(2, 3)
    fakes = Fakes(observed(first_id, "same"), observed(second_id, "same"))

    async def scene(*rigs: WorkerRig) -> None:
        newer = snapshot(stdio(first_id), stdio(second_id), servers=(OPEN,), revision=2)
        for rig in reversed(rigs):
            rig.crew.sharing.offer(newer)
        await until(lambda: all(len(r.gateway.holder.current.servers["default"].tools) == 2 for r in rigs))
        for rig in rigs:
            for exposed in ("same", f"{second_id}__same"):
                assert (await rig.modern("tools/call", {"name": exposed, "arguments": {}})).result["content"]
        assert len(fakes[first_id].requests) == len(fakes[second_id].requests) == 3

    play(scene, 3, snapshot(stdio(first_id), servers=(OPEN,)), make=fakes.make)


def test_a_changed_upstream_is_replaced_at_its_keeper_and_called_with_its_new_configuration() -> None:
    name = kept_by(1, 2)
    fakes = Fakes(observed(name, "hello"))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        newer = snapshot(replace(stdio(name), timeout_s=7.0), servers=(OPEN,), revision=2)
        first.crew.sharing.offer(newer)
        call = asyncio.ensure_future(first.modern("tools/call", {"name": "hello", "arguments": {}}))
        second.crew.sharing.offer(newer)
        assert (await call).result["content"]
        assert [len(fake.requests) for fake in fakes.made] == [0, 1]
        assert fakes[name].spec.timeout_s == 7.0

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)


def test_what_was_found_is_remembered_once_for_all_workers(tmp_path: Path) -> None:
    name = kept_by(1, 2)
    fakes = Fakes(observed(name, "hello"))
    snap = snapshot(stdio(name), servers=(OPEN,))

    async def run() -> None:
        rigs = [await start_worker(index, 2, tmp_path, snap, fakes.make, None) for index in range(2)]
        await asyncio.gather(*(rig.ready() for rig in rigs))
        for rig in rigs:
            await rig.aclose()
        alone = await start_worker(0, 2, tmp_path, snap, fakes.make, None)
        try:
            assert [tool["name"] for tool in (await alone.modern("tools/list")).result["tools"]] == ["hello"]
        finally:
            await alone.aclose()

    asyncio.run(run())


def test_a_task_is_asked_about_answered_and_ended_through_any_worker() -> None:
    name = kept_by(1, 3)

    async def ask(call: Call) -> str:
        return json.dumps(await call.ask({"k": QUESTION}, held=True))

    fakes = Fakes(observed(name, "ask", era="legacy"), prepare=answers(ask=ask))
    spec = stdio(name, tools={"ask": ToolRule(task=TaskRule(after_s=0.0))})

    async def scene(*rigs: WorkerRig) -> None:
        for n, rig in enumerate(rigs):
            made = await rig.modern("tools/call", {"name": "ask", "arguments": {}}, capabilities=ABLE)
            task_id = made.result["taskId"]
            far, farther = rigs[(n + 1) % 3], rigs[(n + 2) % 3]
            (key,) = (await until_task(far, task_id, "input_required"))["inputRequests"]
            await ask_for(farther, "update", task_id, params={"inputResponses": {key: ASKED}})
            done = await until_task(farther, task_id)
            assert json.loads(done["result"]["content"][0]["text"]) == {"k": ASKED}
        assert len(fakes[name].requests) == 3

    play(scene, 3, snapshot(spec, servers=(OPEN,)), make=fakes.make)


def test_requests_that_stand_alone_go_to_a_modern_http_server_from_every_worker() -> None:
    async def run() -> None:
        async with serving(Modern(tools=[tool("hello")])) as modern:
            upstream = http_kept_by(1, modern.url)
            async with workers(2, snapshot(upstream, servers=(OPEN,))) as (first, second):
                for rig in (first, second):
                    reply = await rig.modern("tools/call", {"name": "hello", "arguments": {}})
                    assert reply.result["content"][0]["text"] == "hello"
                assert first.gateway.pool.get(upstream.id).status()["calls"] == 1
                assert len(modern.of("tools/list")) == 1
                looks = len(modern.of("tools/list"))
                first.gateway.pool.refresh(upstream.id)
                await until(lambda: len(modern.of("tools/list")) > looks)

    asyncio.run(run())


def test_legacy_sessions_of_an_http_server_are_all_at_its_keeper() -> None:
    async def run() -> None:
        async with serving(Legacy(tools=[tool("hello")])) as legacy:
            upstream = http_kept_by(1, legacy.url)
            async with workers(3, snapshot(upstream, servers=(OPEN,))) as rigs:
                for rig in rigs:
                    reply = await rig.modern("tools/call", {"name": "hello", "arguments": {}})
                    assert reply.result["content"][0]["text"] == "hello"
                calls = legacy.of("tools/call")
                assert len(calls) == 3
                assert len({call.headers["mcp-session-id"] for call in calls}) == 1

    asyncio.run(run())


def http_kept_by(index: int, url: str) -> UpstreamSpec:
    return UpstreamSpec(kept_by(index, 2), "mcp-http", url=url, allow_networks=("127.0.0.0/8",))


def test_a_parked_call_is_taken_up_on_a_connection_of_another_worker() -> None:
    name = kept_by(0, 2)

    async def ask(call: Call) -> str:
        return json.dumps(await call.ask({"k": QUESTION}, held=True))

    fakes = Fakes(observed(name, "ask", era="legacy"), prepare=answers(ask=ask))

    async def scene(first: WorkerRig, second: WorkerRig) -> None:
        params: Json = {"name": "ask", "arguments": {}, "_meta": envelope({"elicitation": {}})}
        clients = [Client(), Client()]
        serving_them = [
            asyncio.ensure_future(Duplex(rig.gateway.exchange, operator_head("default"), client).run())
            for rig, client in zip((first, second), clients, strict=True)
        ]
        async with asyncio.timeout(LIMIT_S):
            clients[0].say(rpc("tools/call", params, 1))
            asked = (await clients[0].heard.get())["result"]
            (key,) = asked["inputRequests"]
            clients[1].say(
                rpc("tools/call", {**params, "requestState": asked["requestState"], "inputResponses": {key: ASKED}}, 2)
            )
            answered = await clients[1].heard.get()
            assert answered["id"] == 2
            assert json.loads(answered["result"]["content"][0]["text"]) == {"k": ASKED}
            for client in clients:
                await client.close()
            await asyncio.gather(*serving_them)
        assert len(fakes[name].requests) == 1

    play(scene, 2, snapshot(stdio(name), servers=(OPEN,)), make=fakes.make)
