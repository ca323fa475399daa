"""The GET stream of a legacy session: what the server says outside any call (2025-11-25, basic/transports).

A server may refuse it (405), end it, and break it; it is opened again with growing pauses, from the last numbered event
on where there was one. After a gap without numbers, everything listened to is announced once: a change may have been
missed. A server that answers 404 to the first GET of a session has no such stream; later it has lost the session.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.gateway.upstream.http_answers import FIRST_RETRY_MS, clamped_s
from toolyard.gateway.upstream.http_delivery import CANCELLED
from toolyard.gateway.upstream.http_exchange import STREAM_S, kind_of
from toolyard.gateway.upstream.http_running import Running
from toolyard.gateway.upstream.http_session import LegacySession
from toolyard.kit.errors import PlatformError
from toolyard.protocol.jsonrpc import Notification, Reply, Request
from toolyard.protocol.sse import SseParser

LONGEST_PAUSE_S = 60.0
STEADY_S = 5.0
MAX_WAITING = 64


async def keep_listening(
    session: LegacySession, on_lost: Callable[[LegacySession], None], missed: Callable[[], None]
) -> None:
    """Keep the session's GET stream open until the server refuses it. `on_lost` is told when the session is gone,
    `missed` when something may have changed unheard."""
    event_id, retry_ms, failures = "", FIRST_RETRY_MS, 0
    loop = asyncio.get_running_loop()
    while True:
        began_s, parser = loop.time(), session.endpoint.event_parser()
        try:
            if not await _listen(session, parser, event_id, missed if failures > 0 and not event_id else None):
                break
        except UpstreamError:
            session.settle_stream()
        event_id = parser.last_event_id or event_id
        retry_ms = parser.retry_ms if parser.retry_ms is not None else retry_ms
        failures = 1 if loop.time() - began_s >= STEADY_S else failures + 1
        pause_s = min(LONGEST_PAUSE_S, clamped_s(retry_ms) * 2 ** min(failures - 1, 10))
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)
    session.settle_stream()
    if session.is_lost:
        on_lost(session)


async def _listen(session: LegacySession, parser: SseParser, event_id: str, missed: Callable[[], None] | None) -> bool:
    """One stream until its end; false where there is none to be had."""
    deadline = asyncio.get_running_loop().time() + STREAM_S
    response = await session.open("GET", None, deadline, safe=True, event_id=event_id or None)
    with response:
        if response.status >= 500 or response.status == 429:
            return True
        if response.status != 200 or kind_of(response) != "sse":
            forgotten = response.status == 404 and session.has_id and session.has_streamed
            session.is_lost = session.is_lost or forgotten
            return False
        session.has_streamed = True
        session.settle_stream()
        if missed is not None:
            missed()
        async for event in session.endpoint.events(response, parser):
            if event.data:
                _take(session, event.data)
    return True


def _take(session: LegacySession, data: bytes) -> None:
    """One message that is no part of any call's stream. Never waits: the stream is everyone's."""
    message = session.endpoint.decode(data)
    if isinstance(message, Request):
        session.questions.take(message, session.calls.only_running())
    elif isinstance(message, Reply):
        session.announcer.counts["strays"] += 1
    elif message.method == CANCELLED:
        session.questions.withdraw(message)
    elif not session.announcer.announce(message, session.principal_id):
        owner = session.calls.owner_of(message)
        if owner is not None and len(owner.deliveries) < MAX_WAITING:
            task = session.spawn(_deliver(owner, message))
            owner.deliveries.add(task)
            task.add_done_callback(owner.deliveries.discard)


async def _deliver(owner: Running, message: Notification) -> None:
    """Bring a call what came for it outside its own stream."""
    if owner.courier is None:
        return
    try:
        await owner.courier.deliver(message)
    except PlatformError as failure:
        owner.fail(failure)
