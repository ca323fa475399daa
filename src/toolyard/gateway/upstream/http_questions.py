"""What a legacy server asks on a session over HTTP: each request answered once, on behalf of the call it belongs to.

2025-11-25 basic/transports: a request of the server comes on the stream of the call it is about, or on the session's
GET stream; the answer is a POST of its own. Questions are bounded for each call, and end with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final, Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, Call
from toolyard.gateway.upstream.asking import NO_ROOTS, may_ask, question
from toolyard.gateway.upstream.errors import UpstreamIncomplete
from toolyard.gateway.upstream.http_delivery import Announcer
from toolyard.gateway.upstream.http_running import Running, SessionLost
from toolyard.gateway.upstream.http_session_calls import SessionCalls
from toolyard.kit.errors import PlatformError
from toolyard.protocol import jsonrpc
from toolyard.protocol.jsonrpc import Notification, Request

METHOD_NOT_FOUND: Final = -32601
INTERNAL_ERROR: Final = -32603
MAX_ASKS: Final = 16
MAX_TASKS: Final = 1_000


class Answering(Protocol):
    """The session that is asked: how an answer goes up, and what may be answered."""

    capabilities: Json
    announcer: Announcer
    calls: SessionCalls

    async def answer(self, message: Json) -> None: ...
    async def answer_quietly(self, message: Json) -> None: ...
    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...
    @property
    def busy_with(self) -> int: ...


class Questions:
    """The open questions of one session."""

    def __init__(self, session: Answering) -> None:
        self._session = session
        self._of_nobody: dict[int | str, asyncio.Task[None]] = {}

    def take(self, request: Request, running: Running | None) -> None:
        """Begin to answer a request of the server, on behalf of `running` if it is known whose it is. One whose id is
        in use gets no answer of its own, and one too many an error."""
        session, asks = self._session, self._of_nobody if running is None else running.asks
        if request.id in asks or len(asks) >= MAX_ASKS:
            session.announcer.counts["strays"] += 1
            if request.id not in asks and session.busy_with < MAX_TASKS:
                refusal = jsonrpc.error(request.id, INTERNAL_ERROR, "Too many requests at once.")
                session.spawn(session.answer_quietly(refusal))
            return
        task = asks[request.id] = session.spawn(self._reply_to(request, running))
        task.add_done_callback(lambda _: _drop(asks, request.id, task))

    def withdraw(self, notification: Notification) -> None:
        """The server needs no answer any more."""
        ask_id = notification.params.get("requestId")
        if not isinstance(ask_id, str | int):
            return
        for asks in (self._of_nobody, *(running.asks for running in self._session.calls.running.values())):
            task = asks.pop(ask_id, None)
            if task is not None:
                task.cancel()

    async def _reply_to(self, request: Request, running: Running | None) -> None:
        session = self._session
        try:
            await session.answer(await self._answer_to(request, running.call if running is not None else None))
        except asyncio.CancelledError:
            if running is not None and running.ended:
                given_up = jsonrpc.error(request.id, INTERNAL_ERROR, "The call was given up.")
                session.spawn(session.answer_quietly(given_up))
            raise
        except (PlatformError, SessionLost) as failure:
            if running is not None:
                lost = UpstreamIncomplete(f"Upstream {session.announcer.upstream_id!r} lost its session.")
                running.fail(lost if isinstance(failure, SessionLost) else failure)

    async def _answer_to(self, request: Request, call: Call | None) -> Json:
        declared: Mapping[str, Any] = self._session.capabilities
        if request.method == "ping":
            return jsonrpc.result(request.id, {})
        if call is None and request.method == "roots/list" and "roots" in declared:
            return jsonrpc.result(request.id, NO_ROOTS)
        if call is None or not may_ask(declared, request.method, request.params):
            return jsonrpc.error(request.id, METHOD_NOT_FOUND, "Method not found")
        try:
            answers = await call.ask({"k": question(request.method, request.params)}, held=True)
        except AskRefused as refusal:
            code = refusal.context.get("rpc_code")
            return jsonrpc.error(request.id, code if isinstance(code, int) else METHOD_NOT_FOUND, refusal.message)
        return jsonrpc.result(request.id, answers.get("k", {}))


def _drop(asks: dict[int | str, asyncio.Task[None]], ask_id: int | str, task: asyncio.Task[None]) -> None:
    """Forget an answered question, unless another one has its id by now."""
    if asks.get(ask_id) is task:
        del asks[ask_id]
