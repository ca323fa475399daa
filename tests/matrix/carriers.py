"""The matrix's upstream as an HTTP server, an HTTP+SSE server, a WebSocket server and a child process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.gateway.rig import LIMIT_S
from tests.gateway.upstream.fake_http_upstream import Reply, Request, serving
from tests.matrix.conversation import Conversation
from tests.matrix.offers import MADE_TASKS, Json
from tests.matrix.program import MODERN, Program
from tests.matrix.turns import Caller
from toolyard.contract.snapshot import TaskRule, ToolRule, UpstreamKind, UpstreamSpec

CHILD = Path(__file__).with_name("child.py")
STATUSES = {-32601: 404, -32602: 400, -32021: 400, -32022: 400}


class Notes:
    """What happened in an upstream, in order, whichever process it happened in."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []
        self._news = asyncio.Event()

    def add(self, what: str, about: Any) -> None:
        self.entries.append((what, about))
        self._news.set()

    def count(self, what: str, about: Any, since: int = 0) -> int:
        """How often it happened after the first `since` entries."""
        return self.entries[since:].count((what, about))

    async def wait(self, what: str, about: Any, since: int = 0) -> None:
        """Until it happened after the first `since` entries."""
        async with asyncio.timeout(LIMIT_S):
            while not self.count(what, about, since):
                self._news.clear()
                await self._news.wait()

    @asynccontextmanager
    async def taken_from_children(self) -> AsyncIterator[int]:
        """A port that takes notes, one JSON list a line."""
        tasks: set[asyncio.Task[Any]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                async for line in reader:
                    self.add(*json.loads(line))
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def upstream(transport: str, era: str, directory: Path, notes: Notes) -> AbstractAsyncContextManager[UpstreamSpec]:
    """A running upstream of `era` behind `transport`, and how to reach it."""
    made = {"http": _http, "sse": _sse, "websocket": _websocket, "stdio": _stdio}
    return made[transport](era, directory, notes)


def _spec(kind: UpstreamKind, **how: Any) -> UpstreamSpec:
    rules = {name: ToolRule(task=TaskRule(after_s=0.0)) for name in MADE_TASKS}
    return UpstreamSpec("matrix", kind, tools=rules, **how)


@asynccontextmanager
async def _http(era: str, directory: Path, notes: Notes) -> AsyncIterator[UpstreamSpec]:
    program = Program(era, directory, notes.add)
    async with serving(_modern_script(program) if era == "modern" else _LegacyHttp(program)) as fake:
        yield _spec("mcp-http", url=fake.url)


def _modern_script(program: Program) -> Any:
    async def script(request: Request, reply: Reply) -> None:
        if request.method != "POST":
            await reply.whole(405)
        elif "id" not in request.message:
            await reply.whole(202)
        elif request.headers.get("mcp-protocol-version") != MODERN:
            error = {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": [MODERN]}}
            await reply.json({"jsonrpc": "2.0", "id": None, "error": error}, 400)
        else:
            work = asyncio.create_task(program.answer(Caller(_nowhere), request.message, _stream_of(reply)))
            gone = asyncio.create_task(request.gone.wait())
            try:
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                work.cancel()
            await _finish(reply, await work)

    return script


class _LegacyHttp:
    """Streamable HTTP of the older revisions: sessions, questions on a call's stream, a GET stream for the rest."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._sessions: dict[str, tuple[Caller, asyncio.Queue[Json]]] = {}

    async def __call__(self, request: Request, reply: Reply) -> None:
        session_id = request.headers.get("mcp-session-id", "")
        if request.method == "POST" and request.message.get("method") == "initialize":
            session_id = f"session-{len(self._sessions) + 1}"
            queue: asyncio.Queue[Json] = asyncio.Queue()
            caller = Caller(queue.put)
            self._sessions[session_id] = (caller, queue)
            answer = await self._program.answer(caller, request.message, _stream_of(reply))
            await reply.json(answer, mcp_session_id=session_id)
        elif session_id not in self._sessions:
            await reply.whole(404 if session_id else 400)
        elif request.method == "DELETE":
            self._program.gone(self._sessions.pop(session_id)[0])
            await reply.whole(200)
        elif request.method == "GET":
            await self._listen(self._sessions[session_id][1], request, reply)
        else:
            await self._post(self._sessions[session_id][0], request.message, reply)

    async def _listen(self, queue: asyncio.Queue[Json], request: Request, reply: Reply) -> None:
        await reply.stream()
        pump = asyncio.create_task(_pump(queue, reply))
        try:
            await request.gone.wait()
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _post(self, caller: Caller, message: Json, reply: Reply) -> None:
        if "method" not in message:
            caller.take_reply(message)
            await reply.whole(202)
        elif "id" not in message:
            self._program.notified(caller, message)
            await reply.whole(202)
        else:
            answering = asyncio.create_task(self._program.answer(caller, message, _stream_of(reply)))
            try:
                await _finish(reply, await answering)
            finally:
                answering.cancel()


async def _pump(queue: asyncio.Queue[Json], reply: Reply) -> None:
    while True:
        await reply.event(await queue.get())


def _stream_of(reply: Reply) -> Any:
    async def send(message: Json) -> None:
        if not reply.began:
            await reply.stream()
        await reply.event(message)

    return send


async def _finish(reply: Reply, answer: Json | None) -> None:
    """Write the answer: as the last event, or alone. A cancelled request gets none."""
    if answer is None:
        reply.close()
    elif reply.began:
        await reply.event(answer)
        await reply.end()
    else:
        await reply.json(answer, STATUSES.get(answer.get("error", {}).get("code", 0), 200))


async def _nowhere(_message: Json) -> None:
    """A request of its own has nothing besides."""


@asynccontextmanager
async def _sse(era: str, directory: Path, notes: Notes) -> AsyncIterator[UpstreamSpec]:
    program = Program(era, directory, notes.add)
    streams: dict[str, Conversation] = {}

    async def script(request: Request, reply: Reply) -> None:
        if request.method == "POST":
            conversation = streams.get(request.target.partition("session=")[2])
            await reply.whole(202 if conversation else 404)
            if conversation is not None:
                conversation.take(request.message)
            return
        number = str(len(streams) + 1)

        async def send(message: Json) -> None:
            await reply.chunk(b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n")

        await reply.stream()
        conversation = streams[number] = Conversation(program, send)
        await reply.chunk(f"event: endpoint\ndata: /messages?session={number}\n\n".encode())
        try:
            await request.gone.wait()
        finally:
            await conversation.end()

    async with serving(script) as fake:
        yield _spec("mcp-sse", url=fake.url.replace("/mcp", "/sse"))


@asynccontextmanager
async def _websocket(era: str, directory: Path, notes: Notes) -> AsyncIterator[UpstreamSpec]:
    program = Program(era, directory, notes.add)

    async def connected(connection: ServerConnection) -> None:
        async def send(message: Json) -> None:
            try:
                await connection.send(json.dumps(message))
            except ConnectionClosed as closed:
                raise ConnectionResetError from closed

        conversation = Conversation(program, send)
        try:
            async for text in connection:
                conversation.take(json.loads(text))
        finally:
            await conversation.end()

    async with serve(connected, "127.0.0.1", 0, subprotocols=["mcp"], max_size=None) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        yield _spec("websocket", url=f"ws://127.0.0.1:{port}/")


@asynccontextmanager
async def _stdio(era: str, directory: Path, notes: Notes) -> AsyncIterator[UpstreamSpec]:
    async with notes.taken_from_children() as port:
        command = (sys.executable, str(CHILD), era, str(directory), str(port))
        yield _spec("mcp-stdio", command=command)
