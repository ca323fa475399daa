"""One request of a modern client (2026-07-28): stateless, self-describing, cancelled by going away."""

from __future__ import annotations

import asyncio
from typing import Any

from toolyard.contract.catalog import ServerCatalog
from toolyard.contract.definitions import Json
from toolyard.gateway.call import (
    Answer,
    Call,
    Elsewhere,
    Head,
    OwnedElsewhere,
    Principal,
    Sink,
    Suspended,
)
from toolyard.gateway.caller import Emitter, SuspendingAsk
from toolyard.gateway.dispatch import Dispatch, Perform, capabilities_of, server_info
from toolyard.gateway.events import Hub
from toolyard.gateway.handles import take_handle
from toolyard.gateway.listening import listen
from toolyard.gateway.parking import Ticket
from toolyard.gateway.state import StateSeal, binding_of
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import INTERACTIVE, discover_result, to_client
from toolyard.protocol.envelope import Envelope, read_envelope
from toolyard.protocol.errors import InvalidParams, MethodNotFound
from toolyard.protocol.headers import check_request_headers
from toolyard.protocol.revisions import LOG_LEVELS, META_SERVER_INFO, MODERN, MODERN_METHODS, SUPPORTED, unsupported
from toolyard.protocol.strict_json import encode
from toolyard.protocol.tasks import TASK_METHODS

DISCOVER_TTL_MS = 60_000
_UPSTREAM, _TICKET = "u", "t"
_ENVELOPE_MEMBERS = frozenset({"_meta", "inputResponses", "requestState"})

_OLDER_NOTIFICATIONS = frozenset({"notifications/elicitation/complete"})
"""What a legacy upstream may send in a call and 2026-07-28 no longer has: its clients call again instead."""


class ModernRequests:
    """Answers modern requests. `perform` is the pipeline."""

    def __init__(self, dispatch: Dispatch, perform: Perform, seal: StateSeal, hub: Hub, *, timeout_s: float) -> None:
        self._dispatch = dispatch
        self._perform = perform
        self._seal = seal
        self._hub = hub
        self._timeout_s = timeout_s
        self.elsewhere: Elsewhere | None = None
        """Where calls are held that another process holds."""

    async def answer(self, head: Head, principal: Principal, request: jsonrpc.Request, sink: Sink) -> None:
        """Judge one request, carry it out and write its answer. Raises PlatformError."""
        server = self._dispatch.server(head.server_code)
        if request.method not in MODERN_METHODS and request.method not in TASK_METHODS:
            raise MethodNotFound(f"no method {request.method!r} in {MODERN}", request_id=request.id)
        if head.transport == "http":
            check_request_headers(head.headers, head.repeated, request, server.header_parameters_of)
        envelope = read_envelope(request.params)
        if envelope.revision != MODERN:
            raise unsupported(envelope.revision)
        call = self._call(head, principal, request, envelope, sink)
        if request.method == "server/discover":
            result = self._discover(server)
        elif request.method == "subscriptions/listen":
            result = await listen(call, request.id, self._hub, self._dispatch)
        else:
            result = await self._carry_out(call, request)
        result = to_client(MODERN, request.method, result)
        result["_meta"] = {**(result.get("_meta") or {}), META_SERVER_INFO: server_info(server.spec)}
        sink.finish(Answer(200, encode(jsonrpc.result(request.id, result))))

    def _call(self, head: Head, principal: Principal, request: jsonrpc.Request, envelope: Envelope, sink: Sink) -> Call:
        if envelope.log_level is not None and envelope.log_level not in LOG_LEVELS:
            raise InvalidParams(f"unknown log level {envelope.log_level!r}", request_id=request.id)
        call = Call(
            principal=principal,
            server=head.server_code,
            method=request.method,
            params={k: v for k, v in request.params.items() if k not in _ENVELOPE_MEMBERS},
            era="modern",
            revision=MODERN,
            emit=Emitter(
                sink.send,
                progress_token=envelope.progress_token,
                log_level=envelope.log_level,
                withheld=_OLDER_NOTIFICATIONS,
            ),
            ask=SuspendingAsk(envelope.client_capabilities),
            deadline=asyncio.get_running_loop().time() + self._timeout_s,
            request_id=head.request_id,
            transport=head.transport,
            client_capabilities=envelope.client_capabilities,
            client_info=envelope.client_info,
            meta=envelope.rest,
            wants_progress=envelope.progress_token is not None,
            log_level=envelope.log_level,
            handle=take_handle(envelope.rest, head),
        )
        if request.method in INTERACTIVE or request.method == "tasks/update":
            self._take_answers(call, request)
        return call

    def _take_answers(self, call: Call, request: jsonrpc.Request) -> None:
        params = request.params
        if "inputResponses" in params:
            responses: Any = params["inputResponses"]
            if not isinstance(responses, dict) or not all(isinstance(r, dict) for r in responses.values()):
                raise InvalidParams('"inputResponses" must be an object of objects', request_id=request.id)
            call.input_responses = responses
        if "requestState" in params:
            state: Any = params["requestState"]
            if not isinstance(state, str):
                raise InvalidParams('"requestState" must be a string', request_id=request.id)
            self._take_state(call, self._seal.open(state, self._binding(call)))

    async def _carry_out(self, call: Call, request: jsonrpc.Request) -> Json:
        try:
            return await self._perform(call)
        except Suspended as suspended:
            result: Json = {"resultType": "input_required", "inputRequests": dict(suspended.requests)}
            state = _UPSTREAM + suspended.state if suspended.state is not None else None
            if suspended.ticket is not None:
                state = _TICKET + suspended.ticket
            if state is not None:
                result["requestState"] = self._seal.seal(state, self._binding(call))
            return result

    def _take_state(self, call: Call, state: str) -> None:
        """What the caller's state says: the upstream's own state, or which call is held."""
        kind, content = state[:1], state[1:]
        if kind == _TICKET:
            owner = Ticket.of(content).owner
            if self.elsewhere is not None and self.elsewhere.of_owner(owner) is not None:
                raise OwnedElsewhere(owner)
            call.ticket = content
        else:
            call.upstream_state = content

    def _binding(self, call: Call) -> bytes:
        return binding_of(call.principal.id, call.server, call.method, call.params)

    def _discover(self, server: ServerCatalog) -> Json:
        result = discover_result(
            supported_versions=list(SUPPORTED),
            capabilities=capabilities_of(server),
            server_info=server_info(server.spec),
            instructions=server.instructions,
        )
        return {**result, "ttlMs": DISCOVER_TTL_MS, "cacheScope": "private"}
