"""One upstream's end of HTTP: its pooled client, its own headers, its breaker; and answers turned into messages.

Every failure becomes one of `gateway/upstream/errors.py`, whose text names the upstream by its id and nothing else. An
answer is bounded in size whatever form it has, and in time by the deadline its request was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.upstream.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from toolyard.gateway.upstream.http_breaker import Breaker
from toolyard.gateway.upstream.http_retry_after import retry_after_s
from toolyard.kit.clock import Clock
from toolyard.net.connection import HttpConnection, Taker
from toolyard.net.errors import (
    BadResponse,
    ConnectTimedOut,
    DeadlineExceeded,
    EgressDenied,
    Incomplete,
    InvalidUrl,
    NetError,
    TooLarge,
    Unreachable,
    Unsendable,
)
from toolyard.net.guard import policy_for_operator_url
from toolyard.net.http import HttpClient
from toolyard.net.response import HttpResponse, KnownHead
from toolyard.net.tls import TlsPolicy
from toolyard.net.url import parse_url
from toolyard.protocol import strict_json
from toolyard.protocol.errors import ProtocolError
from toolyard.protocol.jsonrpc import Message, Reply, read
from toolyard.protocol.read_result import remembered
from toolyard.protocol.sse import SseEvent, SseParser, SseTooLarge

MAX_STREAM_BYTES = 256 * 1024 * 1024
MAX_ELEMENTS = 2_000_000
AFTER_ANSWER_S = 0.25
STREAM_S = 3_600.0
MOST_FOR_WORDS = 8
_KINDS = {"application/json": "json", "text/event-stream": "sse"}

_FAILURES: tuple[tuple[type[NetError], type[UpstreamError], str], ...] = (
    (EgressDenied, UpstreamUnreachable, "is at an address that its configuration does not allow"),
    (Unreachable, UpstreamUnreachable, "cannot be reached"),
    (ConnectTimedOut, UpstreamUnreachable, "did not accept a connection in time"),
    (DeadlineExceeded, UpstreamTimedOut, "did not answer in time"),
    (Incomplete, UpstreamIncomplete, "broke off its answer"),
    (TooLarge, UpstreamTooLarge, "answered with more than is allowed"),
    (BadResponse, UpstreamInvalid, "answered with something that is not HTTP"),
    (InvalidUrl, UpstreamUnreachable, "has a URL that cannot be used"),
    (Unsendable, UpstreamUnreachable, "has a header that cannot be sent"),
)


class Endpoint:
    """The one URL of an upstream. Raises InvalidUrl, EgressDenied for a specification that cannot be used.

    A few of its connections are kept for short words (answers to what the upstream asked, cancellations): were all of
    them taken by calls that wait for an answer, no answer could be sent, and none of them would end."""

    def __init__(self, spec: UpstreamSpec, *, clock: Clock) -> None:
        url = parse_url(spec.url or "")
        self.upstream_id = spec.id
        self.limits = spec.limits
        self.breaker = Breaker(spec.id, clock)
        self._headers = spec.headers
        self._target = url.target
        policy = policy_for_operator_url(str(url), spec.allow_networks)
        tls = TlsPolicy(verify=spec.tls_verify, ca_file=spec.tls_ca_file)
        for_words = min(spec.max_connections // 4, MOST_FOR_WORDS)
        calls = spec.max_connections - for_words
        self._client = HttpClient(url.origin, policy=policy, tls=tls, max_connections=calls)
        self._words = self._client
        if for_words:
            self._words = HttpClient(url.origin, policy=policy, tls=tls, max_connections=for_words)

    def event_parser(self) -> SseParser:
        """A parser for one event stream of this upstream."""
        return SseParser(self.limits.event_bytes)

    async def open(
        self,
        method: str,
        headers: Sequence[tuple[str, str]],
        message: Json | None = None,
        *,
        deadline: float,
        idempotent: bool = False,
        words: bool = False,
    ) -> HttpResponse:
        """The head of the answer to one HTTP request; `idempotent` allows sending it twice, `words` says that it is
        short and nothing waits in it. Raises UpstreamError."""
        body = None if message is None else strict_json.encode(message)
        client = self._words if words else self._client
        self.breaker.admit()
        return await self._watched(
            client.request(
                method, self._target, self._with_own(headers), body, deadline=deadline, idempotent=idempotent
            )
        )

    def idle_connection(self) -> HttpConnection | None:
        """A connection on which a request can be sent at once, if there is one. Whoever takes it uses it."""
        return self._client.take_idle() if self.breaker.is_closed else None

    def post_head(self, headers: Sequence[tuple[str, str]]) -> bytes:
        """The head of a POST with these headers, for `begin`. Raises Unsendable."""
        return self._client.post_head(self._target, self._with_own(headers))

    def begin(
        self, connection: HttpConnection, head: bytes, body: bytes, deadline: float, on_news: Callable[[], None]
    ) -> HttpResponse:
        """Send a POST on an idle connection; `opened` goes on as `open` does."""
        return self._client.begin(connection, head, body, deadline, on_news)

    def send(self, connection: HttpConnection, data: bytes, deadline: float, taker: Taker) -> None:
        """Send a whole request on an idle connection to somebody who takes the answer as it comes."""
        self._client.send(connection, data, deadline, taker)

    def give_back(self, connection: HttpConnection) -> None:
        """An idle connection was not used after all."""
        self._client.released(connection)

    async def opened(
        self, response: HttpResponse, head: bytes, body: bytes, *, deadline: float, idempotent: bool
    ) -> HttpResponse:
        """What `open` returns, for a POST that was begun. Raises UpstreamError."""
        return await self._watched(self._client.go_on(response, head, body, deadline=deadline, idempotent=idempotent))

    async def _watched(self, request: Awaitable[HttpResponse]) -> HttpResponse:
        """The head of an answer; the breaker learns what came of it. Raises UpstreamError."""
        try:
            response = await request
        except NetError as error:
            self._tell_breaker(error)
            raise self.failure(error) from error
        except asyncio.CancelledError:
            self.breaker.abandoned()
            raise
        self.breaker.connected()
        return response

    def _tell_breaker(self, error: NetError) -> None:
        if isinstance(error, Unreachable | ConnectTimedOut):
            self.breaker.failed()
        elif isinstance(error, Incomplete | TooLarge | BadResponse):
            self.breaker.connected()
        else:
            self.breaker.abandoned()

    def _with_own(self, headers: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """The protocol's headers, and those of the specification that do not contradict them."""
        if not self._headers:
            return headers
        taken = {name.lower() for name, _ in headers}
        return [*headers, *((n, secret.reveal()) for n, secret in self._headers if n.lower() not in taken)]

    def failure(self, error: NetError) -> UpstreamError:
        """The upstream's error for a failure of the connection."""
        if isinstance(error, Unreachable) and error.sent:
            closed = UpstreamIncomplete(f"Upstream {self.upstream_id!r} was closed before it had answered.")
            closed.repeated = True  # there is nobody to send it to again
            return closed
        for kind, upstream_error, text in _FAILURES:
            if isinstance(error, kind):
                failure = upstream_error(f"Upstream {self.upstream_id!r} {text}.")
                failure.may_have_run = error.sent and upstream_error is not UpstreamUnreachable
                if isinstance(failure, UpstreamIncomplete) and isinstance(error, Incomplete):
                    failure.repeated = error.repeated
                return failure
        return UpstreamError(f"Upstream {self.upstream_id!r} failed.")

    def invalid(self, reason: str) -> UpstreamInvalid:
        """The error for an answer that is not MCP; `reason` is for people."""
        return UpstreamInvalid(f"Upstream {self.upstream_id!r} {reason}.", detail=reason)

    def refusal(self, response: HttpResponse) -> UpstreamError:
        """The error for an answer whose status says all there is to say."""
        status, name = response.status, f"Upstream {self.upstream_id!r}"
        if status in (401, 403):
            return UpstreamRefused(f"{name} refused the gateway's credentials.", http_status=status)
        if status in (429, 503):
            wait_s = retry_after_s(response.headers)
            busy = UpstreamBusy(f"{name} is busy.", http_status=status, retry_after_s=wait_s)
            busy.may_have_run = status == 503
            return busy
        if 300 <= status < 400:
            return UpstreamInvalid(f"{name} redirects, which is not followed.", http_status=status)
        if status < 300 or status == 404:
            return UpstreamInvalid(f"{name} answered with something that is not MCP.", http_status=status)
        return UpstreamError(f"{name} failed with HTTP status {status}.", http_status=status)

    async def message(self, response: HttpResponse) -> Message:
        """The one message of a JSON answer. Raises UpstreamError."""
        try:
            return self.decode(await response.read(self.limits.response_bytes))
        except NetError as error:
            raise self.failure(error) from error

    async def reply_if_any(self, response: HttpResponse) -> Reply | None:
        """The reply in the body of an answer with an error status; None where there is none."""
        if kind_of(response) != "json":
            response.abort()
            return None
        try:
            message = await self.message(response)
        except UpstreamInvalid:
            return None
        return message if isinstance(message, Reply) else None

    async def events(self, response: HttpResponse, parser: SseParser) -> AsyncIterator[SseEvent]:
        """The events of a stream until its end. Raises UpstreamError."""
        total = 0
        try:
            async for chunk in response.chunks():
                total += len(chunk)
                if total > MAX_STREAM_BYTES:
                    raise UpstreamTooLarge(f"Upstream {self.upstream_id!r} answered with more than is allowed.")
                for event in parser.feed(chunk):
                    yield event
        except NetError as error:
            raise self.failure(error) from error
        except SseTooLarge:
            raise UpstreamTooLarge(f"Upstream {self.upstream_id!r} sent an event larger than is allowed.") from None

    def decode(self, body: bytes) -> Message:
        """The message that `body` is. Raises UpstreamInvalid."""
        try:
            decoded = strict_json.decode(body, max_elements=MAX_ELEMENTS)
            message = read(decoded)
            if type(message) is Reply and message.result is not None:
                return Reply(message.id, remembered(decoded, message.result, body), None)
            return message
        except ProtocolError as error:
            raise self.invalid("answered with something that is not MCP") from error

    def status(self) -> dict[str, Any]:
        counts = self._client.status()
        if self._words is not self._client:
            counts = {name: count + counts[name] for name, count in self._words.status().items()}
        return {"breaker": self.breaker.state, "http": counts}

    async def aclose(self) -> None:
        """Close all connections; what runs is broken off."""
        await self._client.aclose()
        await self._words.aclose()


def kind_of(response: HttpResponse) -> str:
    """`json`, `sse`, or nothing for any other content."""
    return _kind(response.headers) if response.known is None else kind_of_head(response.known)


def kind_of_head(known: KnownHead) -> str:
    """As `kind_of`, of a head that came before; found out once."""
    kind = known.kind
    if kind is None:
        kind = known.kind = _kind(known.headers)
    return kind


def _kind(headers: Mapping[str, str]) -> str:
    if headers.get("content-encoding", "identity").lower() != "identity":
        return ""
    content_type = headers.get("content-type", "")
    return _KINDS.get(content_type) or _KINDS.get(content_type.partition(";")[0].strip().lower(), "")


def let_end(response: HttpResponse) -> None:
    """The answer has been read, its stream may not have ended: give it a moment, so that the connection can be kept."""
    asyncio.get_running_loop().call_later(AFTER_ANSWER_S, response.abort)
