"""One connection between two workers: many talks at once, each bounded, none able to hold up the others.

A frame is its length (4 bytes) and a MessagePack list `[kind, talk, payload]`. The side that dialled opens talks and
numbers them; the other side serves each in a task of its own and ends it with a reply or an error. Both sides may send
data on it: at most WINDOW messages or WINDOW_BYTES wait at the receiver until it takes them, then the sender waits.
When the connection breaks, every talk ends at both sides: the dialler gets WorkerLost, what was served is cancelled.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import msgspec

from toolyard.gateway.workers.carried import carried, restored
from toolyard.gateway.workers.errors import FrameTooLarge, WorkerFailed, WorkerLost
from toolyard.kit.logs import get_logger

log = get_logger(__name__)

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
WINDOW: Final = 64
WINDOW_BYTES: Final = 1024 * 1024
_LENGTH: Final = struct.Struct(">I")
_OPEN, _DATA, _TAKEN, _REPLY, _ERROR, _CANCEL = range(6)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, Any]).decode

Service = Callable[["Talk", Any], Awaitable[Any]]


class Talk:
    """One conversation of two workers, as one side of it sees it."""

    def __init__(self, link: Link, number: int) -> None:
        self.link = link
        self.ended = False
        """The other side has said its last, or is gone."""
        self.outlives = False
        """At the serving side: the work goes on when the other side gives up or is gone."""
        self._number = number
        self._arrived: deque[Any] = deque()
        self._sizes: deque[int] = deque()
        self._unread_bytes = 0
        self._moved = asyncio.Event()
        self._reply: Any = None
        self._error: BaseException | None = None

    async def send(self, payload: Any) -> None:
        """Send something, and wait while the other side has much to take. Raises WorkerLost, FrameTooLarge."""
        self.post(payload)
        while (len(self._sizes) >= WINDOW or self._unread_bytes > WINDOW_BYTES) and not self.ended:
            self._moved.clear()
            await self._moved.wait()

    def post(self, payload: Any) -> None:
        """Send something without waiting. Raises WorkerLost, FrameTooLarge."""
        if self.ended:
            raise WorkerLost
        size = self.link.write(_DATA, self._number, payload)
        self._sizes.append(size)
        self._unread_bytes += size

    async def next(self) -> Any:
        """What the other side sent next; None at its end, then there is the `reply`. Nobody sends None."""
        while not self._arrived:
            if self.ended:
                return None
            self._moved.clear()
            await self._moved.wait()
        payload = self._arrived.popleft()
        if not self.ended:
            self.link.write(_TAKEN, self._number, 1)
        return payload

    async def reply(self) -> Any:
        """How the talk ended: the reply. Raises what was raised at the other side, or WorkerLost."""
        while not self.ended:
            self._moved.clear()
            await self._moved.wait()
        if self._error is not None:
            raise self._error
        return self._reply

    def cancel(self) -> None:
        """Nobody wants the rest. Harmless when the talk has ended."""
        self.link.drop(self._number)
        if not self.ended:
            self.link.write(_CANCEL, self._number, None)
            self.end(None, WorkerLost())

    # Called by the link

    def take(self, payload: Any) -> None:
        self._arrived.append(payload)
        self._moved.set()

    def taken(self, count: int) -> None:
        for _ in range(min(count, len(self._sizes))):
            self._unread_bytes -= self._sizes.popleft()
        self._moved.set()

    def end(self, reply: Any, error: BaseException | None) -> None:
        self.ended, self._reply, self._error = True, reply, error
        self._moved.set()


class Link(asyncio.Protocol):
    """One connection. `services` are what the other side may open; a link that was dialled has none."""

    def __init__(self, services: Mapping[str, Service], on_over: Callable[[Link], None]) -> None:
        """`on_over`: the connection broke, and all that was served on it has ended."""
        self.peer = ""
        """The owner's name of the worker at the other side, once it is known."""
        self._services = services
        self._on_over = on_over
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._talks: dict[int, Talk] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._next = 1
        self.lost = asyncio.Event()

    def open(self, service: str, payload: Any) -> Talk:
        """Begin a talk. Raises WorkerLost, FrameTooLarge: nothing was sent then."""
        if self._transport is None or self._transport.is_closing():
            raise WorkerLost
        number, self._next = self._next, self._next + 1
        self.write(_OPEN, number, (service, payload))
        talk = self._talks[number] = Talk(self, number)
        return talk

    async def ask(self, service: str, payload: Any) -> Any:
        """A talk of one question and one reply. Raises WorkerLost and what was raised at the other side."""
        talk = self.open(service, payload)
        try:
            return await talk.reply()
        finally:
            talk.cancel()

    def close(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def aclose(self) -> None:
        """Break the connection and wait until all that was served on it has ended."""
        self.close()
        for task in tuple(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def write(self, kind: int, number: int, payload: Any) -> int:
        """Queue a frame; its size."""
        frame = _encode((kind, number, payload))
        if len(frame) > MAX_FRAME_BYTES:
            raise FrameTooLarge
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_LENGTH.pack(len(frame)) + frame)
        return len(frame)

    def drop(self, number: int) -> None:
        """Nothing more of this talk is wanted."""
        self._talks.pop(number, None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # a stream's, also where it is uvloop's own class
        if not _is_own_user(transport.get_extra_info("socket")):
            log.warning("worker_link_refused", reason="another user")
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        begin = 0
        while len(self._buffer) - begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, begin)
            if length > MAX_FRAME_BYTES:
                self.close()
                return
            if len(self._buffer) - begin - _LENGTH.size < length:
                break
            begin += _LENGTH.size
            frame = bytes(memoryview(self._buffer)[begin : begin + length])
            begin += length
            try:
                self._take(*_decode(frame))
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                log.warning("worker_link_broken", reason=str(error))
                self.close()
                return
        del self._buffer[:begin]

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self.lost.set()
        for number, talk in tuple(self._talks.items()):
            self._give_up(number, talk)
        self._talks.clear()
        self._see_whether_over()

    def _take(self, kind: int, number: int, payload: Any) -> None:
        if kind == _OPEN:
            service, content = payload
            talk = self._talks[number] = Talk(self, number)
            task = asyncio.get_running_loop().create_task(self._serve(number, talk, service, content))
            self._tasks[number] = task
            task.add_done_callback(lambda _: self._served(number))
            return
        found = self._talks.get(number)
        if found is None:
            return
        if kind == _DATA:
            found.take(payload)
        elif kind == _TAKEN:
            found.taken(payload)
        elif kind == _CANCEL:
            self._give_up(number, found)
        else:
            del self._talks[number]
            found.end(payload if kind == _REPLY else None, restored(payload) if kind == _ERROR else None)

    def _served(self, number: int) -> None:
        self._tasks.pop(number, None)
        self._see_whether_over()

    def _see_whether_over(self) -> None:
        if self.lost.is_set() and not self._tasks:
            self._on_over(self)

    def _give_up(self, number: int, talk: Talk) -> None:
        """The other side does not want the rest of a talk, or is gone."""
        self._talks.pop(number, None)
        talk.end(None, WorkerLost())
        task = self._tasks.get(number)
        if task is not None and not talk.outlives:
            task.cancel()

    async def _serve(self, number: int, talk: Talk, service: str, content: Any) -> None:
        """The supervisor of one talk: whatever happens in the service, the other side gets an end."""
        kind, payload = _ERROR, carried(WorkerLost())
        try:
            found = self._services.get(service)
            if found is None:
                raise WorkerFailed(f"there is no service {service!r}")
            kind, payload = _REPLY, await found(talk, content)
        except Exception as error:  # the supervisor of what other workers ask
            kind, payload = _ERROR, carried(error)
            if payload is None:
                log.exception("worker_service_failed", service=service)
                payload = carried(WorkerFailed())
        finally:
            if self._talks.pop(number, None) is not None:
                self._answer(kind, number, payload)

    def _answer(self, kind: int, number: int, payload: Any) -> None:
        try:
            self.write(kind, number, payload)
        except (FrameTooLarge, TypeError, ValueError, OverflowError) as error:
            self.write(_ERROR, number, carried(error) or carried(WorkerFailed()))


def _is_own_user(connection: socket.socket | None) -> bool:
    """Whether the process at the other end of a Unix socket is this user's. Where that cannot be asked, the modes of
    the socket and its directory have decided."""
    if connection is None or sys.platform != "linux":
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())
