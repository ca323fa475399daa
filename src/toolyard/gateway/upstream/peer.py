"""JSON-RPC with one upstream over a channel: many calls at once, each answered by its own reply or not at all.

Rules:
- request ids and progress tokens are ours (1, 2, 3 …); a reply counts only if its id is the integer of a request that
  still waits; everything else is dropped and counted, so no call can get another's answer;
- one deadline for each request; at the deadline and on cancellation the upstream is told and the request forgotten;
- when the channel ends, all waiting requests fail at once;
- notifications go to the call that owns their progress token, or to the only call that runs, or to nobody;
- an upstream's own requests go to `ask` of the only call that runs, if the session and its caller declared that.
"""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, Call
from toolyard.gateway.upstream.asking import NO_ROOTS, may_ask, question
from toolyard.gateway.upstream.channel import Channel, ChannelClosed
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamInvalid, UpstreamTimedOut
from toolyard.gateway.upstream.notices import Notices, Throttle
from toolyard.gateway.upstream.turns import Turn
from toolyard.kit.errors import PlatformError
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol import jsonrpc
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import LOG_LEVELS
from toolyard.protocol.strict_json import encode

MAX_AT_ONCE = 256
MAX_ASKS = 16
MANY_OWNERS = 2
MAX_UNSENT_NOTES = 64
LEND_AFTER_S = 0.1
FIRST_CALL_S = 1.0
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603
UNCANCELLABLE = frozenset({"initialize"})
"""2025-11-25 basic/utilities/cancellation: a client never cancels its `initialize`."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode
_RANK = {level: rank for rank, level in enumerate(LOG_LEVELS)}


class PeerEvents(Protocol):
    """What a peer tells its owner: notifications that belong to no call, and its end (once)."""

    def notified(self, method: str, params: Json) -> None: ...
    def ended(self, end: ChannelClosed) -> None: ...


class _Pending:
    """One request that waits for its reply."""

    __slots__ = ("asks", "call", "id", "method", "notices", "reply", "sent", "turn")

    def __init__(
        self, request_id: int, method: str, call: Call | None, reply: asyncio.Future[Json], turn: Turn | None
    ) -> None:
        self.id = request_id
        self.method = method
        self.sent = False
        self.call = call
        self.reply = reply
        self.notices: Notices | None = None
        self.asks: set[asyncio.Task[None]] = set()
        self.turn = turn

    def lend_turn(self) -> None:
        """The call waits for answers and is not at work, unless it has ended or has been answered meanwhile."""
        if self.turn is not None and self.asks:
            self.turn.lend()


class Peer:
    """One upstream connection. `start` begins to read; `aclose` ends it and everything it started."""

    def __init__(self, channel: Channel, events: PeerEvents, *, name: str, per_second: int) -> None:
        """`per_second`: notifications of one call, and of all that belong to none, that are let through."""
        self.channel = channel
        self.name = name
        self.end: ChannelClosed | None = None
        self.may_ask = False
        self.has_no_roots = False
        self.dropped = {"replies": 0, "notifications": 0, "requests": 0, "junk": 0}
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._last_id = 0
        self._pending: dict[int, _Pending] = {}
        self._first_call = asyncio.Event()
        self._owners: set[str] = set()
        self._asks: dict[str | int, asyncio.Task[None]] = {}
        self._tasks = TaskOwner(f"upstream {name}")
        self._unsent_notes = 0
        self._per_second = per_second
        self._throttle = Throttle(per_second)

    def start(self) -> None:
        self._tasks.start(self._read())

    @property
    def waiting(self) -> int:
        """How many requests wait for their reply."""
        return len(self._pending)

    def mint(self) -> int:
        """A new request id, which is the request's progress token as well."""
        self._last_id += 1
        return self._last_id

    async def request(
        self,
        request_id: int,
        method: str,
        params: Json,
        *,
        deadline: float,
        call: Call | None = None,
        turn: Turn | None = None,
    ) -> Json:
        """The result of one request. `deadline`: loop time, or infinity; `turn`: the call's. Raises RelayedError for
        the upstream's errors and an UpstreamError for everything else (`may_have_run` false if nothing was sent)."""
        if call is not None:
            self._first_call.set()
            if len(self._owners) < MANY_OWNERS:
                self._owners.add(call.principal.id)
        pending = _Pending(request_id, method, call, self._loop.create_future(), turn)
        message = encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        self._pending[request_id] = pending
        timer = None
        try:
            await self._send(message, deadline, pending)
            if deadline != math.inf:
                timer = self._loop.call_at(deadline, self._expire, request_id)
            result = await pending.reply
            if pending.notices is not None:
                await pending.notices.finish(deadline)
            return result
        except asyncio.CancelledError:
            self._tell_cancelled(pending, "the caller cancelled")
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._forget(pending)

    def notify(self, method: str, params: Json | None = None) -> None:
        """Send a notification without waiting; it is dropped if the upstream reads nothing."""
        self.note(jsonrpc.notification(method, params))

    async def aclose(self) -> None:
        """Close the channel; whatever still waits fails."""
        try:
            await self.channel.aclose()
        finally:
            await self._tasks.aclose()
            self._ended(ChannelClosed("it was closed"))

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _send(self, message: bytes, deadline: float, pending: _Pending) -> None:
        try:
            if self.end is not None:
                raise ChannelClosed(self.end.reason, self.end.failure)
            if self.channel.offer(message):
                pending.sent = True
            else:
                pending.sent = not self.channel.sends_whole
                async with asyncio.timeout_at(None if deadline == math.inf else deadline):
                    await self.channel.send(message)
                pending.sent = True
        except ChannelClosed as end:
            self._ended(end)
            raise _failure(
                end.failure("The upstream went away before the request was sent.", detail=end.reason),
                may_have_run=end.may_have_sent,
            ) from end
        except TimeoutError:
            self._tell_cancelled(pending, "it took too long")
            late = UpstreamTimedOut("The upstream did not take the request in time.")
            raise _failure(late, may_have_run=pending.sent) from None

    def note(self, message: Json) -> None:
        """Send a message that nothing waits for; dropped if very many are waiting to be sent."""
        data = encode(message)
        try:
            if self.end is None and not self.channel.offer(data) and self._unsent_notes < MAX_UNSENT_NOTES:
                self._unsent_notes += 1
                self._tasks.start(self._send_note(data))
        except ChannelClosed:
            return

    async def _send_note(self, data: bytes) -> None:
        try:
            await self.channel.send(data)
        except (ChannelClosed, UpstreamError):
            return
        finally:
            self._unsent_notes -= 1

    def _expire(self, request_id: int) -> None:
        pending = self._pending.get(request_id)
        if pending is None or pending.reply.done():
            return
        pending.reply.set_exception(UpstreamTimedOut())
        self._tell_cancelled(pending, "it took too long")

    def _tell_cancelled(self, pending: _Pending, reason: str) -> None:
        waits = self._pending.pop(pending.id, None) is not None
        if waits and pending.sent and pending.method not in UNCANCELLABLE:
            self.notify("notifications/cancelled", {"requestId": pending.id, "reason": reason})

    def _forget(self, pending: _Pending) -> None:
        self._pending.pop(pending.id, None)
        for ask in pending.asks:
            ask.cancel()
        if pending.notices is not None:
            pending.notices.close()
        if pending.reply.done() and not pending.reply.cancelled():
            pending.reply.exception()

    # -- receiving -----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Take messages as they come; a flood of them leaves the loop to others now and then."""
        try:
            while True:
                for _ in range(MAX_AT_ONCE):
                    self._take(await self.channel.receive())
                await asyncio.sleep(0)
        except ChannelClosed as end:
            self._ended(end)

    def _ended(self, end: ChannelClosed) -> None:
        if self.end is not None:
            return
        self.end = end
        for pending in self._pending.values():
            if not pending.reply.done():
                pending.reply.set_exception(end.failure(detail=end.reason))
        self._events.ended(end)

    def _take(self, data: bytes) -> None:
        try:
            message = _decode(data)
        except _UNREADABLE:
            self._take_unreadable(data)
            return
        if type(message) is dict and "method" not in message:
            self._take_reply(message)
        elif type(message) is not dict or message.get("jsonrpc") != "2.0":
            self.dropped["junk"] += 1
        elif "id" in message:
            self._take_request(message)
        else:
            self._take_notification(message, len(data))

    def _take_unreadable(self, data: bytes) -> None:
        """The text may be readable enough to say whose answer it spoils (a lone surrogate, a number out of range)."""
        self.dropped["junk"] += 1
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            return
        if type(message) is dict and "method" not in message and (pending := self._owner(message)) is not None:
            pending.reply.set_exception(UpstreamInvalid("The upstream's answer is not valid JSON."))

    def _owner(self, reply: Json) -> _Pending | None:
        reply_id = reply.get("id")
        pending = self._pending.pop(reply_id, None) if type(reply_id) is int else None
        if pending is None or pending.reply.done():
            self.dropped["replies"] += 1
            return None
        return pending

    def _take_reply(self, reply: Json) -> None:
        pending = self._owner(reply)
        if pending is None:
            return
        result = reply.get("result")
        if type(result) is dict and "error" not in reply and reply.get("jsonrpc") == "2.0":
            pending.reply.set_result(result)
        else:
            pending.reply.set_exception(_fault(reply))

    # -- the upstream's own messages -----------------------------------------------------------------------------------

    def _take_notification(self, message: Json, size: int) -> None:
        method, params = message["method"], message.get("params") or {}
        if type(method) is not str or type(params) is not dict:
            self.dropped["junk"] += 1
        elif method == "notifications/progress":
            self._take_progress(params, size)
        elif method == "notifications/cancelled":
            self._withdraw_ask(params.get("requestId"))
        elif method == "notifications/message":
            self._take_log(params, size)
        elif not self._throttle.passes():
            self.dropped["notifications"] += 1
        elif method == "notifications/elicitation/complete":
            self._deliver(self._only_call(), method, params, size)
        else:
            self._events.notified(method, params)

    def _take_progress(self, params: Json, size: int) -> None:
        token = params.pop("progressToken", None)
        pending = self._pending.get(token) if type(token) is int else None
        wanted = pending is not None and pending.call is not None and pending.call.wants_progress
        self._deliver(pending if wanted else None, "notifications/progress", params, size)

    def _take_log(self, params: Json, size: int) -> None:
        pending = self._only_call()
        least = pending.call.log_level if pending is not None and pending.call is not None else None
        level = params.get("level")
        rank = _RANK.get(level, -1) if type(level) is str else -1
        self._deliver(
            pending if least is not None and rank >= _RANK.get(least, 0) else None,
            "notifications/message",
            params,
            size,
        )

    def _deliver(self, pending: _Pending | None, method: str, params: Json, size: int) -> None:
        if pending is None or pending.call is None or pending.reply.done():
            self.dropped["notifications"] += 1
            return
        if pending.notices is None:
            pending.notices = Notices(pending.call.emit, self._per_second)
        if not pending.notices.offer({"jsonrpc": "2.0", "method": method, "params": params}, size):
            self.dropped["notifications"] += 1

    def _only_call(self) -> _Pending | None:
        """The call that a message without an address belongs to: the only one, or any one where all are of one client.

        On a connection that several principals have used there is none: the message may be about a call that was given
        up but still runs over there."""
        if len(self._owners) >= MANY_OWNERS:
            return None
        last: _Pending | None = None
        for pending in self._pending.values():
            if pending.call is None or (pending.turn is not None and pending.turn.is_lent):
                continue
            if last is not None and last.call is not None:
                same = pending.call.watcher and pending.call.watcher == last.call.watcher
                if not same:
                    return None
            last = pending
        return last

    def _take_request(self, message: Json) -> None:
        ask_id, method, params = message["id"], message["method"], message.get("params") or {}
        if type(ask_id) not in (str, int) or type(method) is not str or type(params) is not dict:
            self.dropped["junk"] += 1
            return
        if method == "ping" or (method == "roots/list" and self.has_no_roots):
            nothing: Json = {} if method == "ping" else NO_ROOTS
            self.note(jsonrpc.result(ask_id, nothing))
            return
        if self.may_ask and not self._first_call.is_set() and len(self._tasks) < MAX_ASKS:
            self._tasks.start(self._take_later(message))
            return
        pending = self._only_call()
        call = pending.call if pending is not None and self.may_ask else None
        if pending is None or call is None or not may_ask(call.client_capabilities, method, params):
            self.dropped["requests"] += 1
            self.note(jsonrpc.error(ask_id, METHOD_NOT_FOUND, "There is no client here that can be asked this."))
        elif len(self._asks) >= MAX_ASKS or ask_id in self._asks:
            self.dropped["requests"] += 1
            self.note(jsonrpc.error(ask_id, INTERNAL_ERROR, "Too many requests at once, or one id twice."))
        else:
            task = self._tasks.start(self._ask(ask_id, message, pending, call))
            self._asks[ask_id] = task
            pending.asks.add(task)

    async def _take_later(self, message: Json) -> None:
        """A request right after the handshake (roots, most often) is for the call that the session was opened for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_CALL_S):
                await self._first_call.wait()
        self._first_call.set()
        self._take_request(message)

    async def _ask(self, ask_id: str | int, message: Json, pending: _Pending, call: Call) -> None:
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
            self.note(answer)
        except PlatformError as failure:
            if not pending.reply.done():
                pending.reply.set_exception(failure)
        except asyncio.CancelledError:
            if pending.id not in self._pending:
                self.note(jsonrpc.error(ask_id, INTERNAL_ERROR, "The call was given up."))
            raise
        finally:
            self._asks.pop(ask_id, None)
            pending.asks = {ask for ask in pending.asks if ask is not asyncio.current_task()}
            if pending.asks:
                self._loop.call_later(LEND_AFTER_S, pending.lend_turn)

    def _withdraw_ask(self, ask_id: Any) -> None:
        task = self._asks.get(ask_id) if type(ask_id) in (str, int) else None
        if task is not None:
            task.cancel()


def _fault(reply: Json) -> Exception:
    """What a reply without a usable result means for its call."""
    error = reply.get("error")
    if "result" in reply or type(error) is not dict or reply.get("jsonrpc") != "2.0":
        return UpstreamInvalid("The upstream's answer is neither a result nor an error.")
    code, message = error.get("code"), error.get("message")
    if type(code) is not int or type(message) is not str:
        return UpstreamInvalid("The upstream's answer is an error without code or message.")
    return RelayedError(code, message, error.get("data"))


def _failure(error: UpstreamError, *, may_have_run: bool) -> UpstreamError:
    error.may_have_run = may_have_run
    return error
