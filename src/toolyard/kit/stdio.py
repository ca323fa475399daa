"""This process's standard input and output as lines, on a loop, whatever they are (pipes, files, terminals).

A thread reads and a thread writes: event loops cannot wait for files, and some refuse pipes that are half closed. The
reader has a buffer of its own: the interpreter aborts if a thread still waits in that of `sys.stdin` at its end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import BinaryIO

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_WAITING = 64


class StandardLines:
    """Lines in, lines out. A line longer than 4 MiB arrives cut short, so that it is refused as what it is."""

    def __init__(self, incoming: BinaryIO | None = None, outgoing: BinaryIO | None = None) -> None:
        self._incoming = incoming or os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
        self._outgoing = outgoing or sys.stdout.buffer
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(MAX_WAITING)
        threading.Thread(target=self._read, name="toolyard-stdin", daemon=True).start()

    async def receive(self) -> bytes | None:
        """The next line that is not blank, without its end; None at the end of the input."""
        line = await self._lines.get()
        self._room.release()
        return line

    async def send(self, message: bytes) -> None:
        """Write one line. Raises BrokenPipeError when nobody reads any more."""
        await self._loop.run_in_executor(None, self._write, message)

    def _write(self, message: bytes) -> None:
        self._outgoing.write(message + b"\n")
        self._outgoing.flush()

    def _read(self) -> None:
        whole = MAX_LINE_BYTES + len(b"\r\n")
        while line := self._incoming.readline(whole):
            content = line.rstrip(b"\r\n")
            if len(content) > MAX_LINE_BYTES or (len(line) == whole and not line.endswith(b"\n")):
                while not line.endswith(b"\n") and (line := self._incoming.readline(whole)):
                    pass
                content = b"{"
            if content.strip():
                self._hand_over(content)
        self._hand_over(None)

    def _hand_over(self, line: bytes | None) -> None:
        self._room.acquire()
        try:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
        except RuntimeError:
            return
