"""Name resolution on a few daemon threads of its own.

The loop's default executor would let names that time out hold up every other user of it, and would hold up the exit of
the process; here they hold up each other at most, and each wait is bounded by its caller. One name takes one thread,
however many wait for it and however often they give up and ask again.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → addresses as text, in the order to try. Raises OSError."""

_THREADS = 32
_Name = tuple[str, int]
_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[list[str]]"]


class SystemResolver:
    """The machine's resolver (getaddrinfo), at most 32 names at a time; more wait in line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: queue.SimpleQueue[_Name] = queue.SimpleQueue()
        self._waiting: dict[_Name, list[_Waiter]] = {}
        self._threads = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()
        with self._lock:
            waiters = self._waiting.get((host, port))
            if waiters is None:
                waiters = self._begin((host, port))
            waiters.append((loop, answer))
        try:
            return await answer
        finally:
            if answer.cancelled():
                self._forget((host, port), (loop, answer))

    def _begin(self, name: _Name) -> list[_Waiter]:
        """Put `name` in line, and see that there is a thread for it. Called with the lock held."""
        waiters = self._waiting[name] = []
        self._names.put(name)
        if self._threads < min(_THREADS, len(self._waiting)):
            self._threads += 1
            threading.Thread(target=self._work, name="resolver", daemon=True).start()
        return waiters

    def _forget(self, name: _Name, waiter: _Waiter) -> None:
        with self._lock:
            waiters = self._waiting.get(name, [])
            if waiter in waiters:
                waiters.remove(waiter)

    def _work(self) -> None:
        while True:
            name = self._names.get()
            with self._lock:
                if not self._waiting[name]:  # all who asked have given up
                    del self._waiting[name]
                    continue
            outcome = _look_up(name)
            with self._lock:
                waiters = self._waiting.pop(name)
            for loop, answer in waiters:
                _tell(loop, answer, outcome)


def _look_up(name: _Name) -> list[str] | OSError:
    try:
        found = socket.getaddrinfo(*name, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except OSError as error:
        return error
    except UnicodeError:
        return OSError("the name cannot be encoded")
    return [str(entry[4][0]) for entry in found]


def _tell(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[str]], outcome: list[str] | OSError) -> None:
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
        answer.set_result(list(outcome))


system_resolver = SystemResolver()
