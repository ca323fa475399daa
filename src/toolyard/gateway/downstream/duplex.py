"""Client connections that carry many messages both ways: WebSocket, standard input and output, HTTP+SSE.

Both eras on one connection: `initialize` opens its one session; requests that describe themselves are modern. Requests
run side by side, at most 64; as many again wait a little for their turn, and reading goes on meanwhile: answers to
questions come the same way. What needs order (the handshake, notifications, replies) is done in order. What goes out
goes through one queue, so answers never overtake what was sent before them; while it is full, nothing more is read.
"""

from __future__ import annotations

import asyncio

from toolyard.gateway.call import Answer, ClientGone, Head, MessageSocket, Principal
from toolyard.gateway.eras import Messages
from toolyard.gateway.errors import TooManyCalls, Unauthenticated
from toolyard.gateway.exchange import Conversation, Exchange
from toolyard.gateway.interceptors.in_flight import Bulkhead
from toolyard.kit.errors import PlatformError
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol import jsonrpc

MAX_RUNNING = 64
TURN_S = 1.0
MAX_QUEUED = 256
POLICY_VIOLATION = 1008


class Outgoing:
    """The queue of one connection. `send` waits while it is full; the answer of a call is always taken."""

    def __init__(self, socket: MessageSocket) -> None:
        self._socket = socket
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self.gone = False
        self.unread = False
        """The client's messages have ended, so nobody waits for answers."""

    async def send(self, message: bytes) -> None:
        """Queue a message. Raises ClientGone."""
        await self.room()
        self.put(message)

    async def room(self) -> None:
        """Wait until the queue is not full."""
        while not self._room.is_set() and not self.gone:
            await self._room.wait()

    async def flushed(self) -> None:
        """Wait until everything queued is handed to the socket, a second at most."""
        try:
            async with asyncio.timeout(1.0):
                await self._queue.join()
        except TimeoutError:
            return

    def put(self, message: bytes | None) -> None:
        """Queue a message at once, or the end."""
        if self.gone:
            raise ClientGone
        self._queue.put_nowait(message)
        if self._queue.qsize() >= MAX_QUEUED:
            self._room.clear()

    async def run(self) -> None:
        """Write the queue to the socket until the end or until the client goes."""
        try:
            while (message := await self._queue.get()) is not None:
                if self._queue.qsize() < MAX_QUEUED:
                    self._room.set()
                await self._socket.send(message)
                self._queue.task_done()
        except ClientGone:
            pass
        finally:
            self.gone = True
            self._room.set()


class ConversationSink:
    """The sink of one message of a connection."""

    __slots__ = ("_outgoing",)

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    async def send(self, message: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> None:
        del event_id, retry_ms
        await self._outgoing.send(message)

    def finish(self, answer: Answer) -> None:
        if answer.body is not None and not self._outgoing.gone:
            self._outgoing.put(answer.body)

    def outlive_client(self) -> None:
        """A connection's calls end with it."""

    @property
    def is_gone(self) -> bool:
        return self._outgoing.gone or self._outgoing.unread


class Duplex:
    """One connection's life, from its first message to its end."""

    def __init__(self, exchange: Exchange, head: Head, socket: MessageSocket, *, last_answers_s: float = 0.0) -> None:
        """`last_answers_s`: how long calls may still run when the client's messages end."""
        self._last_answers_s = last_answers_s
        self._exchange = exchange
        self._head = head
        self._socket = socket
        self._outgoing = Outgoing(socket)
        self._conversation = Conversation(push=self._outgoing.send)
        self._calls = TaskOwner("connection")
        self._listening = TaskOwner("listen streams")
        self._places = Bulkhead(MAX_RUNNING, TURN_S)

    async def run(self) -> None:
        """Serve until the client goes. What still runs is cancelled then."""
        writer = asyncio.ensure_future(self._outgoing.run())
        self._exchange.connections.add(self)
        try:
            while (body := await self._socket.receive()) is not None:
                await self.take(body)
                if len(self._calls) >= MAX_RUNNING:
                    await asyncio.sleep(0)
                await self._outgoing.room()
            await self._calls.settled(self._last_answers_s)
            self._outgoing.unread = True
        finally:
            self._exchange.connections.discard(self)
            await self._calls.aclose()
            await self._listening.aclose()
            await self._exchange.end(self._conversation)
            if not self._outgoing.gone:
                self._outgoing.put(None)
            await asyncio.wait({writer}, timeout=1.0)
            writer.cancel()

    @property
    def principal(self) -> Principal | None:
        """Who opened the connection."""
        return self._head.principal

    def expel(self) -> None:
        """Close the connection: its principal is not valid any more."""
        self._calls.start(self._socket.close(POLICY_VIOLATION, "the key is not valid any more"))

    async def take(self, body: bytes) -> None:
        """One message of the client."""
        sink = ConversationSink(self._outgoing)
        try:
            message = self._exchange.read(self._head, body)
        except Unauthenticated as error:
            self._exchange.refuse(self._head, error, sink)
            await self._outgoing.flushed()
            await self._socket.close(POLICY_VIOLATION, "the key is not valid any more")
            return
        except PlatformError as error:
            self._exchange.refuse(self._head, error, sink)
            return
        if (isinstance(message, jsonrpc.Request) and message.method != "initialize") or isinstance(message, list):
            listens = isinstance(message, jsonrpc.Request) and message.method == "subscriptions/listen"
            (self._listening if listens else self._calls).start(self._call(message, sink))
        else:
            await self._exchange.handle(self._head, message, sink, self._conversation)

    async def _call(self, message: Messages, sink: ConversationSink) -> None:
        try:
            await self._places.enter()
        except TooManyCalls as error:
            self._exchange.refuse(self._head, error, sink, message)
            return
        try:
            await self._exchange.handle(self._head, message, sink, self._conversation)
        finally:
            self._places.leave()
