"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from toolyard.embedded.errors import ToolyardClosed

T = TypeVar("T")
JOIN_S = 5.0


class LoopThread:
    """Runs coroutines for other threads, until `stop`. The thread does not keep the program alive."""

    def __init__(self) -> None:
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._run, name="toolyard", daemon=True)
        running = threading.Event()
        self._loop.call_soon(running.set)
        self._thread.start()
        running.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, once it has one; whoever stops waiting stops the work. Raises ToolyardClosed."""
        if self._loop.is_closed() or not self._loop.is_running():
            work.close()
            raise ToolyardClosed
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def stop(self) -> None:
        """End the loop and the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
