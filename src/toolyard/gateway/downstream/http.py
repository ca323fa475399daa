"""Streamable HTTP on `/mcp` and `/mcp/{server_code}`: both eras on one URL.

POST is the exchange. GET and DELETE belong to sessions of older revisions; a modern client has neither (405).
"""

from __future__ import annotations

import asyncio

from toolyard.gateway.acceptance import NotAcceptable, accepted
from toolyard.gateway.call import Answer, Head
from toolyard.gateway.exchange import SESSION_HEADER, Exchange
from toolyard.gateway.http_sink import HttpSink
from toolyard.gateway.sessions import Sessions
from toolyard.gateway.translate import error_answer
from toolyard.kit.errors import PlatformError
from toolyard.protocol.revisions import LEGACY

_NOT_HERE = Answer(405, headers=(("allow", "POST"),))


class StreamableHttp:
    """The handlers of the Streamable HTTP routes."""

    def __init__(self, exchange: Exchange, sessions: Sessions) -> None:
        self._exchange = exchange
        self._sessions = sessions

    async def post(self, head: Head, body: bytes, sink: HttpSink) -> None:
        """One message, or a batch."""
        await self._exchange(head, body, sink)

    async def get(self, head: Head, _body: bytes, sink: HttpSink) -> None:
        """The stream of a session's messages that belong to no call, or the rest of a stream that broke."""
        if _has_no_session(head):
            sink.finish(_NOT_HERE)
            return
        try:
            if not accepted(head).streams:
                raise NotAcceptable
            session = self._exchange.session(head)
            last_seen = head.headers.get("last-event-id")
            stream, after = session.standalone, session.standalone.last
            if last_seen:
                stream, after = session.find_stream(last_seen)
        except PlatformError as error:
            sink.finish(error_answer(error, None, LEGACY[0]))
            return
        sink.headers.append((SESSION_HEADER, session.id))
        sink.open()
        session.listeners += 1
        ended = asyncio.ensure_future(session.ended.wait())
        serving = asyncio.ensure_future(stream.resume(sink, after))
        try:
            await asyncio.wait({ended, serving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            serving.cancel()
            await asyncio.gather(ended, serving, return_exceptions=True)
            session.listeners -= 1
            self._sessions.touch(session)
        sink.close_stream()

    async def delete(self, head: Head, _body: bytes, sink: HttpSink) -> None:
        """End a session."""
        if _has_no_session(head):
            sink.finish(_NOT_HERE)
            return
        try:
            self._sessions.end(self._exchange.session(head))
        except PlatformError as error:
            sink.finish(error_answer(error, None, LEGACY[0]))
            return
        sink.finish(Answer(204))


def _has_no_session(head: Head) -> bool:
    version = head.headers.get("mcp-protocol-version")
    return SESSION_HEADER not in head.headers or (version is not None and version not in LEGACY)
