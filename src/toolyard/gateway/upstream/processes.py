"""How many child processes there may be in all, over every stdio upstream of one gateway (`limits.processes`).

Below that number nobody waits. At it, the session that nobody has used for longest makes room, whichever upstream it is
of; if all are in use, the newcomer waits a little for one to come free and is refused then. Nothing has run for it.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from toolyard.gateway.upstream.errors import UpstreamBusy

WAIT_S: Final = 5.0


class Holder(Protocol):
    """The sessions of one upstream, each a process. `longest_idle_s` says how long the one has idled that may go first
    (None: there is none that idled for `at_least_s`), `end_longest_idle` ends that one."""

    def longest_idle_s(self, at_least_s: float) -> float | None: ...
    async def end_longest_idle(self, at_least_s: float) -> None: ...


class Processes:
    """The places for processes. Whoever takes one gives it back when its process has ended."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0
        self._holders: set[Holder] = set()
        self._changed = asyncio.Event()

    async def take(self, holder: Holder, at_least_s: float) -> None:
        """Take a place for a process of `holder`, if need be from a session that idled for `at_least_s`. Raises
        UpstreamBusy."""
        self._holders.add(holder)
        until = asyncio.get_running_loop().time() + WAIT_S
        while self.running >= self.most:
            idlest = self._idlest(at_least_s)
            if idlest is not None:
                await idlest.end_longest_idle(at_least_s)
                continue
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                raise UpstreamBusy("The gateway runs as many processes as it may (limits.processes).") from None
        self.running += 1

    def give_back(self) -> None:
        """A process has ended."""
        self.running -= 1
        self._changed.set()

    def changed(self) -> None:
        """A session is no longer in use, so that it could make room."""
        self._changed.set()

    def leave(self, holder: Holder) -> None:
        """`holder` is closed."""
        self._holders.discard(holder)

    def _idlest(self, at_least_s: float) -> Holder | None:
        found = [
            (idle_s, holder) for holder in self._holders if (idle_s := holder.longest_idle_s(at_least_s)) is not None
        ]
        return max(found, key=lambda pair: pair[0])[1] if found else None
