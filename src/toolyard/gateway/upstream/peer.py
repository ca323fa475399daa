"""JSON-RPC with one upstream over a channel: many calls at once, each answered by its own reply or not at all.

Rules:
- request ids and progress tokens are ours (1, 2, 3 …); a reply counts only if its id is the integer of a request that
  still waits; everything else is dropped and counted, so no call can get another's answer;
- one deadline for each request; at the deadline and on cancellation the upstream is told and the request forgotten;
- when the channel ends, all waiting requests fail at once;
- notifications go to the call that owns their progress token, or to the only call that runs, or to nobody;
- an upstream's own requests are `questions`.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, Protocol

import msgspec

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.channel import Channel, ChannelClosed
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamInvalid, UpstreamTimedOut
from toolyard.gateway.upstream.notices import Notices, Throttle
from toolyard.gateway.upstream.pending import Pending, outcome_of
from toolyard.gateway.upstream.questions import Questions
from toolyard.gateway.upstream.turns import Turn
from toolyard.gateway.upstream.waiting import Waiting
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol import jsonrpc
from toolyard.protocol.revisions import LOG_LEVELS
from toolyard.protocol.strict_json import encode

MAX_UNSENT_NOTES = 64
UNCANCELLABLE = frozenset({"initialize"})
"""2025-11-25 basic/utilities/cancellation: a client never cancels its `initialize`."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode
_RANK = {level: rank for rank, level in enumerate(LOG_LEVELS)}


class PeerEvents(Protocol):
    """What a peer tells its owner: notifications that belong to no call, and its end (once)."""

    def notified(self, method: str, params: Json) -> None: ...
    def ended(self, end: ChannelClosed) -> None: ...


class Peer:
    """One upstream connection. `start` begins to read; `aclose` ends it and everything it started."""

    def __init__(self, channel: Channel, events: PeerEvents, *, name: str, per_second: int) -> None:
        """`per_second`: notifications of one call, and of all that belong to none, that are let through."""
        self.channel = channel
        self.name = name
        self.end: ChannelClosed | None = None
        self.dropped = {"replies": 0, "notifications": 0, "requests": 0, "junk": 0}
        self._events = events
        self._last_id = 0
        self._waiting = Waiting(self._expire)
        self._tasks = TaskOwner(f"upstream {name}")
        self.questions = Questions(self._waiting, self.note, self._tasks, self.dropped)
        self._unsent_notes = 0
        self._closing = False
        self._per_second = per_second
        self._throttle = Throttle(per_second)

    def start(self) -> None:
        self.channel.listen(self._take, self._ended)

    @property
    def waiting(self) -> int:
        """How many requests wait for their reply."""
        return len(self._waiting)

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
            self.note_call(call)
        pending = Pending(request_id, method, call, turn)
        message = encode(jsonrpc.request(request_id, method, params))
        self._waiting.add(pending)
        try:
            await self._send(message, deadline, pending)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._tell_cancelled(pending, "the caller cancelled")
            self._waiting.pop(request_id)
            pending.close()
            raise
        self._waiting.watch(pending, deadline)
        return await self.finish(pending)

    def note_call(self, call: Call) -> None:
        """Whoever is asked or told something may be this call's client. Once is enough for calls of one client."""
        self.questions.begin()
        self._waiting.used_by(call)

    @property
    def takes_at_once(self) -> bool:
        """Nothing has to be waited for to send a request."""
        return self.end is None and self.channel.takes_at_once

    def send_at_once(self, pending: Pending, message: bytes, deadline: float) -> None:
        """Send a request of a call that was noted (`note_call`); only while this `takes_at_once`. When the request is
        settled, its result is taken, or `finish` finishes it; before that it may be given up."""
        pending.sent = self.channel.offer(message)
        self._waiting.add(pending)
        self._waiting.watch(pending, deadline)

    async def finish(self, pending: Pending) -> Json:
        """The result of a request that was sent, after its notifications. Raises as `request`."""
        try:
            result = await pending.settled()
            if pending.notices is not None:
                await pending.notices.finish(pending.expires_at)
            return result
        except asyncio.CancelledError:
            self.give_up(pending)
            raise
        finally:
            self._waiting.pop(pending.id)
            pending.close()

    def give_up(self, pending: Pending) -> None:
        """The caller has cancelled."""
        self._tell_cancelled(pending, "the caller cancelled")
        pending.close()

    def notify(self, method: str, params: Json | None = None) -> None:
        """Send a notification without waiting; it is dropped if the upstream reads nothing."""
        self.note(jsonrpc.notification(method, params))

    async def aclose(self) -> None:
        """Close the channel; whatever still waits fails, and not because the other side has ended."""
        self._closing = True
        try:
            await self.channel.aclose()
        finally:
            await self._tasks.aclose()
            self._ended(ChannelClosed("it was closed"))

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _send(self, message: bytes, deadline: float, pending: Pending) -> None:
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

    def _expire(self, pending: Pending) -> None:
        if pending.outcome is not None:
            return
        self._tell_cancelled(pending, "it took too long")
        pending.settle(UpstreamTimedOut())

    def _tell_cancelled(self, pending: Pending, reason: str) -> None:
        waits = self._waiting.pop(pending.id) is not None
        if waits and pending.sent and pending.method not in UNCANCELLABLE:
            self.notify("notifications/cancelled", {"requestId": pending.id, "reason": reason})

    # -- receiving -----------------------------------------------------------------------------------------------------

    def _ended(self, end: ChannelClosed) -> None:
        if self.end is not None:
            return
        if self._closing:
            end = ChannelClosed("it was closed")
        self.end = end
        self._waiting.settle_all(lambda: end.failure(detail=end.reason))
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
            self.questions.take(message)
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
            pending.settle(UpstreamInvalid("The upstream's answer is not valid JSON."))

    def _owner(self, reply: Json) -> Pending | None:
        pending = self._waiting.pop(reply.get("id"))
        if pending is None or pending.outcome is not None:
            self.dropped["replies"] += 1
            return None
        return pending

    def _take_reply(self, reply: Json) -> None:
        pending = self._owner(reply)
        if pending is not None:
            pending.settle(outcome_of(reply))

    # -- the upstream's notifications ----------------------------------------------------------------------------------

    def _take_notification(self, message: Json, size: int) -> None:
        method, params = message["method"], message.get("params") or {}
        if type(method) is not str or type(params) is not dict:
            self.dropped["junk"] += 1
        elif method == "notifications/progress":
            self._take_progress(params, size)
        elif method == "notifications/cancelled":
            self.questions.withdraw(params.get("requestId"))
        elif method == "notifications/message":
            self._take_log(params, size)
        elif not self._throttle.passes():
            self.dropped["notifications"] += 1
        elif method == "notifications/elicitation/complete":
            self._deliver(self._waiting.only_call(), method, params, size)
        else:
            self._events.notified(method, params)

    def _take_progress(self, params: Json, size: int) -> None:
        pending = self._waiting.get(params.pop("progressToken", None))
        wanted = pending is not None and pending.call is not None and pending.call.wants_progress
        self._deliver(pending if wanted else None, "notifications/progress", params, size)

    def _take_log(self, params: Json, size: int) -> None:
        pending = self._waiting.only_call()
        least = pending.call.log_level if pending is not None and pending.call is not None else None
        level: Any = params.get("level")
        rank = _RANK.get(level, -1) if type(level) is str else -1
        self._deliver(
            pending if least is not None and rank >= _RANK.get(least, 0) else None,
            "notifications/message",
            params,
            size,
        )

    def _deliver(self, pending: Pending | None, method: str, params: Json, size: int) -> None:
        if pending is None or pending.call is None or pending.outcome is not None:
            self.dropped["notifications"] += 1
            return
        if pending.notices is None:
            pending.notices = Notices(pending.call.emit, self._per_second)
        if not pending.notices.offer({"jsonrpc": "2.0", "method": method, "params": params}, size):
            self.dropped["notifications"] += 1


def _failure(error: UpstreamError, *, may_have_run: bool) -> UpstreamError:
    error.may_have_run = may_have_run
    return error
