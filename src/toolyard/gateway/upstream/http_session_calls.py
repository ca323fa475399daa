"""The calls at work on a legacy session over HTTP, and whose a message of its GET stream is."""

from __future__ import annotations

from typing import Final, Protocol

from toolyard.gateway.call import Call, Sent
from toolyard.gateway.upstream.http_delivery import PROGRESS, Announcer, Courier
from toolyard.gateway.upstream.http_running import Running
from toolyard.protocol.jsonrpc import Notification

MANY_OWNERS: Final = 2


class Repeating(Protocol):
    """Who sends requests by a plan (`http_session_repeater`)."""

    def expose(self, sent: Sent) -> None: ...


class SessionCalls:
    """What runs on one session. `principal_id` owns the session; None: the gateway (or all, if shared)."""

    __slots__ = ("_announcer", "_owners", "_principal_id", "last_used_s", "running", "sent")

    def __init__(self, announcer: Announcer, principal_id: str | None) -> None:
        self.running: dict[int, Running] = {}
        self.sent: dict[int, tuple[Repeating, Sent]] = {}
        """Requests that run by a plan, and by whose; what comes for any of them makes them all `running`."""
        self.last_used_s = announcer.clock.monotonic()
        self._announcer = announcer
        self._principal_id = principal_id
        self._owners: set[str] = set()

    def enter(self, request_id: int, call: Call | None, *, begun: bool = False) -> Running:
        """A request begins to run."""
        if call is not None and len(self._owners) < MANY_OWNERS:
            self._owners.add(call.principal.id)
        courier = None if call is None else Courier(call, request_id, self._announcer, self._principal_id)
        running = self.running[request_id] = Running(request_id, call, courier, begun=begun)
        return running

    def came_back(self, request_id: int) -> None:
        """A request that was sent by a plan has its answer."""
        del self.sent[request_id]
        self.last_used_s = self._announcer.clock.monotonic()

    def left(self, running: Running) -> None:
        """A request has ended, and with it what the server asked on its behalf."""
        del self.running[running.request_id]
        self.last_used_s = self._announcer.clock.monotonic()
        running.ended = True
        for task in running.asks.values():
            task.cancel()

    def owner_of(self, message: Notification) -> Running | None:
        """Whose a notification of the GET stream is: by its progress token, else the only running call's."""
        self._expose()
        if message.method == PROGRESS:
            token = message.params.get("progressToken")
            return self.running.get(token) if type(token) is int else None
        return self.only_running()

    def only_running(self) -> Running | None:
        """The call that a message of the GET stream belongs to; none in a session that several principals have used,
        where it may be about a call that was given up."""
        if len(self._owners) >= MANY_OWNERS:
            return None
        self._expose()
        calls = [running for running in self.running.values() if running.call is not None]
        watchers = {running.call.watcher for running in calls if running.call is not None}
        return calls[-1] if len(calls) == 1 or (len(watchers) == 1 and "" not in watchers) else None

    def _expose(self) -> None:
        for repeater, sent in list(self.sent.values()):
            repeater.expose(sent)
