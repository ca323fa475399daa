"""Who is told of which task's changes (tasks, Task Status Notifications).

A task that runs in this process tells by itself. One of an upstream, or of another process, is asked for its state now
and then, as its caller would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from toolyard.contract.definitions import Json
from toolyard.gateway.tasks.record import MOST_POLL_S, TaskRecord, pause_s
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.kit.errors import PlatformError
from toolyard.protocol.tasks import TERMINAL

Tell = Callable[[Json], None]
Look = Callable[[str], Awaitable[Json]]

LEAST_POLL_S = 0.5


@dataclass(slots=True)
class Following:
    """What one listener follows; `ids` are the tasks that are his."""

    ids: list[str] = field(default_factory=list)
    closing: list[Callable[[], object]] = field(default_factory=list)

    def close(self) -> None:
        for end in self.closing:
            end()


class Followers:
    """The callbacks of everyone who follows a running task."""

    def __init__(self) -> None:
        self._of: dict[str, set[Tell]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def add(self, task_id: str, tell: Tell) -> None:
        self._of.setdefault(task_id, set()).add(tell)

    def remove(self, task_id: str, tell: Tell) -> None:
        followers = self._of.get(task_id)
        if followers is not None:
            followers.discard(tell)
            if not followers:
                del self._of[task_id]

    def changed(self, record: TaskRecord) -> None:
        """Tell everyone how a task stands now."""
        for tell in tuple(self._of.get(record.id, ())):
            tell(record.detailed())


async def keep_looking(task_id: str, look: Look, tell: Tell, seen: Json) -> None:
    """Tell every change of a task after `seen`, until it has ended or is there no more. An upstream that is away is
    asked again later."""
    while seen["status"] not in TERMINAL:
        await asyncio.sleep(pause_s(seen, least_s=LEAST_POLL_S))
        try:
            found = await look(task_id)
        except UpstreamError:
            await asyncio.sleep(MOST_POLL_S)
            continue
        except PlatformError:
            return
        if found != seen:
            tell(found)
        seen = found
