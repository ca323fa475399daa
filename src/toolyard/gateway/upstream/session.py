"""One open conversation with an upstream: a process or a connection, greeted, with what it is used for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, UpstreamEvents
from toolyard.gateway.isolation import owner_of
from toolyard.gateway.upstream.asking import run_rounds
from toolyard.gateway.upstream.channel import ChannelClosed
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.gateway.upstream.handshake import GATEWAY_INFO, Greeting
from toolyard.gateway.upstream.listening import Listening
from toolyard.gateway.upstream.peer import Peer
from toolyard.gateway.upstream.pending import Pending
from toolyard.gateway.upstream.stamping import stamped_for_channel
from toolyard.gateway.upstream.subscription import ACKNOWLEDGED, not_watched
from toolyard.gateway.upstream.turns import Turn, Turns
from toolyard.kit.logs import get_logger
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import from_upstream
from toolyard.protocol.envelope import stamp, stamp_legacy
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import LOG_LEVELS, MODERN
from toolyard.protocol.strict_json import encode

log = get_logger(__name__)

Key = tuple[str | None, bytes]
"""The isolation key it is for (None: the gateway's own) and the digest of the capabilities it declared."""

_CHANGED: dict[str, Literal["tools", "resources", "prompts"]] = {
    "notifications/tools/list_changed": "tools",
    "notifications/resources/list_changed": "resources",
    "notifications/prompts/list_changed": "prompts",
}


class Session:
    """A greeted peer. `busy` counts the calls that use it; `idle_since` is a monotonic time; one that `ends_unused`
    ends with the last call on it; `turns` keeps the calls of different clients apart where the upstream may ask (its
    questions could not be attributed otherwise)."""

    def __init__(self, upstream_id: str, key: Key, events: UpstreamEvents) -> None:
        self.key = key
        self.peer: Peer
        self.greeting: Greeting
        self.busy = 0
        self.idle_since = 0.0
        self.turns: Turns | None = None
        self._taken: dict[int, Turn] = {}
        self.retired = False
        self.ends_unused = False
        self.on_lost: Callable[[Session, ChannelClosed], None] = _nobody
        self.on_closed: Callable[[], None] = _nothing
        self._upstream_id = upstream_id
        self._events = events
        self._listening: Listening | None = None
        self._level: str | None = None

    @property
    def owner(self) -> str | None:
        """The principal that the session is for; None for the gateway, empty for everybody."""
        return None if self.key[0] is None else owner_of(self.key[0])

    @property
    def alive(self) -> bool:
        return self.peer.end is None

    def opened(self, *, interactive: bool) -> None:
        """The handshake is done; `interactive`: the upstream may ask the caller."""
        if self.greeting.era == "modern":
            self._listening = Listening(self.peer, self.greeting.capabilities, self.notified)
            self.peer.questions.may_ask = False
        elif interactive:
            self.turns = Turns()

    async def take_turn(self, call: Call | None, deadline: float) -> None:
        """Wait for this call's turn. Raises UpstreamBusy at `deadline` (loop time)."""
        if self.turns is not None:
            self._taken[id(call)] = await self.turns.take(_client_of(call), deadline)

    def took_turn(self, call: Call) -> bool:
        """Take this call's turn, if it need not be waited for."""
        if self.turns is not None:
            turn = self.turns.take_now(_client_of(call))
            if turn is None:
                return False
            self._taken[id(call)] = turn
        return True

    def end_turn(self, call: Call | None) -> None:
        """The call has ended. Harmless if it had no turn."""
        if self._taken:
            turn = self._taken.pop(id(call), None)
            if turn is not None:
                turn.end()

    # -- requests ------------------------------------------------------------------------------------------------------

    async def call(self, call: Call, method: str, params: Json) -> Json:
        """Do one request for a caller, in the upstream's era."""
        if self.greeting.era == "modern":
            return await run_rounds(call, lambda extra: self._call_modern(call, method, {**params, **extra}))
        if self._level_matters(call):
            await self._set_level(str(call.log_level), call.deadline)
        request_id = self.peer.mint()
        turn = self._taken.get(id(call))
        result = await self.peer.request(
            request_id, method, self.stamped(call, params, request_id), deadline=call.deadline, call=call, turn=turn
        )
        return from_upstream(self.greeting.revision, method, result)

    def begin(self, call: Call, method: str, params: Json) -> Pending | None:
        """Send the same request, if nothing has to be waited for; None: nothing was sent. `plain` and `go_on` take it
        from there."""
        peer = self.peer
        if not peer.takes_at_once or (self.greeting.era != "modern" and self._level_matters(call)):
            return None
        request_id = peer.mint()
        message = encode(jsonrpc.request(request_id, method, self.stamped(call, params, request_id)))
        pending = Pending(request_id, method, call, self._taken.get(id(call)))
        peer.note_call(call)
        peer.send_at_once(pending, message, call.deadline)
        return pending

    def plain(self, pending: Pending) -> Json | None:
        """The result of a request that was begun and has been settled; None where there is more to do than to read
        it."""
        result = pending.outcome
        if type(result) is not dict or pending.notices is not None:
            return None
        if self.greeting.era == "modern":
            return result if result.get("resultType", "complete") == "complete" else None
        pending.close()
        return from_upstream(self.greeting.revision, pending.method, result)

    async def go_on(self, call: Call, params: Json, pending: Pending) -> Json:
        """The result of a request that was begun, whatever it takes."""
        if self.greeting.era != "modern":
            return from_upstream(self.greeting.revision, pending.method, await self.peer.finish(pending))
        first: Pending | None = pending

        async def send(extra: Json) -> Json:
            nonlocal first
            if first is None:
                return await self._call_modern(call, pending.method, {**params, **extra})
            begun, first = first, None
            return await self.peer.finish(begun)

        return await run_rounds(call, send)

    async def own(self, method: str, params: Json, deadline: float) -> Json:
        """Do one request of the gateway's own."""
        if self.greeting.era == "modern":
            params = stamp(params, revision=MODERN, client_capabilities={}, client_info=GATEWAY_INFO)
        return await self.peer.request(self.peer.mint(), method, params, deadline=deadline)

    async def _call_modern(self, call: Call, method: str, params: Json) -> Json:
        request_id = self.peer.mint()
        stamped = self.stamped(call, params, request_id)
        return await self.peer.request(request_id, method, stamped, deadline=call.deadline, call=call)

    def stamped(self, call: Call, params: Json, request_id: int) -> Json:
        """The parameters as the upstream gets them."""
        if self.greeting.era == "modern":
            return stamped_for_channel(call, params, request_id)
        token = request_id if call.wants_progress else None
        return stamp_legacy(params, progress_token=token, rest=call.meta)

    def _level_matters(self, call: Call) -> bool:
        """What the upstream logs may have to be set for this call first."""
        level = call.log_level
        return level is not None and (call.log_level_chosen or self._level is not None) and level != self._level

    async def _set_level(self, wanted: str, deadline: float) -> None:
        """A legacy upstream has one level a session: the lowest anybody asked for, or all once somebody did; each call
        is filtered by its own. So a level that one client sets takes nothing from another one."""
        known = self._level is not None and LOG_LEVELS.index(self._level) <= LOG_LEVELS.index(wanted)
        if known or "logging" not in self.greeting.capabilities:
            return
        self._level = wanted
        try:
            await self.own("logging/setLevel", {"level": wanted}, deadline)
        except RelayedError as refused:
            log.info("upstream_log_level_refused", upstream=self._upstream_id, code=refused.rpc_code)

    # -- what changes --------------------------------------------------------------------------------------------------

    async def watch(self, uris: tuple[str, ...], changed: str, deadline: float, *, on: bool) -> None:
        """Watch one resource more or less; `uris` are all that are watched from now on. Raises RelayedError, also where
        the upstream watches other resources but not this one."""
        if self._listening is not None:
            await self._listening.update(uris, deadline)
            if on and not self._listening.honours(changed):
                await self._listening.update(tuple(uri for uri in uris if uri != changed), deadline)
                raise not_watched(changed)
        else:
            await self.own(f"resources/{'subscribe' if on else 'unsubscribe'}", {"uri": changed}, deadline)

    async def hear_changes(self, uris: tuple[str, ...], deadline: float) -> None:
        """Begin to listen on a new session. `uris` were watched on an earlier one: they may have changed meanwhile, so
        that is told once. A refusal costs the changes only, so it is logged."""
        if self._listening is None:
            for uri in uris:
                await self._watch_again(uri, deadline)
            return
        if uris:
            self._listening.note_gap()
        try:
            await self._listening.update(uris, deadline)
        except (RelayedError, UpstreamError) as error:
            log.warning("upstream_watch_failed", upstream=self._upstream_id, code=error.code)

    async def _watch_again(self, uri: str, deadline: float) -> None:
        try:
            await self.own("resources/subscribe", {"uri": uri}, deadline)
        except (RelayedError, UpstreamError) as error:
            log.warning("upstream_watch_failed", upstream=self._upstream_id, code=error.code)
        else:
            self.notified("notifications/resources/updated", {"uri": uri})

    async def settled(self) -> None:
        """Wait a moment until the upstream tells of changes, where it has to be asked to."""
        if self._listening is not None:
            await self._listening.settled()

    def notified(self, method: str, params: Json) -> None:
        if method in _CHANGED:
            self._events.lists_changed(self._upstream_id, _CHANGED[method])
        elif method == "notifications/resources/updated":
            self._events.resource_updated(self._upstream_id, self.owner, params)
        elif method == ACKNOWLEDGED and self._listening is not None:
            self._listening.acknowledged(params)

    def ended(self, end: ChannelClosed) -> None:
        if not self.retired:
            self.on_lost(self, end)

    def facts(self) -> dict[str, Any]:
        """For the operator."""
        return {
            "owner": self.owner,
            "busy": self.busy,
            "waiting": self.peer.waiting,
            "dropped": dict(self.peer.dropped),
            "junk_lines": getattr(self.peer.channel, "junk_lines", 0),
        }

    async def aclose(self) -> None:
        """End it on purpose, which is no loss."""
        self.retired = True
        try:
            if self._listening is not None:
                await self._listening.aclose()
            await self.peer.aclose()
        finally:
            closed, self.on_closed = self.on_closed, _nothing
            closed()


def _client_of(call: Call | None) -> str:
    """Whose turn a call's is: its client's, or its own where nothing is known of that."""
    return (call.watcher if call is not None else "") or f"call {id(call)}"


def _nothing() -> None:
    """Nothing else is to be done."""


def _nobody(session: Session, end: ChannelClosed) -> None:
    """Nobody has to be told."""
