"""Many calls at once: grouped by service, the groups side by side, each call with its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from toolyard.embedded.values import BatchResult, CallOutcome, ToolCall, ToolResult
from toolyard.kit.errors import PlatformError

AT_ONCE: Final = 8
"""Calls of one service that run at once; a batch waits for its turn where a burst of calls would be refused."""
ALL_AT_ONCE: Final = 32
"""Calls of one batch that run at once, over all services."""


async def run_batch(
    calls: Sequence[ToolCall],
    service_of: Callable[[ToolCall], str | None],
    carry_out: Callable[[ToolCall], Awaitable[ToolResult]],
) -> BatchResult:
    """Carry out every call. A call's PlatformError is its outcome."""
    groups: dict[str | None, list[int]] = {}
    for number, call in enumerate(calls):
        groups.setdefault(service_of(call), []).append(number)
    places = asyncio.Semaphore(ALL_AT_ONCE)
    outcomes: dict[int, CallOutcome] = {}

    async def work(service: str | None, numbers: list[int]) -> None:
        """One of a group's workers: takes the next call until none is left."""
        while numbers:
            number = numbers.pop(0)
            async with places:
                outcomes[number] = await _outcome(calls[number], service, carry_out)

    async with asyncio.TaskGroup() as running:
        for service, numbers in groups.items():
            for _ in range(min(AT_ONCE, len(numbers))):
                running.create_task(work(service, numbers))
    return BatchResult(tuple(outcomes[number] for number in range(len(calls))))


async def _outcome(
    call: ToolCall, service: str | None, carry_out: Callable[[ToolCall], Awaitable[ToolResult]]
) -> CallOutcome:
    try:
        return CallOutcome(call, service, await carry_out(call))
    except PlatformError as error:
        return CallOutcome(call, service, error=error)
