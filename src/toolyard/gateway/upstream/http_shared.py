"""Waiting for work that several callers need at once: nobody's impatience ends it for the others."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from toolyard.gateway.upstream.errors import UpstreamTimedOut, UpstreamUnreachable

T = TypeVar("T")


async def shared(task: asyncio.Task[T], deadline: float, upstream_id: str) -> T:
    """The outcome of `task`, awaited until `deadline` (loop time). Raises UpstreamTimedOut, UpstreamUnreachable (the
    work was given up because the upstream is being closed), and what the task raises."""
    task.add_done_callback(_seen)
    try:
        async with asyncio.timeout_at(deadline):
            return await asyncio.shield(task)
    except TimeoutError:
        late = UpstreamTimedOut(f"Upstream {upstream_id!r} did not answer in time.")
        late.may_have_run = False
        raise late from None
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if task.cancelled() and (current is None or not current.cancelling()):
            raise UpstreamUnreachable(f"Upstream {upstream_id!r} is being closed.") from None
        raise


def _seen(task: asyncio.Task[T]) -> None:
    """Those who waited may all be gone: a failure is not to be reported as one that nobody looked at."""
    if not task.cancelled():
        task.exception()
