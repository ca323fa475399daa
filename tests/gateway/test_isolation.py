"""Who meets whom at a stateful upstream: every policy, in a real gateway, over stdio and HTTP (book TEN-05, TEN-06)."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway import stateful_server
from tests.gateway.rig import BOTH, Rig, a_key, bearer, modern_request, rpc, running, snapshot
from tests.gateway.upstream.fake_http_upstream import FakeUpstream, Legacy, Reply, Request, result, serving
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec
from toolyard.gateway.assembly import Bounds
from toolyard.gateway.call import Answer, Call, Head, Principal
from toolyard.gateway.handles import read_handle, without_handle
from toolyard.gateway.interceptors.in_flight import InFlightLimits
from toolyard.gateway.isolation import isolation_of, owner_of

pytestmark = pytest.mark.slow

SERVER = str(Path(stateful_server.__file__))
COMMAND = (sys.executable, "-S", "-E", SERVER)
LIMIT_S = 120.0
Transport = str
numbers = itertools.count(1)


class StatefulHttp(Legacy):
    """The same server over HTTP: state for each session."""

    def __init__(self) -> None:
        super().__init__(handlers={"tools/call": self.call}, tools=stateful_server.definitions())
        self.states: dict[str, stateful_server.State] = {}
        self.late: list[tuple[Request, Reply]] = []

    async def call(self, request: Request, reply: Reply) -> None:
        session = request.headers["mcp-session-id"]
        state = self.states.setdefault(session, stateful_server.State())
        name, arguments = request.params["name"], request.params["arguments"]
        if name == "mark":
            await self.mark(request, reply, arguments["marker"])
            return
        said = session if name == "who" else await asyncio.to_thread(stateful_server.perform, state, name, arguments)
        await reply.json(result(request, stateful_server.text(said)))

    async def mark(self, request: Request, reply: Reply, marker: str) -> None:
        """Progress, then the answer, with other calls in between."""
        await reply.stream()
        token = request.params.get("_meta", {}).get("progressToken")
        if token is not None:
            params = {"progressToken": token, "progress": 1, "message": marker}
            await reply.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        for _ in range(hash(marker) % 5):
            await asyncio.sleep(0)
        await reply.event(result(request, stateful_server.text(marker)))
        await reply.end()


@dataclass
class Stage:
    """A gateway with one stateful upstream and the keys of two principals."""

    rig: Rig
    keys: dict[str, dict[str, str]]
    http: FakeUpstream | None

    def status(self) -> dict[str, Any]:
        return self.rig.gateway.pool.status()[0]

    def sessions(self) -> int:
        """How many sessions there are at the upstream besides the gateway's own."""
        sessions = self.status()["sessions"]
        return sessions - 1 if isinstance(sessions, int) else len([s for s in sessions if s["owner"] is not None])

    async def until_sessions(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.sessions() != count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def stage(transport: Transport, policy: str, bounds: Bounds | None = None, **more: Any) -> AsyncIterator[Stage]:
    keys, records = {}, []
    for who in "AB":
        text, record = a_key()
        keys[who] = bearer(text)
        records.append(record)
    servers = (ServerSpec("default", names="plain"),)
    async with asyncio.timeout(LIMIT_S):
        if transport == "stdio":
            more = {"command": COMMAND, "max_processes": 40, **more}
            spec = UpstreamSpec("up", "mcp-stdio", isolation=policy, **more)
            async with running(snapshot(spec, servers=servers, keys=tuple(records)), bounds=bounds) as rig:
                yield Stage(rig, keys, None)
            return
        async with serving(StatefulHttp()) as fake:
            spec = UpstreamSpec("up", "mcp-http", url=fake.url, isolation=policy, **more)
            async with running(snapshot(spec, servers=servers, keys=tuple(records)), bounds=bounds) as rig:
                yield Stage(rig, keys, fake)


@dataclass
class Client:
    """One way for a principal to come: in a legacy session, or modern; with a handle or without."""

    stage: Stage
    who: str
    name: str
    session: str | None = None
    handle: str | None = None
    in_header: bool = False
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = dict(self.stage.keys[self.who])
        if self.handle is not None and self.in_header:
            self.headers["Toolyard-Handle"] = self.handle

    async def tool(self, name: str, **arguments: Any) -> Any:
        meta = {"toolyard/handle": self.handle} if self.handle is not None and not self.in_header else {}
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        if self.session is None:
            reply = await self.stage.rig.modern("tools/call", params, meta=meta, headers=self.headers)
        else:
            message = rpc("tools/call", {**params, "_meta": meta} if meta else params, next(numbers))
            reply = await self.stage.rig.legacy(message, self.session, headers=self.headers)
        assert "result" in reply.message, reply.message
        return json.loads(reply.result["content"][0]["text"])


async def cast(stage: Stage) -> dict[str, Client]:
    """Two principals, each with two sessions and without one, and with two handles that are named alike."""
    clients: dict[str, Client] = {}
    for who in "AB":
        one, two = [await stage.rig.initialize(headers=stage.keys[who]) for _ in range(2)]
        for client in (
            Client(stage, who, f"{who} session 1", one),
            Client(stage, who, f"{who} session 2", two),
            Client(stage, who, f"{who} session 1 with x", one, handle="x"),
            Client(stage, who, f"{who} modern"),
            Client(stage, who, f"{who} modern with x", handle="x", in_header=True),
            Client(stage, who, f"{who} modern with y", handle="y"),
        ):
            clients[client.name] = client
    return clients


ONE, TWO, ONE_X, PLAIN, X, Y = (
    "session 1",
    "session 2",
    "session 1 with x",
    "modern",
    "modern with x",
    "modern with y",
)
MEET: dict[str, list[set[str]]] = {
    "per-principal": [{ONE, TWO, ONE_X, PLAIN, X, Y}],
    "per-session": [{ONE, ONE_X}, {TWO}, {PLAIN}, {X}, {Y}],
    "per-handle": [{ONE, TWO, PLAIN}, {ONE_X, X}, {Y}],
}


def groups(policy: str) -> list[set[str]]:
    """Who shares a session, by name."""
    if policy == "shared":
        return [{f"{who} {name}" for who in "AB" for name in (ONE, TWO, ONE_X, PLAIN, X, Y)}]
    return [{f"{who} {name}" for name in group} for who in "AB" for group in MEET[policy]]


async def all_of(work: Iterable[Awaitable[Any]]) -> list[Any]:
    return list(await asyncio.gather(*work))


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("policy", ["shared", "per-principal", "per-session", "per-handle"])
def test_exactly_those_meet_whom_the_policy_brings_together(policy: str, transport: Transport) -> None:
    async def scene() -> None:
        async with stage(transport, policy) as on:
            clients = await cast(on)
            for group in groups(policy):
                for name in sorted(group):
                    await clients[name].tool("remember", value=name)
            await all_of(client.tool("visit", page=name) for name, client in clients.items())
            for group in groups(policy):
                for name in group:
                    assert sorted(await clients[name].tool("recall")) == sorted(group)
                    seen = await clients[name].tool("look")
                    assert seen["page"] in group
                    assert sorted(seen["cookies"]) == sorted(group)
            assert on.sessions() == len(groups(policy))

    asyncio.run(scene())


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_call_with_a_session_of_its_own_meets_nobody_and_leaves_nothing(transport: Transport) -> None:
    async def scene() -> None:
        async with stage(transport, "per-call") as on:
            clients = await cast(on)
            kept = await all_of(client.tool("remember", value=name) for name, client in clients.items())
            assert kept == [[name] for name in clients]
            for client in clients.values():
                assert await client.tool("recall") == []
            sessions = {await client.tool("who") for client in [*clients.values()] * 2}
            assert len(sessions) == 2 * len(clients)
            await on.until_sessions(0)
            if transport == "stdio":
                await until(lambda: not any(psutil.pid_exists(pid) for pid in sessions))

    asyncio.run(scene())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_what_was_kept_for_a_clients_session_ends_with_it_and_nothing_else_does(transport: Transport) -> None:
    async def scene() -> None:
        async with stage(transport, "per-session") as on:
            clients = await cast(on)
            names = {name: await clients[name].tool("who") for name in (f"A {ONE}", f"A {TWO}", f"B {ONE}", f"A {X}")}
            assert len(set(names.values())) == 4
            ended = clients[f"A {ONE}"]
            sent = {**ended.headers, "mcp-session-id": ended.session or ""}
            assert (await on.rig.http("DELETE", "/mcp", sent)).status in (200, 204)
            await on.until_sessions(3)
            for name in (f"A {TWO}", f"B {ONE}", f"A {X}"):
                assert await clients[name].tool("who") == names[name]
            if on.http is not None:
                await on.http.wait_for("DELETE")
                assert [r.headers["mcp-session-id"] for r in on.http.of("DELETE")] == [names[f"A {ONE}"]]

    asyncio.run(scene())


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_handles_state_ends_when_nobody_used_it_for_the_upstreams_idle_time(transport: Transport) -> None:
    async def scene() -> None:
        async with stage(transport, "per-handle", idle_s=0.2) as on:
            client = Client(on, "A", "x", handle="x")
            assert await client.tool("remember", value="1") == ["1"]
            await on.until_sessions(0)
            assert await client.tool("recall") == []

    asyncio.run(scene())


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_caller_learns_whether_a_call_may_have_run_whose_upstream_died(era: str, tmp_path: Path) -> None:
    counted, breaks = tmp_path / "counted", tmp_path / "breaks"
    counted.touch()
    breaks.write_text("x")

    async def scene() -> None:
        command = (*COMMAND, "--count", str(counted), "--breaks", str(breaks))
        async with stage("stdio", "per-principal", command=command) as on:
            params = {"name": "change", "arguments": {}}
            if era == "modern":
                reply = await on.rig.modern("tools/call", params, headers=on.keys["A"])
            else:
                session = await on.rig.initialize(headers=on.keys["A"])
                reply = await on.rig.legacy(rpc("tools/call", params), session, headers=on.keys["A"])
            assert reply.error["data"]["reason"] == "upstream_exited"
            assert reply.error["data"]["may_have_run"] is True
            assert await Client(on, "A", "A").tool("change") == "change"
            assert counted.read_text().split() == ["change"] * 2

    asyncio.run(scene())


# -- naming a handle ---------------------------------------------------------------------------------------------------


BAD = ["", "a b", "x" * 129, "ü", "a\tb", 7, None, True, ["x"], {}]


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_handle_that_is_none_is_refused_and_nothing_runs(era: str) -> None:
    async def scene() -> None:
        async with stage("http", "per-handle") as on:
            assert on.http is not None
            session = await on.rig.initialize(headers=on.keys["A"])

            async def refused(meta: dict[str, Any], header: str | None) -> Any:
                headers = {**on.keys["A"], **({} if header is None else {"Toolyard-Handle": header})}
                params = {"name": "recall", "arguments": {}}
                if era == "modern":
                    return await on.rig.modern("tools/call", params, meta=meta, headers=headers)
                return await on.rig.legacy(rpc("tools/call", {**params, "_meta": meta}), session, headers=headers)

            for bad in BAD:
                assert (await refused({"toolyard/handle": bad}, None)).error["code"] == -32602
            for header in ("a b", "x" * 129):
                assert (await refused({}, header)).error["code"] == -32602
            assert (await refused({"toolyard/handle": "x"}, "y")).error["code"] == -32602
            assert on.http.of("tools/call") == []
            assert "result" in (await refused({"toolyard/handle": "x", "example.com/other": 1}, "x")).message
            assert on.http.of("tools/call")[0].params["_meta"] == {"example.com/other": 1}

    asyncio.run(scene())


def test_a_header_that_comes_twice_is_refused() -> None:
    async def scene() -> None:
        async with stage("http", "per-handle") as on:
            headers, body = modern_request("tools/call", {"name": "recall", "arguments": {}}, headers=on.keys["A"])
            twice = [*headers.items(), ("Toolyard-Handle", "x"), ("Toolyard-Handle", "x")]
            assert (await on.rig.http("POST", "/mcp", twice, body)).error["code"] == -32602

    asyncio.run(scene())


@pytest.mark.parametrize(("transport", "handle"), [("http", "h"), ("sse", "h"), ("websocket", ""), ("stdio", "")])
def test_a_header_names_a_handle_only_where_it_belongs_to_one_request(transport: Any, handle: str) -> None:
    head = Head(transport, "POST", "/mcp", {"toolyard-handle": "h"})
    assert read_handle({}, head) == handle
    meta = {"toolyard/handle": "h", "a/b": 1}
    assert read_handle(meta, head) == "h"
    assert without_handle(meta) == {"a/b": 1}


@pytest.mark.parametrize("policy", ["per-principal", "per-session", "per-handle", "per-call"])
def test_no_two_principals_have_a_key_in_common_whatever_they_name(policy: Any) -> None:
    spec = UpstreamSpec("up", "mcp-stdio", isolation=policy)
    keys: dict[str, set[str]] = {"key:a": set(), "key:a1": set(), "open:x": set(), "operator": set()}
    for who, found in keys.items():
        for era, watcher, handle in itertools.product(
            ("legacy", "modern"), ("", "s", "handle"), ("", "session", "call")
        ):
            call = replace(A_CALL, principal=Principal(who, "key"), era=era, watcher=watcher, handle=handle)
            found.add(isolation_of(spec, call))
            assert owner_of(isolation_of(spec, call)) == who
    assert len(set.union(*keys.values())) == sum(len(found) for found in keys.values())


def test_a_calls_own_session_is_for_calls_and_what_lasts_is_the_principals() -> None:
    spec = UpstreamSpec("up", "mcp-stdio", isolation="per-call")
    assert isolation_of(spec, A_CALL) != isolation_of(spec, A_CALL)
    for method in ("resources/subscribe", "resources/unsubscribe", "subscriptions/listen"):
        assert isolation_of(spec, replace(A_CALL, method=method)) == "key:a"


async def _silent(*_: Any, **__: Any) -> Any:
    raise AssertionError("nobody is told or asked anything here")


A_CALL = Call(
    Principal("key:a", "key"), "default", "tools/call", {}, "modern", "2026-07-28", _silent, _silent, deadline=0.0
)


# -- many at once on one connection ------------------------------------------------------------------------------------


class Collected:
    """A sink that keeps what is sent to it."""

    is_gone = False

    def __init__(self) -> None:
        self.notes: list[Any] = []
        self.answers: list[Any] = []

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        del event_id, retry_ms
        self.notes += [json.loads(message)] if message else []

    def finish(self, answer: Answer) -> None:
        self.answers += [json.loads(answer.body)] if answer.body else []

    def outlive_client(self) -> None:
        """Nothing goes away here."""


def same_for_all(marker: str, session: str | None) -> tuple[dict[str, str], bytes]:
    """A call with the id and the progress token that everybody uses."""
    params = {"name": "mark", "arguments": {"marker": marker}}
    if session is None:
        return modern_request("tools/call", params, request_id=1, meta={"progressToken": "p"})
    body = json.dumps(rpc("tools/call", {**params, "_meta": {"progressToken": "p"}}, 1)).encode()
    return {"content-type": "application/json", "accept": BOTH, "mcp-session-id": session}, body


async def marked(on: Stage, who: str, marker: str, session: str | None) -> None:
    """One such call. What comes of it is its caller's own."""
    headers, body = same_for_all(marker, session)
    sink = Collected()
    await on.rig.gateway.exchange(Head("http", "POST", "/mcp", {**headers, **on.keys[who]}), body, sink)
    *notes, answer = [message for message in sink.notes if message is not None] + sink.answers
    assert answer["id"] == 1
    assert json.loads(answer["result"]["content"][0]["text"]) == marker
    assert [note["params"] for note in notes] == [{"progressToken": "p", "progress": 1, "message": marker}]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_interleaved_calls_of_two_principals_with_the_same_id_and_token_on_one_connection_never_cross(
    era: str, transport: Transport
) -> None:
    bounds = Bounds(in_flight=InFlightLimits(wait_s=60.0))

    async def scene() -> None:
        async with stage(transport, "shared", bounds) as on:
            left = iter(range(10_000))

            async def work(who: str) -> None:
                session = await on.rig.initialize(headers=on.keys[who]) if era == "legacy" else None
                for number in left:
                    await marked(on, who, f"{who} {number}", session)

            await all_of(work(who) for who in "AB" * 12)
            assert next(left, None) is None
            assert on.sessions() == 1
            if on.http is not None:
                assert len(on.http.of("tools/call")) == 10_000

    asyncio.run(scene())
