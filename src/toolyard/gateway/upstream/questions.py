"""What an upstream asks by requests of its own on a connection: it is asked of the only call that runs, if the session
and its caller declared that, and refused otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, Call
from toolyard.gateway.upstream.asking import NO_ROOTS, may_ask, question
from toolyard.gateway.upstream.pending import Pending
from toolyard.gateway.upstream.waiting import Waiting
from toolyard.kit.errors import PlatformError
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol import jsonrpc

MAX_ASKS = 16
LEND_AFTER_S = 0.1
FIRST_CALL_S = 1.0
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603


class Questions:
    """Takes an upstream's requests and answers them through `note`. `may_ask`: somebody may be asked at all;
    `has_no_roots`: whoever asks for roots is told that there are none; `dropped` counts what was refused."""

    def __init__(
        self, waiting: Waiting, note: Callable[[Json], None], tasks: TaskOwner, dropped: dict[str, int]
    ) -> None:
        self.may_ask = False
        self.has_no_roots = False
        self._waiting = waiting
        self._note = note
        self._tasks = tasks
        self._dropped = dropped
        self._loop = asyncio.get_running_loop()
        self._first_call = asyncio.Event()
        self._asks: dict[str | int, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """There was a call on this connection."""
        self._first_call.set()

    def take(self, message: Json) -> None:
        """Take one request."""
        ask_id, method, params = message["id"], message["method"], message.get("params") or {}
        if type(ask_id) not in (str, int) or type(method) is not str or type(params) is not dict:
            self._dropped["junk"] += 1
            return
        if method == "ping" or (method == "roots/list" and self.has_no_roots):
            nothing: Json = {} if method == "ping" else NO_ROOTS
            self._note(jsonrpc.result(ask_id, nothing))
            return
        if self.may_ask and not self._first_call.is_set() and len(self._tasks) < MAX_ASKS:
            self._tasks.start(self._take_later(message))
            return
        pending = self._waiting.only_call()
        call = pending.call if pending is not None and self.may_ask else None
        if pending is None or call is None or not may_ask(call.client_capabilities, method, params):
            self._dropped["requests"] += 1
            self._note(jsonrpc.error(ask_id, METHOD_NOT_FOUND, "There is no client here that can be asked this."))
        elif len(self._asks) >= MAX_ASKS or ask_id in self._asks:
            self._dropped["requests"] += 1
            self._note(jsonrpc.error(ask_id, INTERNAL_ERROR, "Too many requests at once, or one id twice."))
        else:
            task = self._tasks.start(self._ask(ask_id, message, pending, call))
            self._asks[ask_id] = task
            pending.asks.add(task)

    def withdraw(self, ask_id: Any) -> None:
        """The upstream wants no answer to this any more."""
        task = self._asks.get(ask_id) if type(ask_id) in (str, int) else None
        if task is not None:
            task.cancel()

    async def _take_later(self, message: Json) -> None:
        """A request right after the handshake (roots, most often) is for the call that the session was opened for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_CALL_S):
                await self._first_call.wait()
        self._first_call.set()
        self.take(message)

    async def _ask(self, ask_id: str | int, message: Json, pending: Pending, call: Call) -> None:
        try:
            lending = self._loop.call_later(LEND_AFTER_S, pending.lend_turn)
            try:
                answers = await call.ask({"ask": question(message["method"], message.get("params"))}, held=True)
                answer = jsonrpc.result(ask_id, answers["ask"])
            except AskRefused as refused:
                code = refused.context.get("rpc_code")
                answer = jsonrpc.error(ask_id, code if type(code) is int else INTERNAL_ERROR, refused.message)
            finally:
                lending.cancel()
            if pending.turn is not None:
                await pending.turn.take_again()
            self._note(answer)
        except PlatformError as failure:
            pending.settle(failure)
        except asyncio.CancelledError:
            if pending.id not in self._waiting:
                self._note(jsonrpc.error(ask_id, INTERNAL_ERROR, "The call was given up."))
            raise
        finally:
            self._asks.pop(ask_id, None)
            pending.asks = {ask for ask in pending.asks if ask is not asyncio.current_task()}
            if pending.asks:
                self._loop.call_later(LEND_AFTER_S, pending.lend_turn)
