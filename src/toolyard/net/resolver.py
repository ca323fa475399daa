"""Name resolution on a few daemon threads of its own.

The loop's default executor would let names that time out hold up every other user of it, and would hold up the exit of
the process; here they hold up each other at most, and each wait is bounded by its caller.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → addresses as text, in the order to try. Raises OSError."""

_THREADS = 16
_Job = tuple[str, int, asyncio.AbstractEventLoop, "asyncio.Future[list[str]]"]


class SystemResolver:
    """The machine's resolver (getaddrinfo), at most 16 names at a time; more wait in line."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._idle = 0
        self._threads = 0
        self._lock = threading.Lock()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()
        self._ensure_thread()
        self._jobs.put((host, port, loop, answer))
        return await answer

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < _THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name="resolver", daemon=True).start()

    def _work(self) -> None:
        while True:
            host, port, loop, answer = self._jobs.get()
            if not answer.cancelled():
                _answer(host, port, loop, answer)
            with self._lock:
                self._idle += 1


def _answer(host: str, port: int, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[str]]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        outcome: list[str] | OSError = [str(entry[4][0]) for entry in found]
    except (OSError, UnicodeError) as error:
        outcome = error if isinstance(error, OSError) else OSError("the name cannot be encoded")
    try:
        loop.call_soon_threadsafe(_settle, answer, outcome)
    except RuntimeError:  # the loop was closed while the name was being resolved: nobody waits
        return


def _settle(answer: asyncio.Future[list[str]], outcome: list[str] | OSError) -> None:
    if answer.done():
        return
    if isinstance(outcome, OSError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


system_resolver = SystemResolver()
