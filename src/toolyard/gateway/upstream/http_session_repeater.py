"""Tool calls on a legacy session over HTTP in the same words as one before (`call.Repeater`).

The session knows such a call by its id. What comes on its GET stream may belong to any running call, so whenever
something comes there, all of them become what they would have been without a plan (`expose`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Sent
from toolyard.gateway.upstream.http_begun import BegunPost, plain_result
from toolyard.gateway.upstream.http_exchange import kind_of_head
from toolyard.gateway.upstream.http_session import LegacySession
from toolyard.gateway.upstream.http_session_begun import BegunInSession, Counter
from toolyard.net.connection import HttpConnection, KnownHead
from toolyard.net.response import HttpResponse
from toolyard.protocol.convert import from_upstream
from toolyard.protocol.revisions import LEGACY
from toolyard.protocol.strict_json import encode

GoOn = Callable[[BegunPost], Awaitable[Json]]


class Place(Counter, Protocol):
    """Where the session is kept."""

    session: LegacySession | None


class SessionRepeater:
    """Sends calls of one tool on `session`. `is_current` says whether its place is still in use; `count` is told of
    every call."""

    __slots__ = (
        "_before",
        "_call",
        "_count",
        "_endpoint",
        "_exposed",
        "_go_on",
        "_head",
        "_is_current",
        "_name",
        "_place",
        "_session",
    )

    def __init__(
        self,
        session: LegacySession,
        place: Place,
        go_on: GoOn,
        is_current: Callable[[], bool],
        count: Callable[[], None],
        call: Call,
        name: str,
    ) -> None:
        self._session = session
        self._endpoint = session.endpoint
        self._place = place
        self._go_on = go_on
        self._is_current = is_current
        self._count = count
        self._call = call
        self._name = name
        self._head = session.post_head()
        self._before = b',"method":"tools/call","params":{"name":%s,"arguments":' % encode(name)
        self._exposed: dict[int, _Exposed] = {}

    def holds(self) -> bool:
        session = self._session
        return (
            self._place.session is session
            and not session.is_lost
            and not session.must_lower(self._call)
            and self._is_current()
        )

    def take(self) -> HttpConnection | None:
        return self._endpoint.idle_connection()

    def give_back(self, connection: HttpConnection) -> None:
        self._endpoint.give_back(connection)

    def send(self, sent: Sent, connection: HttpConnection) -> None:
        session = self._session
        number = sent.upstream_request_id = session.next_id()
        sent.connection = connection
        sent.body = body = b'{"jsonrpc":"2.0","id":%d%s%s}}' % (number, self._before, encode(sent.arguments))
        session.sent[number] = (self, sent)
        self._place.running += 1
        self._count()
        data = b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)
        self._endpoint.send(connection, data, sent.deadline, sent)

    def answered(self, sent: Sent, known: KnownHead, body: bytes) -> None:
        """The whole answer is here."""
        number = sent.upstream_request_id
        result = None
        if (
            number in self._session.sent
            and known.status == 200
            and kind_of_head(known) == "json"
            and len(body) <= self._endpoint.limits.response_bytes
        ):
            result = plain_result(body, number)
        if result is None:
            response = HttpResponse(sent.connection, sent.connection.loop)
            response.fill(known, body)
            self._begun(sent, response).look()
        else:
            self._endpoint.breaker.connected()
            self._session.came_back(number)
            self._place.over()
            sent.done(from_upstream(LEGACY[0], "tools/call", result))

    def opened(self, sent: Sent, response: HttpResponse) -> None:
        """An answer begins, or is known not to come."""
        response.on_news = self._begun(sent, response).look

    def give_up(self, sent: Sent) -> None:
        self._begun(sent, None)

    def expose(self, sent: Sent) -> None:
        """Make of a call under way what the session can bring messages to."""
        begun = self._begun(sent, None)
        self._exposed[sent.upstream_request_id] = begun

    def _begun(self, sent: Sent, response: HttpResponse | None) -> _Exposed:
        """The request as anyone would have begun it."""
        number = sent.upstream_request_id
        known = self._exposed.pop(number, None)
        if known is not None:
            known.response = response
            return known

        def begun(call: Call) -> _Exposed:
            self._session.sent.pop(number, None)
            running = self._session.enter(number, call, begun=True)
            params = {"name": self._name, "arguments": sent.arguments}
            post = _Exposed(self._session, self._place, self._go_on, call, params, running, self._head, sent.body)
            post.response, post.connection, post.exposed = response, sent.connection, self._exposed
            return post

        return sent.not_plain(begun)


class _Exposed(BegunInSession):
    """A request of a repeater; it is forgotten there when it ends before its answer."""

    __slots__ = ("exposed",)

    exposed: dict[int, _Exposed]

    def over(self) -> None:
        self.exposed.pop(self.request_id, None)
        super().over()

    def abort(self) -> None:
        self.exposed.pop(self.request_id, None)
        super().abort()
