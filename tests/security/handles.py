"""What a client is given and brings back, and every way to bring it that is not its own.

A `Handle` says how its owner comes by it (`obtain`), how it is used (`use`) and with what the use of a wrong one is
refused. `misuses` are other speakers' and other calls' ways of using it. One more kind of handle is one more entry of
HANDLES; the matrix in `test_handles.py` tries it with every misuse on every transport.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.gateway.fake_upstream import Fakes, FakeUpstream
from tests.gateway.rig import Rig, bearer, modern_request, rpc
from tests.gateway.test_conversations import Line, PipeLine, SocketLine, SseLine
from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.downstream.duplex import Duplex
from toolyard.gateway.downstream.stdio import operator_head
from toolyard.gateway.held import INPUT_KEY
from toolyard.protocol.tasks import TASKS_EXTENSION

ELICIT: Json = {"elicitation": {}}
ABLE: Json = {**ELICIT, "extensions": {TASKS_EXTENSION: {}}}
HELLO: Json = {"protocolVersion": "2025-11-25", "capabilities": ELICIT, "clientInfo": {"name": "t", "version": "1"}}
ASKED: Json = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {"type": "object"}}}
URI = "doc://1"
MANY = [f"t{number:04}" for number in range(1500)]
UPSTREAM_STATE = "state-of-the-upstream"
TASK: Json = {"taskId": "task-of-the-upstream", "status": "working", "ttlMs": None}
TRANSPORTS = {
    "http-modern": "modern",
    "websocket-modern": "modern",
    "stdio-modern": "modern",
    "http-legacy": "legacy",
    "sse-legacy": "legacy",
    "websocket-legacy": "legacy",
    "stdio-legacy": "legacy",
}


class Speaker:
    """A client of one server with one key, in one era, on one transport. On standard input and output everybody is the
    operator, so there is nobody else to be."""

    def __init__(self, era: str) -> None:
        self.era = era
        self._next_id = 0

    async def ask(self, method: str, params: Json | None = None) -> Json:
        """The message that answers one request."""
        self._next_id += 1
        return await self.exchange(method, params or {}, f"r{self._next_id}")

    async def exchange(self, method: str, params: Json, request_id: str, meta: Json | None = None) -> Json:
        """The answer to a request of this id; `meta` is what a modern one says besides."""
        raise NotImplementedError


class HttpSpeaker(Speaker):
    def __init__(self, rig: Rig, era: str, path: str, headers: dict[str, str], session: str | None) -> None:
        super().__init__(era)
        self.rig, self.path, self.headers, self.session = rig, path, headers, session

    async def exchange(self, method: str, params: Json, request_id: str, meta: Json | None = None) -> Json:
        if self.era == "modern":
            more: Any = {"path": self.path, "headers": self.headers, "capabilities": ABLE, "request_id": request_id}
            return dict((await self.rig.modern(method, params, meta=meta, **more)).message)
        message = rpc(method, params, request_id)
        return dict((await self.rig.legacy(message, self.session, path=self.path, headers=self.headers)).message)


class LineSpeaker(Speaker):
    def __init__(self, line: Line, era: str) -> None:
        super().__init__(era)
        self.line = line
        self.questions: list[Json] = []

    async def exchange(self, method: str, params: Json, request_id: str, meta: Json | None = None) -> Json:
        message = rpc(method, params, request_id)
        if self.era == "modern":
            sent = modern_request(method, params, request_id=request_id, capabilities=ABLE, meta=meta)
            message = json.loads(sent[1])
        await self.tell(message)
        while (heard := await self.line.hear()).get("id") != request_id or "method" in heard:
            if "method" in heard and "id" in heard:
                self.questions.append(heard)
        return dict(heard)

    async def tell(self, message: Json) -> None:
        await self.line.say(message)


@asynccontextmanager
async def speaker(rig: Rig, transport: str, key: str, server: str = "default") -> AsyncIterator[Speaker]:
    """A client on one of TRANSPORTS, greeted."""
    carrier, _, era = transport.partition("-")
    headers = bearer(key)
    if carrier == "http":
        path = f"/mcp/{server}"
        session = await rig.initialize(path=path, headers=headers, capabilities=ELICIT) if era == "legacy" else None
        yield HttpSpeaker(rig, era, path, headers, session)
        return
    async with _line(rig, carrier, headers, server) as line:
        made = LineSpeaker(line, era)
        if era == "legacy":
            assert "result" in await made.ask("initialize", HELLO)
        yield made


class KeyedSseLine(SseLine):
    """The POSTs of HTTP+SSE with a key."""

    def __init__(self, rig: Rig, stream: Any, path: str, headers: dict[str, str]) -> None:
        super().__init__(rig, stream, path)
        self.headers = {"content-type": "application/json", **headers}

    async def say(self, message: Any) -> None:
        reply = await self.rig.http("POST", self.path, self.headers, json.dumps(message).encode())
        assert reply.status == 202


@asynccontextmanager
async def _line(rig: Rig, carrier: str, headers: dict[str, str], server: str) -> AsyncIterator[Line]:
    if carrier == "sse":
        stream = await rig.open("GET", f"/sse/{server}", {"accept": "text/event-stream", **headers})
        yield KeyedSseLine(rig, stream, (await stream.event()).data.decode(), headers)
        stream.close()
    elif carrier == "websocket":
        url = f"ws://127.0.0.1:{rig.port}/ws/mcp/{server}"
        async with connect(url, subprotocols=[Subprotocol("mcp")], additional_headers=headers) as socket:
            yield SocketLine(socket)
    else:
        pipe = PipeLine()
        serving = asyncio.create_task(Duplex(rig.gateway.exchange, operator_head(server), pipe).run())
        yield pipe
        await pipe.close()
        await serving


@dataclass(frozen=True)
class Handle:
    """`obtain` makes the owner get one; `use` brings it back; `works` says of the answer that it was taken. `reason`
    and `code` are what the use of a wrong one is refused with. `other_calls` are uses for what it was not given for.
    `expires_after_s`: for how long it serves, if not for ever; `in_memory`: it serves in its own process only."""

    obtain: Callable[[Speaker], Awaitable[str]]
    use: Callable[[Speaker, str], Awaitable[Json]]
    works: Callable[[Json], bool]
    reason: str
    code: int
    eras: frozenset[str]
    other_calls: tuple[Callable[[Speaker, str], Awaitable[Json]], ...] = ()
    expires_after_s: float | None = None
    in_memory: bool = False


def _tool(name: str, state: str | None = None, **arguments: Any) -> Json:
    retry = {} if state is None else {"requestState": state, "inputResponses": {"k": {"action": "accept"}}}
    return {"name": name, "arguments": arguments, **retry}


async def _asked(speaker: Speaker) -> str:
    answer = await speaker.ask("tools/call", _tool("t0001", a=1))
    assert answer["result"]["resultType"] == "input_required"
    return str(answer["result"]["requestState"])


async def _held(speaker: Speaker) -> str:
    answer = await speaker.ask("tools/call", _tool("t0003", a=1))
    assert answer["result"]["inputRequests"] == {"k": ASKED}
    return str(answer["result"]["requestState"])


async def _task(speaker: Speaker) -> str:
    answer = await speaker.ask("tools/call", _tool("t0002"))
    assert answer["result"]["resultType"] == "task"
    return str(answer["result"]["taskId"])


async def _next_page(speaker: Speaker) -> str:
    return str((await speaker.ask("tools/list"))["result"]["nextCursor"])


HANDLES: dict[str, Handle] = {
    "requestState": Handle(
        obtain=_asked,
        use=lambda speaker, state: speaker.ask("tools/call", _tool("t0001", state, a=1)),
        works=lambda message: message["result"]["content"][0]["text"] == "done",
        reason="state_refused",
        code=-32602,
        eras=frozenset({"modern"}),
        other_calls=(
            lambda speaker, state: speaker.ask("tools/call", _tool("t0001", state, a=2)),
            lambda speaker, state: speaker.ask("tools/call", _tool("t0002", state, a=1)),
            lambda speaker, state: speaker.ask("prompts/get", {**_tool("t0001", state, a=1)}),
        ),
        expires_after_s=600.0,
    ),
    "requestState of a held call": Handle(
        obtain=_held,
        use=lambda speaker, state: speaker.ask("tools/call", _tool("t0003", state, a=1)),
        works=lambda message: message["result"]["content"][0]["text"] == "done",
        reason="state_refused",
        code=-32602,
        eras=frozenset({"modern"}),
        other_calls=(
            lambda speaker, state: speaker.ask("tools/call", _tool("t0003", state, a=2)),
            lambda speaker, state: speaker.ask("tools/call", _tool("t0001", state, a=1)),
            lambda speaker, state: speaker.ask("prompts/get", {**_tool("t0003", state, a=1)}),
        ),
        expires_after_s=600.0,
        in_memory=True,
    ),
    "cursor": Handle(
        obtain=_next_page,
        use=lambda speaker, cursor: speaker.ask("tools/list", {"cursor": cursor}),
        works=lambda message: len(message["result"]["tools"]) == len(MANY) - 1000,
        reason="cursor_invalid",
        code=-32602,
        eras=frozenset({"modern", "legacy"}),
        other_calls=(
            lambda speaker, cursor: speaker.ask("prompts/list", {"cursor": cursor}),
            lambda speaker, cursor: speaker.ask("resources/list", {"cursor": cursor}),
        ),
    ),
    "task id": Handle(
        obtain=_task,
        use=lambda speaker, task_id: speaker.ask("tasks/get", {"taskId": task_id}),
        works=lambda message: message["result"]["status"] == TASK["status"],
        reason="task_unknown",
        code=-32602,
        eras=frozenset({"modern"}),
    ),
}


def forgeries(given: str) -> dict[str, str]:
    """What was never given, made from what was."""
    middle = len(given) // 2
    other = "A" if given[middle] != "A" else "B"
    return {
        "empty": "",
        "invented": "AAAA" * 20,
        "changed": given[:middle] + other + given[middle + 1 :],
        "cut": given[:-4],
        "longer": given + "AAAA",
        "padded": given + "=",
        "not-ascii": "\u00e9" + given[1:],
    }


def upstreams() -> Fakes:
    """One upstream with lists of two pages and a resource, whose first tool asks once, whose second makes tasks and
    whose third asks in mid-call."""

    async def answer(call: Call, method: str, params: Json) -> Json:
        if method == "tools/call" and params["name"] == "t0001" and call.upstream_state is None:
            await call.ask({"k": ASKED}, state=UPSTREAM_STATE)
        if method == "tools/call" and params["name"] == "t0003":
            params = {**ASKED["params"], "_meta": {INPUT_KEY: "k"}}
            await call.ask({"q": {**ASKED, "params": params}}, held=True)
            return {"content": [{"type": "text", "text": "done"}]}
        if method == "tools/call" and params["name"] == "t0002":
            return {"resultType": "task", **TASK}
        if method.startswith("tasks/"):
            assert params["taskId"] == TASK["taskId"]
            return TASK if method == "tasks/get" else {}
        if method == "tools/call" and params["name"] == "t0000":
            await call.emit(
                {"method": "notifications/progress", "params": {"progress": 1, "message": str(call.params)}}
            )
        return {"content": [{"type": "text", "text": "done"}]}

    def prepare(fake: FakeUpstream) -> None:
        fake.pushes, fake.answer = True, answer

    capabilities: Json = {"tools": {}, "prompts": {}, "resources": {"subscribe": True}}
    capabilities["extensions"] = {TASKS_EXTENSION: {}}
    offers = observed("a", *MANY, prompts=MANY, resources=[URI, *MANY], capabilities=capabilities)
    return Fakes(offers, prepare=prepare)
