"""A POST to an upstream that was sent at once and is waited for by nobody (`call.Begun`).

It holds all that is needed to go on as if it had been sent by a coroutine: head and body for a second sending, the id
that the answer must have, and who goes on.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.http_exchange import MAX_ELEMENTS, Endpoint, kind_of, let_end
from toolyard.net.connection import HttpConnection
from toolyard.net.response import HttpResponse
from toolyard.protocol import strict_json
from toolyard.protocol.errors import ProtocolError
from toolyard.protocol.read_result import remembered

_ONE_EVENT: Final = re.compile(rb"(?:(?:event: ?message|id: ?[^\r\n]*)\r?\n)*data: ?([^\r\n]+)\r?\n\r?\n")
"""A stream with one message on one line, as servers write it that answer every request with a stream."""


class Runner(Protocol):
    """Whoever counts the running requests: a driver, or who keeps a session."""

    running: int


def _not_yet() -> None:
    return None


class BegunPost:
    """One POST under way. `go_on_with` carries on what is not plain."""

    __slots__ = (
        "_go_on_with",
        "body",
        "call",
        "connection",
        "driver",
        "endpoint",
        "head",
        "params",
        "ready",
        "request_id",
        "response",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        driver: Runner,
        go_on_with: Callable[[BegunPost], Awaitable[Json]],
        call: Call,
        params: Json,
        request_id: int,
        head: bytes,
        body: bytes,
    ) -> None:
        self.endpoint = endpoint
        self.driver = driver
        self._go_on_with = go_on_with
        self.call = call
        self.params = params
        self.request_id = request_id
        self.head = head
        self.body = body
        self.ready: Callable[[], None] = _not_yet
        self.response: HttpResponse | None = None
        self.connection: HttpConnection | None = None

    def send(self, connection: HttpConnection) -> None:
        """Send it on an idle connection."""
        self.response = self.endpoint.begin(connection, self.head, self.body, self.call.deadline, self.look)
        self.driver.running += 1

    def look(self) -> None:
        """See what has come of the answer."""
        response = self.response
        if response is None:
            return
        if response.complete or response.waits_for_reader or (response.status and not _may_become_plain(response)):
            response.on_news = None
            self.ready()

    def take(self) -> Json | None:
        """The result, if the answer is one whole JSON message with a complete result and nothing else; it may be the
        first event of a stream, which need not have ended then."""
        response = self.response
        if response is None or response.status != 200:
            return None
        body = _message_in(response)
        if body is None or len(body) > self.endpoint.limits.response_bytes:
            return None
        result = plain_result(body, self.request_id)
        if result is not None:
            if not response.complete:
                let_end(response)
            self.response = None
            self.ready = _not_yet
            self.endpoint.breaker.connected()
            self.over()
        return result

    def over(self) -> None:
        """The request is not running any more."""
        self.driver.running -= 1

    async def go_on(self) -> Json:
        """The result, whatever it takes. Raises what `Upstream.request` raises."""
        return await self._go_on_with(self)

    async def opened(self, *, idempotent: bool) -> HttpResponse:
        """The answer once its head is there. Raises UpstreamError."""
        assert self.response is not None
        return await self.endpoint.opened(
            self.response, self.head, self.body, deadline=self.call.deadline, idempotent=idempotent
        )

    def cancel(self) -> None:
        """Close the connection, which is how the upstream learns of it."""
        self.abort()
        self.endpoint.breaker.abandoned()
        self.over()

    def abort(self) -> None:
        """Close the connection, if anything is still to come on it."""
        if self.response is not None:
            self.response.on_news = None
            self.response.abort()
        elif self.connection is not None:
            self.connection.drop()


def _may_become_plain(response: HttpResponse) -> bool:
    """JSON, or a stream whose first event has not come yet: it ends with a blank line."""
    kind = kind_of(response) if response.status == 200 else ""
    return kind == "json" or (kind == "sse" and not response.ends_a_line)


def _message_in(response: HttpResponse) -> bytes | None:
    """The one message of an answer, if there is one and it is here."""
    kind = kind_of(response)
    if kind == "json":
        return response.whole() if response.complete else None
    found = _ONE_EVENT.fullmatch(response.whole()) if kind == "sse" else None
    return found[1] if found is not None else None


def plain_result(body: bytes, request_id: int) -> Json | None:
    """The result in the body of an answer, if it is a complete one and the answer to this request."""
    try:
        message = strict_json.decode(body, max_elements=MAX_ELEMENTS)
    except ProtocolError:
        return None
    if type(message) is not dict or message.get("jsonrpc") != "2.0" or "method" in message or "error" in message:
        return None
    answered, result = message.get("id"), message.get("result")
    if answered != request_id or type(answered) is not int or type(result) is not dict:
        return None
    return remembered(message, result, body) if result.get("resultType", "complete") == "complete" else None
