"""Event streams of one legacy session, resumable (2025-03-26 to 2025-11-25, basic/transports, resumability).

Rules. An event id is `<stream>-<number>` and unique in its session. A stream keeps its last events, so that a client
that lost its connection comes back with the last id it saw and gets the rest, of that stream only. A broken connection
does not end a stream; its answer does. A stream on which nothing was sent before its answer is none: the answer is
plain, and nothing is kept.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from toolyard.gateway.call import Answer, ClientGone, Sink
from toolyard.kit.clock import LoopTime

MAX_EVENTS = 512
MAX_DELIVERED_BYTES = 64 * 1024
KEEP_DELIVERED_S = 10.0
MAX_KEPT_BYTES = 4 * 1024 * 1024
RETRY_MS = 1000
OPEN_AFTER_S = 0.02
SOON_S = 0.002
"""What is due so soon is opened now: loops keep time in whole milliseconds, and would come back at once."""
LATE_S = 0.005
READ_FIRST_S = 0.002


class Event(NamedTuple):
    """One kept message of a stream; an empty one only carries its id."""

    number: int
    message: bytes


class Openings:
    """Opens streams a moment after their calls began, unless the answer is there before. All wait for the same time, so
    one timer does for all of them: most calls are answered long before it looks."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, EventStream]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._look_at_s = 0.0
        self._was_late = False
        self._loop_time = LoopTime()

    def add(self, stream: EventStream) -> None:
        """Have a stream opened soon, if its revision opens streams."""
        if not stream.opens_with_event:
            return
        due = self._loop_time.now() + OPEN_AFTER_S
        self._waiting.append((due, stream))
        if self._timer is None:
            self._look_at(due)

    def _look_at(self, when: float) -> None:
        self._look_at_s = when
        self._timer = asyncio.get_running_loop().call_at(when, self._open_due)

    def _open_due(self) -> None:
        self._timer = None
        now, waiting = self._loop_time.now(), self._waiting
        if now - self._look_at_s > LATE_S and not self._was_late:
            self._was_late = True  # the loop was busy: answers that have come meanwhile are read first
            self._look_at(now + READ_FIRST_S)
            return
        self._was_late = False
        while waiting and waiting[0][0] <= now + SOON_S:
            waiting.popleft()[1].open_now()
        if waiting:
            self._look_at(max(waiting[0][0], now + OPEN_AFTER_S / 2))


class EventStream:
    """One stream: what was sent on it, and the connection it is sent on now, if any."""

    __slots__ = (
        "_events",
        "_keeper",
        "_last",
        "_more",
        "_news",
        "_opened",
        "_plain",
        "_reader",
        "_sink",
        "_streams",
        "finished",
        "kept_bytes",
        "number",
        "opens_with_event",
    )

    def __init__(
        self,
        number: int,
        sink: Sink | None,
        *,
        opens_with_event: bool,
        streams: bool = True,
        plain: bool = True,
        more: Callable[[], bytes | None] | None = None,
        keeper: Callable[[EventStream], None] | None = None,
    ) -> None:
        """`streams`: the client takes event streams; `plain`: an answer before which nothing was sent needs none.
        `more` is asked for the next message whenever a client that came to read the stream has all of it; `wake` says
        that there is one. `keeper` is told when there is something to keep, and when nothing more comes."""
        self.number = number
        self._more = more or _nothing_more
        self._streams = streams
        self._plain = plain
        self.finished = False
        self._sink = sink
        self.opens_with_event = opens_with_event
        """It still has to be opened, with an event that only has an id."""
        self._keeper = keeper
        self._events: deque[Event] = deque()
        self.kept_bytes = 0
        self._last = 0
        self._news: asyncio.Event | None = None
        """Set when there is more for whoever reads the stream; there is one once somebody comes to read."""
        self._reader: object = None
        self._opened: asyncio.Future[None] | None = None

    @property
    def reaches_client(self) -> bool:
        """Messages before the answer can be sent: the client takes event streams."""
        return self._streams

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self._last

    async def open(self) -> None:
        """Start the stream with an event that only has an id (2025-11-25), so that it can be resumed from the start."""
        if self.opens_with_event:
            self.opens_with_event = False
            await self._deliver(self._keep(b""), RETRY_MS)

    def open_now(self) -> None:
        """Open the stream, if it is not open and its answer not there."""
        if self.opens_with_event and not self.finished and self._opened is None:
            self._opened = asyncio.ensure_future(self.open())

    async def send(self, message: bytes) -> None:
        """Send one message, or keep it for a client that comes back. After the answer nothing is sent."""
        if self.finished:
            return
        await self.open()
        await self._deliver(self._keep(message))

    async def finish(self, answer: Answer) -> None:
        """End the stream with its answer; one before which nothing was sent is a plain answer, without any stream,
        unless the client names streams first."""
        if self.finish_plain(answer):
            return
        if self._opened is not None:
            await self._opened
        if not self._plain:
            await self.open()
        self.finished = True
        if self._sink is not None and (self._last == 0 or not self._streams):
            self._sink.finish(answer)
        elif answer.body is not None:
            event = self._keep(answer.body)
            if self._sink is not None:
                await self._deliver(event)
                self._forget_delivered()
                self._leave(Answer(answer.status))
        if self._last and self._keeper is not None:
            self._keeper(self)
        self.wake()

    def finish_plain(self, answer: Answer) -> bool:
        """As `finish`, if that is a plain answer, which nobody has to wait for; False if it is not."""
        if self._last or self._opened is not None or not self._plain or self._sink is None:
            return False
        self.finished = True
        self._sink.finish(answer)
        if self._news is not None:
            self._news.set()
        return True

    async def pause(self, retry_ms: int) -> None:
        """Close the connection and let the client come back after `retry_ms` (SSE polling, 2025-11-25)."""
        if self._sink is not None and self._streams:
            await self.open()
        if self._sink is not None and self._streams and self._last > 0:
            await self._deliver(self._keep(b""), retry_ms)
            self._leave(Answer(200))

    def detach(self) -> None:
        """The connection is gone."""
        self._sink = None

    async def resume(self, sink: Sink, after: int) -> None:
        """Send what came after event `after`, and go on with what comes: until the answer, until the client goes, or
        until it comes back on another connection, for a message goes to one only (2025-11-25, basic/transports)."""
        self._sink = None
        self._reader = reader = object()
        news = self._news = self._news or asyncio.Event()
        news.set()
        while self._reader is reader:
            missed = next((e for e in self._events if e.number > after), None)
            if missed is None and not self.finished and (message := self._more()) is not None:
                missed = self._keep(message)
            if missed is not None:
                after = missed.number
                await sink.send(missed.message, event_id=f"{self.number}-{after}")
            elif self.finished:
                sink.finish(Answer(200))
                return
            else:
                news.clear()
                await news.wait()

    def wake(self) -> None:
        """There is more for whoever reads the stream."""
        if self._news is not None:
            self._news.set()

    def end(self) -> None:
        """Its session has ended: there is nothing more to ask for."""
        self._more = _nothing_more

    def _forget_delivered(self) -> None:
        """What was written to a connection that lives is kept for a moment's trouble only while it is small."""
        if self._sink is not None and self.kept_bytes > MAX_DELIVERED_BYTES:
            asyncio.get_running_loop().call_later(KEEP_DELIVERED_S, self._forget)

    def _forget(self) -> None:
        self._events.clear()
        self.kept_bytes = 0

    def has_all_after(self, number: int) -> bool:
        """Whether everything that came after event `number` is still kept."""
        first = self._events[0].number if self._events else self._last + 1
        return number + 1 >= first

    def _leave(self, answer: Answer) -> None:
        if self._sink is not None:
            self._sink.finish(answer)
            self._sink = None

    def _keep(self, message: bytes) -> Event:
        self._last += 1
        if self._last == 1 and self._keeper is not None:
            self._keeper(self)
        event = Event(self._last, message)
        self._events.append(event)
        self.kept_bytes += len(message)
        while len(self._events) > MAX_EVENTS or (self.kept_bytes > MAX_KEPT_BYTES and len(self._events) > 1):
            self.kept_bytes -= len(self._events.popleft().message)
        self.wake()
        return event

    async def _deliver(self, event: Event, retry_ms: int | None = None) -> None:
        if self._sink is None:
            return
        try:
            await self._sink.send(event.message, event_id=f"{self.number}-{event.number}", retry_ms=retry_ms)
        except ClientGone:
            self._sink = None


def _nothing_more() -> bytes | None:
    return None
