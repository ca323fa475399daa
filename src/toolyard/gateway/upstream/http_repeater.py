"""Tool calls of 2026-07-28 over HTTP in the same words as one before (`call.Repeater`): ids and arguments differ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Sent
from toolyard.gateway.upstream.http_begun import BegunPost, plain_result
from toolyard.gateway.upstream.http_exchange import kind_of_head
from toolyard.gateway.upstream.http_modern import ModernDriver
from toolyard.net.connection import HttpConnection, KnownHead
from toolyard.net.response import HttpResponse
from toolyard.protocol.strict_json import encode

GoOn = Callable[[BegunPost], Awaitable[Json]]


def http_repeater(
    driver: ModernDriver,
    go_on: GoOn,
    is_current: Callable[[ModernDriver], bool],
    count: Callable[[], None],
    call: Call,
    params: Json,
) -> HttpRepeater | None:
    """What sends calls in the words of `call`; None where arguments travel in headers."""
    opening = driver.opening(call, params)
    if opening is None:
        return None
    head, meta = opening
    return HttpRepeater(driver, go_on, is_current, count, name=params["name"], head=head, meta=meta)


class HttpRepeater:
    """Sends calls of one tool through `driver`. `is_current` says whether the upstream still uses it; `count` is told
    of every call. A head holds until the tools are read again: their arguments may travel in headers then."""

    __slots__ = (
        "_after",
        "_before",
        "_count",
        "_driver",
        "_endpoint",
        "_go_on",
        "_head",
        "_heads",
        "_is_current",
        "_name",
    )

    def __init__(
        self,
        driver: ModernDriver,
        go_on: GoOn,
        is_current: Callable[[ModernDriver], bool],
        count: Callable[[], None],
        *,
        name: str,
        head: bytes,
        meta: bytes,
    ) -> None:
        self._driver = driver
        self._endpoint = driver.endpoint
        self._go_on = go_on
        self._is_current = is_current
        self._count = count
        self._name = name
        self._head = head
        self._heads = driver.tools.heads
        quoted = encode(name)
        self._before = b',"method":"tools/call","params":{"name":%s,"arguments":' % quoted
        self._after = b',"_meta":%s}}' % meta

    def holds(self) -> bool:
        return self._heads is self._driver.tools.heads and self._is_current(self._driver)

    def take(self) -> HttpConnection | None:
        return self._endpoint.idle_connection()

    def give_back(self, connection: HttpConnection) -> None:
        self._endpoint.give_back(connection)

    def send(self, sent: Sent, connection: HttpConnection) -> None:
        driver = self._driver
        number = sent.upstream_request_id = driver.next_id()
        sent.connection = connection
        sent.body = body = b'{"jsonrpc":"2.0","id":%d%s%s%s' % (
            number,
            self._before,
            encode(sent.arguments),
            self._after,
        )
        self._count()
        driver.running += 1
        data = b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)
        self._endpoint.send(connection, data, sent.deadline, sent)

    def answered(self, sent: Sent, known: KnownHead, body: bytes) -> None:
        """The whole answer is here."""
        result = None
        if known.status == 200 and kind_of_head(known) == "json" and len(body) <= self._endpoint.limits.response_bytes:
            result = plain_result(body, sent.upstream_request_id)
        if result is None:
            response = HttpResponse(sent.connection, sent.connection.loop)
            response.fill(known, body)
            self._begun(sent, response).look()
        else:
            self._endpoint.breaker.connected()
            self._driver.running -= 1
            sent.done(result)

    def opened(self, sent: Sent, response: HttpResponse) -> None:
        """An answer begins, or is known not to come."""
        response.on_news = self._begun(sent, response).look

    def give_up(self, sent: Sent) -> None:
        self._begun(sent, None)

    def _begun(self, sent: Sent, response: HttpResponse | None) -> BegunPost:
        """The request as anyone would have begun it."""

        def begun(call: Call) -> BegunPost:
            params = {"name": self._name, "arguments": sent.arguments}
            post = BegunPost(
                self._endpoint, self._driver, self._go_on, call, params, sent.upstream_request_id, self._head, sent.body
            )
            post.response, post.connection = response, sent.connection
            return post

        return sent.not_plain(begun)
