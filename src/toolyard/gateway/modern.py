"""One request of a modern client (2026-07-28): stateless, self-describing, cancelled by going away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from toolyard.contract.catalog import ServerCatalog
from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.acceptance import accepted
from toolyard.gateway.call import (
    Answer,
    Call,
    Elsewhere,
    Head,
    OwnedElsewhere,
    Principal,
    Rest,
    Sink,
    Suspended,
)
from toolyard.gateway.caller import Emitter, SuspendingAsk
from toolyard.gateway.dispatch import Dispatch, capabilities_of, server_info
from toolyard.gateway.events import Hub
from toolyard.gateway.express import Express, Plan, Trip
from toolyard.gateway.handles import read_handle, without_handle
from toolyard.gateway.interceptors.authz import judge
from toolyard.gateway.listening import listen
from toolyard.gateway.parking import Ticket
from toolyard.gateway.pipeline import Outcome, Pipeline
from toolyard.gateway.ride import Conclude
from toolyard.gateway.routing import route_tool
from toolyard.gateway.state import StateSeal, binding_of
from toolyard.kit.clock import LoopTime
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import INTERACTIVE, discover_result, to_client
from toolyard.protocol.envelope import Envelope, read_envelope
from toolyard.protocol.errors import InvalidParams, MethodNotFound, RequestId
from toolyard.protocol.headers import NAME_HEADER, check_request_headers
from toolyard.protocol.read_result import ReadResult
from toolyard.protocol.revisions import (
    META_PROTOCOL_VERSION,
    META_SERVER_INFO,
    MODERN,
    MODERN_METHODS,
    SUPPORTED,
    unsupported,
)
from toolyard.protocol.strict_json import decode, encode
from toolyard.protocol.tasks import TASK_METHODS

MOST_NOTED = 4096
"""Bytes of `_meta` that are kept to be known again."""

DISCOVER_TTL_MS = 60_000
_UPSTREAM, _TICKET = "u", "t"
UNCHANGED = frozenset({"tools/call", "prompts/get"})
"""Methods whose results may leave as they came, large ones in the very bytes."""

_OUTSIDE_THE_PIPELINE = frozenset({"server/discover", "subscriptions/listen"})
_ENVELOPE_MEMBERS = frozenset({"_meta", "inputResponses", "requestState"})

_OLDER_NOTIFICATIONS = frozenset({"notifications/elicitation/complete"})
"""What a legacy upstream may send in a call and 2026-07-28 no longer has: its clients call again instead."""


class ModernRequests:
    """Answers modern requests. ."""

    def __init__(
        self, dispatch: Dispatch, pipeline: Pipeline, express: Express, seal: StateSeal, hub: Hub, *, timeout_s: float
    ) -> None:
        self._dispatch = dispatch
        self._pipeline = pipeline
        self._rides = express.rides
        self._express = express
        self.refuse: Callable[[Head, jsonrpc.Request, Sink, BaseException], None] = _unanswered
        """Ends an exchange with the error that its call came to; the exchange's own way."""
        self._seal = seal
        self._hub = hub
        self._timeout_s = timeout_s
        self._loop_time = LoopTime()
        self._own_metas: dict[str, tuple[ServerSpec, msgspec.Raw]] = {}
        self.elsewhere: Elsewhere | None = None
        """Where calls are held that another process holds."""

    async def answer(self, head: Head, principal: Principal, request: jsonrpc.Request, sink: Sink) -> None:
        """Judge one request, carry it out and write its answer. Raises PlatformError."""
        server = self._dispatch.server(head.server_code)
        call = self._call(server, head, principal, request, sink)
        if request.method == "server/discover":
            result = self._discover(server, principal)
        elif request.method == "subscriptions/listen":
            call.allowed = judge(call, server)
            result = await listen(call, request.id, self._hub, self._dispatch)
        else:
            result = await self._carry_out(call, 0)
        self._finish(server, request.method, request.id, sink, result)

    def begin(
        self,
        head: Head,
        principal: Principal,
        request: jsonrpc.Request,
        sink: Sink,
        refuse: Callable[[BaseException], None],
    ) -> Rest:
        """As `answer`, as far as it goes without waiting, and what is left of it. Raises PlatformError; a call that is
        under way without a task gives `refuse` the error that it ends with."""
        server = self._dispatch.server(head.server_code)
        call = self._call(server, head, principal, request, sink)
        if request.method in _OUTSIDE_THE_PIPELINE:
            return self.answer(head, principal, request, sink)
        entered = self._pipeline.enter(call)
        conclude = self._conclusion(server, call, request, sink, refuse)
        ride = self._rides.begin(call, entered, conclude)
        if ride is None:
            return self._rest(server, call, entered, request, sink)
        if head.notes.plans.get(head.headers.get(NAME_HEADER, "")) is None:
            self._express.learn(head, call, request.params.get("arguments"))
        return ride

    def begin_again(self, head: Head, message: Any, sink: Sink) -> Trip | None:
        """Begin what is a call in the same words as one before with the same head, by its decoded body. None: it has to
        be read as any other; nothing was done."""
        plan = head.notes.plans.get(head.headers.get(NAME_HEADER, ""))
        return None if plan is None else self._express.begin(plan, head, message, sink, self)

    def finish_again(self, plan: Plan, request_id: RequestId, sink: Sink, result: Json) -> None:
        """Write the plain result of such a call."""
        assert plan.call.serving is not None
        self._finish(plan.call.serving, "tools/call", request_id, sink, result)

    def call_of(self, trip: Trip) -> tuple[Call, Conclude]:
        """What such a call would have been from the start, and what answers it."""
        head, plan = trip.head, trip.plan
        sink = accepted(head).of(trip.sink)
        server, principal = plan.call.serving, plan.call.principal
        assert server is not None
        request = jsonrpc.Request(
            trip.request_id,
            "tools/call",
            {"name": plan.name, "arguments": trip.arguments, "_meta": decode(plan.said)},
        )
        call = self._call(server, head, principal, request, sink)
        call.target = route_tool(server, call.params)
        return call, self._conclusion(
            server, call, request, sink, lambda error: self.refuse(head, request, sink, error)
        )

    def _conclusion(
        self,
        server: ServerCatalog,
        call: Call,
        request: jsonrpc.Request,
        sink: Sink,
        refuse: Callable[[BaseException], None],
    ) -> Conclude:
        def conclude(outcome: Outcome) -> None:
            if isinstance(outcome, Suspended):
                outcome = self._suspended(call, outcome)
            if isinstance(outcome, BaseException):
                refuse(outcome)
            else:
                self._finish(server, request.method, request.id, sink, outcome)

        return conclude

    async def _rest(
        self, server: ServerCatalog, call: Call, entered: int, request: jsonrpc.Request, sink: Sink
    ) -> None:
        self._finish(server, request.method, request.id, sink, await self._carry_out(call, entered))

    def _finish(self, server: ServerCatalog, method: str, request_id: RequestId, sink: Sink, result: Json) -> None:
        """Write the answer."""
        if method in UNCHANGED and _goes_as_it_is(method, result):
            own_meta = self._own_meta(server.spec)
            if type(result) is ReadResult:
                body = result.answer(request_id, bytes(own_meta))
            else:
                body = encode({"jsonrpc": "2.0", "id": request_id, "result": {**result, "_meta": own_meta}})
            sink.finish(Answer(200, body))
            return
        shaped = to_client(MODERN, method, result)
        meta = shaped.get("_meta")
        own = {**meta, META_SERVER_INFO: server_info(server.spec)} if type(meta) is dict and meta else None
        shaped["_meta"] = own or self._own_meta(server.spec)
        sink.finish(Answer(200, encode(jsonrpc.result(request_id, shaped))))

    def _call(
        self, server: ServerCatalog, head: Head, principal: Principal, request: jsonrpc.Request, sink: Sink
    ) -> Call:
        """The call that a request is, if it may be one."""
        if request.method not in MODERN_METHODS and request.method not in TASK_METHODS:
            raise MethodNotFound(f"no method {request.method!r} in {MODERN}", request_id=request.id)
        if head.transport == "http":
            _check_headers(server, head, request)
        envelope = _envelope(head, request)
        call = Call(
            principal=principal,
            server=head.server_code,
            serving=server,
            said=envelope,
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
            deadline=self._loop_time.now() + self._timeout_s,
            request_id=head.request_id,
            transport=head.transport,
            client_capabilities=envelope.client_capabilities,
            client_info=envelope.client_info,
            meta=without_handle(envelope.rest),
            wants_progress=envelope.progress_token is not None,
            log_level=envelope.log_level,
            handle=read_handle(envelope.rest, head),
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

    async def _carry_out(self, call: Call, entered: int) -> Json:
        try:
            return await self._pipeline.carry(call, entered)
        except Suspended as suspended:
            return self._suspended(call, suspended)

    def _own_meta(self, spec: ServerSpec) -> msgspec.Raw:
        """The `_meta` of a result that has none from its upstream, encoded once for each server."""
        known = self._own_metas.get(spec.code)
        if known is None or known[0] is not spec:
            known = self._own_metas[spec.code] = (spec, msgspec.Raw(encode({META_SERVER_INFO: server_info(spec)})))
        return known[1]

    def _suspended(self, call: Call, suspended: Suspended) -> Json:
        """The result that asks the caller: its retry brings the answers, and the state or ticket sealed here."""
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

    def _discover(self, server: ServerCatalog, principal: Principal) -> Json:
        result = discover_result(
            supported_versions=list(SUPPORTED),
            capabilities=capabilities_of(server, principal.grant),
            server_info=server_info(server.spec),
            instructions=server.instructions,
        )
        return {**result, "ttlMs": DISCOVER_TTL_MS, "cacheScope": "private"}


def _goes_as_it_is(method: str, result: Json) -> bool:
    """Nothing of a result has to change for a client of 2026-07-28 but that `_meta` is added (`convert.to_client`)."""
    return "_meta" not in result and "resultType" in result and (method != "tools/call" or "content" in result)


def _check_headers(server: ServerCatalog, head: Head, request: jsonrpc.Request) -> None:
    """The headers have to say what the body says. Of one and the same head it is enough to know what it was found to
    say before; only arguments that are mirrored in headers are looked at every time."""
    meta, name = request.params.get("_meta"), request.params.get("name")
    revision = meta.get(META_PROTOCOL_VERSION) if type(meta) is dict else None
    said = (revision, request.method, name, head.headers.get(NAME_HEADER))
    if request.method == "tools/call" and said == head.notes.mirrored and not server.header_parameters_of(str(name)):
        return
    check_request_headers(head.headers, head.repeated, request, server.header_parameters_of)
    if request.method == "tools/call":
        head.notes.mirrored = said


def _envelope(head: Head, request: jsonrpc.Request) -> Envelope:
    """What the request says of itself. Clients say the same in every request but for progress tokens and trace ids."""
    said, noted = encode(request.params.get("_meta")), head.notes.envelope
    if noted is not None and said == noted[0]:
        known: Envelope = noted[1]
        return known
    envelope = read_envelope(request.params)
    if envelope.revision != MODERN:
        raise unsupported(envelope.revision)
    if len(said) <= MOST_NOTED:
        head.notes.envelope = (said, envelope)
    return envelope


def _unanswered(head: Head, request: jsonrpc.Request, sink: Sink, error: BaseException) -> None:
    """Nobody answers before the exchange is there."""
    del head, request, sink
    raise error
