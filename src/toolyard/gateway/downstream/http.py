"""Streamable HTTP on `/mcp` and `/mcp/{server_code}`: both eras on one URL.

POST is the exchange. GET and DELETE belong to sessions of older revisions; a modern client has neither (405).
"""

from __future__ import annotations

import asyncio

from toolyard.gateway.acceptance import NotAcceptable, accepted
from toolyard.gateway.call import Answer, Elsewhere, EventSink, Head, Rest
from toolyard.gateway.exchange import SESSION_HEADER, Exchange
from toolyard.gateway.sessions import Sessions
from toolyard.gateway.translate import error_answer
from toolyard.kit.errors import PlatformError
from toolyard.protocol.revisions import LEGACY

_NOT_HERE = Answer(405, headers=(("allow", "POST"),))


class StreamableHttp:
    """The handlers of the Streamable HTTP routes."""

    def __init__(self, exchange: Exchange, sessions: Sessions) -> None:
        self.elsewhere: Elsewhere | None = None
        """Where sessions are that live in another process."""
        self._exchange = exchange
        self._sessions = sessions

    def post(self, head: Head, body: bytes, sink: EventSink) -> Rest:
        """One message, or a batch."""
        if self.elsewhere is None or _has_no_session(head) or self.elsewhere.of_session(head) is None:
            return self._exchange.begin(head, body, sink)
        return self.answer_post(head, body, sink)

    async def answer_post(self, head: Head, body: bytes, sink: EventSink) -> None:
        """As `post`, to its end; of a session, where it lives."""
        if not await self._served_elsewhere("post", head, body, sink):
            await self._exchange(head, body, sink)

    async def get(self, head: Head, body: bytes, sink: EventSink) -> None:
        """The stream of a session's messages that belong to no call, or the rest of a stream that broke."""
        if self.elsewhere is not None and await self._served_elsewhere("get", head, body, sink):
            return
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

    async def delete(self, head: Head, body: bytes, sink: EventSink) -> None:
        """End a session."""
        if self.elsewhere is not None and await self._served_elsewhere("delete", head, body, sink):
            return
        if _has_no_session(head):
            sink.finish(_NOT_HERE)
            return
        try:
            self._sessions.end(self._exchange.session(head))
        except PlatformError as error:
            sink.finish(error_answer(error, None, LEGACY[0]))
            return
        sink.finish(Answer(204))

    async def _served_elsewhere(self, name: str, head: Head, body: bytes, sink: EventSink) -> bool:
        """Have the exchange of a session served where it lives; False if that is here."""
        carry = self.elsewhere.of_session(head) if self.elsewhere is not None and not _has_no_session(head) else None
        if carry is None:
            return False
        try:
            await carry(name, head, body, sink)
        except PlatformError as error:
            if name == "post":
                self._exchange.refuse_unserved(head, body, error, sink)
            else:
                sink.finish(error_answer(error, None, LEGACY[0]))
        return True


def _has_no_session(head: Head) -> bool:
    version = head.headers.get("mcp-protocol-version")
    return SESSION_HEADER not in head.headers or (version is not None and version not in LEGACY)
