"""The driver of 2026-07-28 over HTTP: every request stands alone, one POST each, nothing is remembered between them.

Headers are made from the body that goes up; request ids and progress tokens are the gateway's own and fresh for every
POST. A caller that goes away closes the connection of its POST, which is how a server of this era learns of it.
Source: 2026-07-28 basic/transports/streamable-http, basic/patterns/mrtr.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Raw

from toolyard.contract.definitions import Json, Observation
from toolyard.gateway.call import Call, UpstreamEvents
from toolyard.gateway.upstream.asking import run_rounds
from toolyard.gateway.upstream.errors import UpstreamIncomplete
from toolyard.gateway.upstream.handshake import GATEWAY_INFO
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_delivery import Announcer, Courier
from toolyard.gateway.upstream.http_era import ERA_STATUSES, MODERN_CODES, EraContradicted
from toolyard.gateway.upstream.http_exchange import Endpoint, kind_of, let_end
from toolyard.gateway.upstream.http_listen import Listener
from toolyard.gateway.upstream.http_tools import KnownTools
from toolyard.gateway.upstream.observe import observe_all
from toolyard.kit.clock import Clock
from toolyard.net.response import HttpResponse
from toolyard.protocol.envelope import stamp
from toolyard.protocol.errors import RelayedError, RequestId
from toolyard.protocol.headers import request_headers
from toolyard.protocol.jsonrpc import Message, Notification, Reply, request
from toolyard.protocol.revisions import META_PROTOCOL_VERSION, META_SERVER_INFO, MODERN
from toolyard.protocol.strict_json import encode

HEADER_MISMATCH: Final = -32020
UNSUPPORTED_REVISION: Final = -32022
MAX_HEADS: Final = 1024
MAY_ASK: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
POST_HEADERS: Final = (("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream"))


class ModernDriver:
    """Speaks `revision` with one endpoint. Raises EraContradicted where the server shows that it is of another era."""

    era: Final = "modern"

    def __init__(
        self, endpoint: Endpoint, *, events: UpstreamEvents, clock: Clock, timeout_s: float, revision: str = MODERN
    ) -> None:
        self.revision = revision
        self.tools = KnownTools()
        self.running = 0
        self.endpoint = endpoint
        self._clock = clock
        self._timeout_s = timeout_s
        self.next_id = itertools.count(1).__next__
        self._announcer = Announcer(endpoint.upstream_id, events, clock, endpoint.limits.notifications_per_second)
        self._listener = Listener(self._open_listen, endpoint, self._announcer)

    async def discover(self, deadline: float) -> Json:
        """The server's DiscoverResult. Raises RelayedError, UpstreamError."""
        return await self._round(None, "server/discover", {}, deadline)

    async def observe(self) -> Observation:
        """All definitions; from before they are read on the server's announcements are listened to."""
        loop = asyncio.get_running_loop()
        try:
            found = await self.discover(loop.time() + self._timeout_s)
        except RelayedError as error:
            raise EraContradicted(error) from error
        offered = found.get("supportedVersions")
        if not isinstance(offered, list) or self.revision not in offered:
            raise EraContradicted(self.endpoint.invalid("no longer offers the revision it was spoken to in"))
        capabilities, instructions = found.get("capabilities"), found.get("instructions")
        capabilities = capabilities if isinstance(capabilities, dict) else {}
        await self._listener.listen_to(capabilities)
        observation = await observe_all(
            self.endpoint.upstream_id,
            self._send,
            era="modern",
            revision=self.revision,
            server_info=_server_info(found),
            capabilities=capabilities,
            instructions=instructions if isinstance(instructions, str) else None,
            clock=self._clock,
            over_http=True,
        )
        self.tools.learn(observation.tools)
        return observation

    def begin(
        self, call: Call, method: str, params: Json, go_on_with: Callable[[BegunPost], Awaitable[Json]]
    ) -> BegunPost | None:
        """Send the first round of a request at once; None if nothing was sent, because a connection has to be waited
        for, or because the caller brings answers. `go_on_with` is what carries on with what is no plain answer."""
        if call.input_responses is not None or call.upstream_state is not None:
            return None
        connection = self.endpoint.idle_connection()
        if connection is None:
            return None
        try:
            request_id = self.next_id()
            head = self._post_head(method, params)
            body = encode(request(request_id, method, self._stamped_again(call, params, request_id)))
            begun = BegunPost(self.endpoint, self, go_on_with, call, params, request_id, head, body)
        except BaseException:
            self.endpoint.give_back(connection)
            raise
        begun.send(connection)
        return begun

    def opening(self, call: Call, params: Json) -> tuple[bytes, bytes] | None:
        """What all calls of a tool in the words of `call` begin with: the head of the POST, and `_meta`, encoded. None
        where arguments travel in headers."""
        if self.tools.parameters("tools/call", params):
            return None
        return self._post_head("tools/call", params), encode(self._stamped_again(call, {}, 0)["_meta"])

    def _post_head(self, method: str, params: Json) -> bytes:
        """The head of a request's POST, made once for each tool without mirrored arguments."""
        heads, key = self.tools.heads, (method, str(params.get("name") or params.get("uri")))
        head = heads.get(key)
        if head is None:
            parameters = self.tools.parameters(method, params)
            said = {**params, "_meta": {META_PROTOCOL_VERSION: self.revision}}
            head = self.endpoint.post_head([*POST_HEADERS, *request_headers(method, said, parameters)])
            if parameters:
                return head
            if len(heads) >= MAX_HEADS:
                heads.clear()
            heads[key] = head
        return head

    def _stamped_again(self, call: Call, params: Json, request_id: RequestId) -> Json:
        """As `_stamped`; what the caller says of itself in the same words as before is not encoded again."""
        said = call.said
        if (
            said is None
            or call.wants_progress
            or call.client_capabilities is not said.client_capabilities
            or call.meta is not said.rest
        ):
            return self._stamped(call, params, request_id)
        meta = said.stamps.get(self.revision)
        if meta is None:
            meta = said.stamps[self.revision] = Raw(encode(self._stamped(call, {}, request_id)["_meta"]))
        return {**params, "_meta": meta}

    async def request(self, call: Call, method: str, params: Json, begun: BegunPost | None = None) -> Json:
        """One request for `call`, with as many rounds of questions as the upstream has; the first may have been
        `begun`."""
        if method not in MAY_ASK:
            result = await self._round(call, method, params, call.deadline, begun)
            if result.get("resultType", "complete") != "complete":
                raise self.endpoint.invalid("answered with a result type that this method does not have")
            return result

        if call.input_responses is None and call.upstream_state is None:
            result = await self._with_fresh_headers(call, method, params, begun)
            if result.get("resultType", "complete") == "complete":
                return result
            first: Json | None = result
        else:
            first = None

        async def send(extra: Json) -> Json:
            nonlocal first
            if first is not None:
                answer, first = first, None
                return answer
            return await self._with_fresh_headers(call, method, {**params, **extra} if extra else params)

        return await run_rounds(call, send)

    async def watch(self, call: Call, uri: str) -> None:
        """From the return on, changes of `uri` are announced. Raises RelayedError, UpstreamTimedOut."""
        await self._listener.watch(uri, call.deadline)

    async def unwatch(self, call: Call, uri: str) -> None:
        self._listener.unwatch(uri)

    def status(self) -> dict[str, Any]:
        return {
            **self._announcer.counts,
            "running": self.running,
            "listening": self._listener.is_open,
            "watched": self._listener.watched,
        }

    async def aclose(self) -> None:
        """Stop listening."""
        await self._listener.aclose()

    async def _send(self, method: str, params: Json) -> Json:
        return await self._round(None, method, params, asyncio.get_running_loop().time() + self._timeout_s)

    async def _with_fresh_headers(self, call: Call, method: str, params: Json, begun: BegunPost | None = None) -> Json:
        """One round; where the server says that the headers are not those of its tool, the tools are read again."""
        try:
            return await self._round(call, method, params, call.deadline, begun)
        except RelayedError as error:
            if error.rpc_code != HEADER_MISMATCH or method != "tools/call":
                raise
        await self._relearn_tools()
        return await self._round(call, method, params, call.deadline)

    async def _relearn_tools(self) -> None:
        observation = await observe_all(
            self.endpoint.upstream_id,
            self._send,
            era="modern",
            revision=self.revision,
            server_info={},
            capabilities={"tools": {}},
            instructions=None,
            clock=self._clock,
            over_http=True,
        )
        self.tools.learn(observation.tools)
        self._announcer.announce(Notification("notifications/tools/list_changed", {}))

    async def _round(
        self, call: Call | None, method: str, params: Json, deadline: float, begun: BegunPost | None = None
    ) -> Json:
        """One POST and its answer. `call` is None for the gateway's own requests; a POST that was `begun` counts as
        running already."""
        self.running += begun is None
        response: HttpResponse | None = None
        try:
            if begun is None:
                request_id = self.next_id()
                response = await self._open(call, method, params, request_id, deadline)
            else:
                request_id = begun.request_id
                response = await begun.opened(idempotent=self.tools.repeatable(method, params))
            courier = None if call is None else Courier(call, request_id, self._announcer)
            return self._outcome(await self._reply(response, request_id, courier))
        except BaseException:
            if response is not None:
                response.abort()
            raise
        finally:
            self.running -= 1

    async def _open(
        self, call: Call | None, method: str, params: Json, request_id: int, deadline: float
    ) -> HttpResponse:
        stamped = self._stamped(call, params, request_id)
        headers = request_headers(method, stamped, self.tools.parameters(method, params))
        return await self.endpoint.open(
            "POST",
            [*POST_HEADERS, *headers],
            request(request_id, method, stamped),
            deadline=deadline,
            idempotent=self.tools.repeatable(method, params),
        )

    def _stamped(self, call: Call | None, params: Json, request_id: RequestId) -> Json:
        if call is None:
            return stamp(params, revision=self.revision, client_capabilities={}, client_info=GATEWAY_INFO)
        return stamp(
            params,
            revision=self.revision,
            client_capabilities=call.client_capabilities,
            client_info=call.client_info,
            log_level=call.log_level,
            progress_token=request_id if call.wants_progress else None,
            rest={name: value for name, value in call.meta.items() if name != "baggage"} if call.meta else None,
        )

    async def _reply(self, response: HttpResponse, request_id: RequestId, courier: Courier | None) -> Reply:
        if response.status != 200:
            return await self._rejection(response, request_id)
        kind = kind_of(response)
        if kind == "json":
            message: Message | None = await self.endpoint.message(response)
            if not isinstance(message, Reply) or message.id != request_id:
                raise self.endpoint.invalid("answered another request than the one it was sent")
            return message
        if kind == "sse":
            return await self._streamed(response, request_id, courier)
        raise self.endpoint.invalid("answered with something that is not MCP")

    async def _streamed(self, response: HttpResponse, request_id: RequestId, courier: Courier | None) -> Reply:
        """The first reply of the stream to this request; what else comes is delivered, or dropped and counted."""
        async for event in self.endpoint.events(response, self.endpoint.event_parser()):
            if not event.data or (courier is not None and courier.drops_unread(event.data)):
                continue
            message = self.endpoint.decode(event.data)
            if isinstance(message, Reply) and message.id == request_id:
                let_end(response)
                return message
            if isinstance(message, Notification):
                if courier is not None:
                    await courier.deliver(message)
            else:
                self._announcer.counts["strays"] += 1
        raise UpstreamIncomplete(f"Upstream {self.endpoint.upstream_id!r} ended its answer before the result.")

    async def _rejection(self, response: HttpResponse, request_id: RequestId) -> Reply:
        """The error in a body with an error status, if it is one of this era. Raises UpstreamError, EraContradicted."""
        refusal = self.endpoint.refusal(response)
        if response.status not in ERA_STATUSES and response.status < 500:
            response.abort()
            raise refusal
        reply = await self.endpoint.reply_if_any(response)
        error = reply.error if reply is not None else None
        if reply is not None and error is not None and (reply.id == request_id or error["code"] in MODERN_CODES):
            return reply
        raise EraContradicted(refusal) if response.status in ERA_STATUSES else refusal

    def _outcome(self, reply: Reply) -> Json:
        if reply.error is None:
            return reply.result or {}
        error = RelayedError(reply.error["code"], reply.error["message"], reply.error.get("data"))
        raise EraContradicted(error) if error.rpc_code == UNSUPPORTED_REVISION else error

    async def _open_listen(self, request_id: RequestId, wanted: Json, deadline: float) -> HttpResponse:
        """The open stream of one `subscriptions/listen`. Raises RelayedError, UpstreamError."""
        stamped = self._stamped(None, {"notifications": wanted}, request_id)
        response = await self.endpoint.open(
            "POST",
            [*POST_HEADERS, *request_headers("subscriptions/listen", stamped)],
            request(request_id, "subscriptions/listen", stamped),
            deadline=deadline,
            idempotent=True,
        )
        if response.status == 200 and kind_of(response) == "sse":
            return response
        try:
            self._outcome(await self._reply(response, request_id, None))
        except EraContradicted as contradiction:
            raise contradiction.error from contradiction
        finally:
            response.abort()
        raise self.endpoint.invalid("does not answer subscriptions/listen with a stream")


def _server_info(found: Json) -> Json:
    meta = found.get("_meta")
    info = meta.get(META_SERVER_INFO) if isinstance(meta, dict) else None
    info = found.get("serverInfo") if info is None else info
    return info if isinstance(info, dict) else {}
