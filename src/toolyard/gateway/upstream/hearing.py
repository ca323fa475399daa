"""What to do when the session is lost on which an upstream tells of changed lists: look at the lists again, soon.

Looking opens another session, and finds what changed in between. An upstream that ends its sessions again and again is
looked at later and later.
"""

from __future__ import annotations

import asyncio

from toolyard.gateway.call import UpstreamEvents
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.kit.backoff import Backoff
from toolyard.kit.clock import Clock

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
STEADY_S = 60.0


class Hearing:
    """The pace at which one upstream is looked at again."""

    def __init__(self, upstream_id: str, events: UpstreamEvents, clock: Clock, restarts: Restarts) -> None:
        self._upstream_id = upstream_id
        self._events = events
        self._clock = clock
        self._restarts = restarts
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._since = clock.monotonic()
        self._waits = False

    def began(self) -> None:
        """There is a session to hear on."""
        self._since = self._clock.monotonic()

    def began_in_another_era(self) -> None:
        """What is watched was watched in a way that is no more."""
        self._events.watches_lost(self._upstream_id)

    async def lost(self) -> None:
        """It is gone: after a pause, have the lists looked at."""
        if self._waits:
            return
        if self._clock.monotonic() - self._since >= STEADY_S:
            self._backoff.reset()
        self._waits = True
        try:
            await asyncio.sleep(max(self._backoff.pause_s(), self._restarts.wait_s()))
        finally:
            self._waits = False
        self._events.lists_changed(self._upstream_id, "tools")
