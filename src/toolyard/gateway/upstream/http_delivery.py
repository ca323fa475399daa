"""What comes besides answers: notifications, brought to the call they belong to or to the gateway.

A call gets at most 200 notifications a second; what is beyond that is dropped and counted, so that a flood costs the
caller nothing but the flood. Progress carries the gateway's own token here and none when it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from toolyard.gateway.call import Call, UpstreamEvents
from toolyard.gateway.upstream.errors import UpstreamTimedOut
from toolyard.kit.clock import Clock
from toolyard.protocol.jsonrpc import Notification
from toolyard.protocol.revisions import LOG_LEVELS

LISTS: Mapping[str, Literal["tools", "resources", "prompts"]] = {
    "notifications/tools/list_changed": "tools",
    "notifications/resources/list_changed": "resources",
    "notifications/prompts/list_changed": "prompts",
}
UPDATED = "notifications/resources/updated"
PROGRESS = "notifications/progress"
MESSAGE = "notifications/message"
CANCELLED = "notifications/cancelled"


class Announcer:
    """Tells the gateway what changed on one upstream, and counts what was dropped or belonged to nobody."""

    def __init__(self, upstream_id: str, events: UpstreamEvents, clock: Clock, per_second: int) -> None:
        self.upstream_id = upstream_id
        self.per_second = per_second
        self.clock = clock
        self.counts = {"notifications_dropped": 0, "strays": 0}
        self._events = events

    def announce(self, notification: Notification, principal_id: str | None = None) -> bool:
        """True if the notification is about lists or resources; then the gateway has been told."""
        kind = LISTS.get(notification.method)
        if kind is not None:
            self._events.lists_changed(self.upstream_id, kind)
        elif notification.method == UPDATED:
            self._events.resource_updated(self.upstream_id, principal_id, notification.params)
        else:
            return False
        return True


class Courier:
    """Brings one call its notifications. `token` is the progress token that was sent upstream."""

    def __init__(self, call: Call, token: int, announcer: Announcer, principal_id: str | None = None) -> None:
        self._call = call
        self._token = token
        self._announcer = announcer
        self._principal_id = principal_id
        self._second_began_at = 0.0
        self._in_second = 0

    def drops_unread(self, message: bytes) -> bool:
        """True (and counted) if this is one too many and cannot be an answer, so that it need not even be decoded."""
        if self._in_second < self._announcer.per_second or b'"id"' in message or b"\\" in message:
            return False
        return self._flooded()

    def _flooded(self) -> bool:
        """Count one notification; true (and counted as dropped) if it is one too many."""
        now_s = self._announcer.clock.monotonic()
        if now_s - self._second_began_at >= 1.0:
            self._second_began_at, self._in_second = now_s, 0
        self._in_second += 1
        if self._in_second <= self._announcer.per_second:
            return False
        self._announcer.counts["notifications_dropped"] += 1
        return True

    async def deliver(self, notification: Notification) -> None:
        """Emit what the caller asked for. Raises what `call.emit` raises."""
        if self._flooded() or self._announcer.announce(notification, self._principal_id):
            return
        params = notification.params
        if notification.method == PROGRESS:
            if not self._call.wants_progress or params.get("progressToken") != self._token:
                return
            params = {name: value for name, value in params.items() if name != "progressToken"}
        elif notification.method == MESSAGE:
            if not _wanted(params.get("level"), self._call.log_level):
                return
        elif notification.method == CANCELLED:
            return
        try:
            async with asyncio.timeout_at(self._call.deadline):
                await self._call.emit({"method": notification.method, "params": params})
        except TimeoutError:
            raise UpstreamTimedOut(f"The call to upstream {self._announcer.upstream_id!r} took too long.") from None


def _wanted(level: object, least: str | None) -> bool:
    if least is None or level not in LOG_LEVELS or least not in LOG_LEVELS:
        return False
    return LOG_LEVELS.index(str(level)) >= LOG_LEVELS.index(least)
