"""Runs a coroutine and asserts that it left nothing behind: no task, file descriptor, thread or child process."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import uvloop


def run_clean(make: Callable[[], Coroutine[Any, Any, Any]], *, limit_s: float = 60.0, plain: bool = False) -> Any:
    """The result of `make()`, which must end in time and close what it opened. On uvloop, or `plain` asyncio."""
    factory = asyncio.new_event_loop if plain else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as warm:
        warm.run(asyncio.sleep(0))
    children = {p.pid for p in psutil.Process().children(recursive=True)}
    descriptors = open_descriptors()
    threads = threading.active_count()

    async def whole() -> Any:
        async with asyncio.timeout(limit_s):
            result = await make()
        for _ in range(3):
            await asyncio.sleep(0)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not others, f"tasks left: {others}"
        return result

    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(whole())
    eventually(lambda: {p.pid for p in psutil.Process().children(recursive=True)} <= children, "children left")
    eventually(lambda: open_descriptors() <= descriptors, "file descriptors left")
    eventually(lambda: threading.active_count() <= threads, "threads left")
    return result


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def alive(pid: int) -> bool:
    """True while the process runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def eventually(holds: Callable[[], bool], what: str, *, limit_s: float = 20.0) -> None:
    """Wait for a fact about the operating system that nothing announces."""
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def environment_of(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def python_path() -> str:
    return os.pathsep.join(dict.fromkeys([str(Path(__file__).parents[3] / "src")]))
