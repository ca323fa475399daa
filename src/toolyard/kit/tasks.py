"""Background tasks with an owner: whoever starts one closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from toolyard.kit.logs import get_logger

log = get_logger(__name__)


class TaskOwner:
    """Owns any number of tasks. One that fails is logged and does not take the others along."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` until it ends or the owner is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def settled(self, limit_s: float) -> None:
        """Wait until all tasks have ended by themselves, at most `limit_s` seconds."""
        if self._tasks and limit_s > 0:
            await asyncio.wait(tuple(self._tasks), timeout=limit_s)

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it."""
        if not self._tasks:
            return
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background_task_failed", owner=self._name, exc_info=error)


def cancel_begun(task: asyncio.Task[Any]) -> None:
    """Cancel a task, but not before its first step: a task that never began cannot give back what it was handed."""
    asyncio.get_running_loop().call_soon(task.cancel)
