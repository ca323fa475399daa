"""The answers to a legacy session's requests over HTTP: one JSON message each, or a stream, which may be resumed.

What else comes on such a stream belongs to the same call: its notifications, and what the server asks on its behalf.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from toolyard.gateway.upstream.errors import UpstreamIncomplete
from toolyard.gateway.upstream.http_delivery import CANCELLED, Announcer
from toolyard.gateway.upstream.http_exchange import Endpoint, kind_of, let_end
from toolyard.gateway.upstream.http_questions import Questions
from toolyard.gateway.upstream.http_running import Running
from toolyard.net.response import HttpResponse
from toolyard.protocol.jsonrpc import Message, Reply, Request

FIRST_RETRY_MS, LEAST_RETRY_MS, MOST_RETRY_MS = 1_000, 100, 60_000
Resume = Callable[[str, float], Awaitable[HttpResponse]]


class Answers:
    """Reads the answers to one session's requests. `resume` asks for what came after an event, until a deadline."""

    def __init__(self, endpoint: Endpoint, announcer: Announcer, questions: Questions, resume: Resume) -> None:
        self._endpoint = endpoint
        self._announcer = announcer
        self._questions = questions
        self._resume = resume

    async def read(self, response: HttpResponse, running: Running, deadline: float) -> Reply:
        """The reply to the request that is `running`. Raises UpstreamError, SessionLost, and what its call raises."""
        kind = kind_of(response)
        if kind == "json":
            message: Message = await self._endpoint.message(response)
            if not isinstance(message, Reply) or message.id != running.request_id:
                raise self._endpoint.invalid("answered another request than the one it was sent")
            return message
        if kind == "sse":
            return await self._streamed(response, running, deadline)
        raise self._endpoint.invalid("answered with something that is not MCP")

    async def _streamed(self, response: HttpResponse, running: Running, deadline: float) -> Reply:
        """The first reply to this request. A stream that ends before it is resumed where the server numbered its events
        (2025-11-25, basic/transports, resumability and polling), until the deadline."""
        event_id, retry_ms = "", FIRST_RETRY_MS
        while True:
            parser = self._endpoint.event_parser()
            try:
                async for event in self._endpoint.events(response, parser):
                    reply = await self._take(event.data, running)
                    if reply is not None:
                        let_end(response)
                        return reply
            except UpstreamIncomplete:
                if not (parser.last_event_id or event_id):
                    raise
            except BaseException:
                response.abort()
                raise
            event_id = parser.last_event_id or event_id
            retry_ms = parser.retry_ms if parser.retry_ms is not None else retry_ms
            if not event_id:
                raise UpstreamIncomplete(f"Upstream {self._endpoint.upstream_id!r} ended its answer before the result.")
            if running.call is not None and running.call.pause is not None and parser.retry_ms is not None:
                await running.call.pause(parser.retry_ms)
            response = await self._resumed(event_id, retry_ms, deadline)

    async def _resumed(self, event_id: str, retry_ms: int, deadline: float) -> HttpResponse:
        await asyncio.sleep(clamped_s(retry_ms))
        response = await self._resume(event_id, deadline)
        if response.status != 200 or kind_of(response) != "sse":
            response.abort()
            raise UpstreamIncomplete(
                f"Upstream {self._endpoint.upstream_id!r} broke off its answer and does not resume it."
            )
        return response

    async def _take(self, data: bytes, running: Running) -> Reply | None:
        """One event of a call's stream; the reply if it is the one that is waited for."""
        courier = running.courier
        if not data or (courier is not None and courier.drops_unread(data)):
            return None
        message = self._endpoint.decode(data)
        if isinstance(message, Reply):
            if message.id == running.request_id:
                return message
            self._announcer.counts["strays"] += 1
        elif isinstance(message, Request):
            self._questions.take(message, running)
        elif message.method == CANCELLED:
            self._questions.withdraw(message)
        elif courier is not None:
            await courier.deliver(message)
        return None


def clamped_s(retry_ms: int) -> float:
    """The pause a server asked for, from 0.1 to 60 seconds."""
    return min(max(retry_ms, LEAST_RETRY_MS), MOST_RETRY_MS) / 1000
