"""The control plane's paths, relayed to its socket in the data directory.

Rules. What is sent on is written anew from what was judged: Host, Origin, path and framing are the gateway's to guard
for both planes. Who asks is said in headers of ours, which are taken off whatever a client sends: the operator by
`toolyard-operator`, and everybody else by `toolyard-client-address`, with which nobody is taken for the operator.
Bodies flow both ways. `/internal/` is never relayed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote

from toolyard.contract.founding_paths import FOUNDING_PATHS
from toolyard.gateway.body_stream import BodyStream
from toolyard.gateway.call import Answer, Head
from toolyard.gateway.relay_sink import RelaySink
from toolyard.gateway.routes import Route
from toolyard.kit.errors import PlatformError
from toolyard.kit.tasks import TaskOwner
from toolyard.net.errors import ConnectTimedOut, NetError, Unreachable
from toolyard.net.unix_http import AnswerHead, UnixExchange, begin_exchange

METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
READING: Final = ("GET", "HEAD")
PATHS: Final = ("/api/{rest*}", "/ui/{rest*}")
PAGES: Final = ("/", "/docs/{rest*}", "/redoc/{rest*}", "/openapi.json", "/events")
OURS: Final = "toolyard-"
ADDRESS, SCHEME, REQUEST_ID = "toolyard-client-address", "toolyard-client-scheme", "toolyard-request-id"
OPERATOR: Final = "toolyard-operator"
OF_CLIENTS: Final = frozenset({"toolyard-csrf", "toolyard-organization"})
"""What clients may say themselves: it is judged by who they are."""
HEAD_S: Final = 120.0
MOST: Final = 512
_HOPS = frozenset(
    {"connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"}
    | {"trailer", "transfer-encoding", "upgrade", "content-length"}
)
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})
_GATEWAYS = frozenset({"date", "server", "x-content-type-options"})
"""What an answer has from the gateway."""


class ControlUnavailable(PlatformError):
    """The control plane is away. Calls of tools go on meanwhile."""

    code: ClassVar[str] = "control_unavailable"
    status: ClassVar[int] = 503


class ControlBusy(PlatformError):
    """The control plane has more to do than it can."""

    code: ClassVar[str] = "control_busy"
    status: ClassVar[int] = 503


class ControlBrokeOff(PlatformError):
    """The control plane went away before it answered; the request may have been carried out."""

    code: ClassVar[str] = "control_broke_off"
    status: ClassVar[int] = 502


class ControlTimedOut(PlatformError):
    """The control plane did not answer in time; the request may have been carried out."""

    code: ClassVar[str] = "control_timed_out"
    status: ClassVar[int] = 504


class Relay:
    """Relays to the control plane at `socket`. `scheme`: how clients reach the gateway; `body_bytes`: the largest body
    they may send."""

    def __init__(self, socket: Path, *, scheme: str, body_bytes: int, head_s: float = HEAD_S) -> None:
        self._socket = socket
        self._scheme = scheme
        self.body_bytes = body_bytes
        self._head_s = head_s
        self._running = 0
        self._events: set[UnixExchange] = set()

    def __len__(self) -> int:
        return self._running

    def routes(self) -> list[Route]:
        """The control plane's paths. The gateway's own routes go before them."""
        return [_route(path, METHODS, self) for path in PATHS] + [_route(path, READING, self) for path in PAGES]

    def founding_routes(self) -> list[Route]:
        """Paths of the founding documents that the control plane answers, outside of `/api`."""
        mine = [one for one in FOUNDING_PATHS if one.whose == "control" and not one.pattern.startswith("/api/")]
        return [_route(one.pattern, one.methods, self) for one in mine]

    def end_streams(self) -> None:
        """End what has no end of its own: the gateway drains."""
        for exchange in tuple(self._events):
            exchange.end()

    async def relay(self, head: Head, body: BodyStream, sink: RelaySink) -> None:
        """One exchange. Raises what breaks it off in the middle."""
        if self._running >= MOST:
            sink.finish(problem(ControlBusy()))
            return
        self._running += 1
        try:
            await self._exchange(head, body, sink)
        except PlatformError as error:
            if sink.streaming:
                raise
            sink.finish(problem(error))
        finally:
            self._running -= 1

    async def _exchange(self, head: Head, body: BodyStream, sink: RelaySink) -> None:
        target = quote(head.path, safe="/!$&'()*+,=:@~") + (f"?{head.query}" if head.query else "")
        try:
            exchange = await begin_exchange(self._socket, head.method, target, self._fields(head, body))
        except (Unreachable, ConnectTimedOut):
            raise ControlUnavailable from None
        tasks = TaskOwner("relay")
        try:
            with exchange:
                answer = await self._answer(exchange, body, tasks)
                await self._pass_on(exchange, answer, sink)
        finally:
            await tasks.aclose()

    async def _answer(self, exchange: UnixExchange, body: BodyStream, tasks: TaskOwner) -> AnswerHead:
        """The head of the answer, within the time that counts from the end of the body."""
        try:
            async with asyncio.timeout(None) as limit:
                if body.whole and body.length == 0:
                    self._count_from_now(limit)
                else:
                    tasks.start(self._send(exchange, body, limit))
                return await exchange.head()
        except TimeoutError:
            raise ControlTimedOut from None
        except NetError:
            raise ControlBrokeOff from None

    async def _send(self, exchange: UnixExchange, body: BodyStream, limit: asyncio.Timeout) -> None:
        """Send the body on. What is wrong with it ends the exchange; what is wrong with the exchange is told by its
        answer."""
        chunked = body.length is None
        try:
            async for piece in body.pieces():
                await exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                await exchange.send(b"0\r\n\r\n")
        except NetError:
            return
        except PlatformError as error:
            exchange.break_off(error)
            return
        if not exchange.answered:
            self._count_from_now(limit)

    def _count_from_now(self, limit: asyncio.Timeout) -> None:
        limit.reschedule(asyncio.get_running_loop().time() + self._head_s)

    async def _pass_on(self, exchange: UnixExchange, answer: AnswerHead, sink: RelaySink) -> None:
        length = answer.get("content-length")
        if (answer.get("content-type") or "").startswith("text/event-stream"):
            self._events.add(exchange)
        try:
            sink.begin(answer.status, _answered(answer), int(length) if length and length.isdigit() else None)
            async for piece in exchange.chunks():
                await sink.push(piece)
            sink.complete()
        finally:
            self._events.discard(exchange)

    def _fields(self, head: Head, body: BodyStream) -> list[tuple[str, str]]:
        hops = {token.strip().lower() for token in head.headers.get("connection", "").split(",")}
        fields = [
            (name, value)
            for name, value in head.headers.items()
            if name not in _HOPS
            and name not in hops
            and name not in _FORWARDED
            and not name.startswith("x-forwarded-")
            and (not name.startswith(OURS) or name in OF_CLIENTS)
        ]
        fields += [(SCHEME, self._scheme), (REQUEST_ID, head.request_id)]
        fields.append((OPERATOR, "1") if head.operator else (ADDRESS, head.client or "unknown"))
        if body.length is None:
            fields.append(("transfer-encoding", "chunked"))
        elif body.length or head.method not in READING:
            fields.append(("content-length", str(body.length)))
        return fields


def problem(error: PlatformError) -> Answer:
    """The answer for an error, as problem details (RFC 9457)."""
    content = {"type": "about:blank", "title": error.message, "status": error.status, "code": error.code}
    headers = (("retry-after", "1"),) if error.status == ControlUnavailable.status else ()
    return Answer(error.status, json.dumps(content).encode(), headers, "application/problem+json")


def _answered(answer: AnswerHead) -> Iterator[tuple[str, str]]:
    """The fields of an answer that travel on."""
    hops = {token.strip().lower() for token in (answer.get("connection") or "").split(",")}
    for name, value in answer.fields:
        dropped = name in _HOPS or name in hops or name in _GATEWAYS or name.startswith("access-control-")
        if not dropped:
            yield name, value


def _route(pattern: str, methods: tuple[str, ...], relay: Relay) -> Route:
    return Route(
        pattern,
        methods,
        relay.relay,
        auth="control",
        action="control.relay",
        csrf="origin",
        limit="call",
        relays=True,
        body_bytes=relay.body_bytes,
    )
