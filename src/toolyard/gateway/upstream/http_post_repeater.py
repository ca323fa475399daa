"""Tool calls over HTTP in the same words as one before (`call.Repeater`): what the eras have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Sent
from toolyard.gateway.upstream.http_begun import BegunPost, plain_result
from toolyard.gateway.upstream.http_exchange import Endpoint, kind_of_head
from toolyard.net.connection import HttpConnection, KnownHead
from toolyard.net.response import HttpResponse
from toolyard.protocol.strict_json import encode


class PostRepeater(ABC):
    """Sends calls of one tool by POSTs that differ in id and arguments only. `meta` goes into their parameters; `count`
    is told of every call."""

    __slots__ = ("_after", "_before", "_count", "_endpoint", "_head", "_name", "_next_id")

    def __init__(
        self,
        endpoint: Endpoint,
        next_id: Callable[[], int],
        count: Callable[[], None],
        *,
        name: str,
        head: bytes,
        meta: bytes | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._next_id = next_id
        self._count = count
        self._name = name
        self._head = head
        self._before = b',"method":"tools/call","params":{"name":%s,"arguments":' % encode(name)
        self._after = b"}}" if meta is None else b',"_meta":%s}}' % meta

    def take(self) -> HttpConnection | None:
        return self._endpoint.idle_connection()

    def give_back(self, connection: HttpConnection) -> None:
        self._endpoint.give_back(connection)

    def send(self, sent: Sent, connection: HttpConnection) -> None:
        number = sent.upstream_request_id = self._next_id()
        sent.connection = connection
        sent.body = body = b'{"jsonrpc":"2.0","id":%d%s%s%s' % (
            number,
            self._before,
            encode(sent.arguments),
            self._after,
        )
        self._entered(sent)
        self._count()
        data = b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)
        self._endpoint.send(connection, data, sent.deadline, sent)

    def answered(self, sent: Sent, known: KnownHead, body: bytes) -> None:
        """The whole answer is here."""
        result = None
        if known.status == 200 and kind_of_head(known) == "json" and len(body) <= self._endpoint.limits.response_bytes:
            result = plain_result(body, sent.upstream_request_id)
        if result is None:
            self._hand_over(sent, known, body)
        else:
            self._endpoint.breaker.connected()
            self._done(sent, result)

    def opened(self, sent: Sent, response: HttpResponse) -> None:
        """An answer begins, or is known not to come."""
        response.on_news = self._begun(sent, response).look

    def give_up(self, sent: Sent) -> None:
        self._begun(sent, None)

    def _hand_over(self, sent: Sent, known: KnownHead, body: bytes) -> None:
        """The whole answer is here, but is not a plain one."""
        response = HttpResponse(sent.connection, sent.connection.loop)
        response.fill(known, body)
        self._begun(sent, response).look()

    @abstractmethod
    def _entered(self, sent: Sent) -> None:
        """A call begins to run."""

    @abstractmethod
    def _done(self, sent: Sent, result: Json) -> None:
        """A call has its plain result."""

    @abstractmethod
    def _begun(self, sent: Sent, response: HttpResponse | None) -> BegunPost:
        """The request as anyone would have begun it."""
