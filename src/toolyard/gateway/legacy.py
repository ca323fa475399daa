"""Messages of legacy clients (2024-11-05 to 2025-11-25): the handshake, and requests within a session.

A request is known by its id in `session.running` while it is carried out, whether by a task or as a ride (`ride.py`):
the same id is refused meanwhile, and `notifications/cancelled` and the session's end give it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Answer, AskRefused, Call, Head, Pause, Principal, Rest
from toolyard.gateway.caller import Emitter, PushingAsk
from toolyard.gateway.dispatch import Dispatch, capabilities_of, server_info
from toolyard.gateway.events import Hub
from toolyard.gateway.express import Express, Plan, Trip
from toolyard.gateway.handles import read_handle, without_handle
from toolyard.gateway.pipeline import Outcome, Pipeline
from toolyard.gateway.ride import Conclude
from toolyard.gateway.routing import route_tool
from toolyard.gateway.sessions import LegacySession, Running, Send, Sessions
from toolyard.gateway.streams import EventStream
from toolyard.gateway.translate import error_answer
from toolyard.kit.clock import LoopTime
from toolyard.kit.errors import PlatformError
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import initialize_result, to_client
from toolyard.protocol.errors import InvalidParams, InvalidRequest, MethodNotFound, RequestId
from toolyard.protocol.revisions import LEGACY_METHODS, LOG_LEVELS, PROGRESS_TOKEN, negotiate
from toolyard.protocol.strict_json import encode

CALL_CANCELLED = 499
MAX_WATCHED = 1000
_CALLS = LEGACY_METHODS - {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
"""The requests that are calls and nothing besides."""

_KEPT_META = frozenset({"traceparent", "tracestate"})


class LegacyRequests:
    """Answers legacy requests."""

    def __init__(
        self,
        dispatch: Dispatch,
        pipeline: Pipeline,
        express: Express,
        sessions: Sessions,
        hub: Hub,
        *,
        timeout_s: float,
    ) -> None:
        self._dispatch = dispatch
        self._pipeline = pipeline
        self._rides = express.rides
        self._express = express
        self._answers = TaskOwner("answers")
        self._loop_time = LoopTime()
        self._sessions = sessions
        self._hub = hub
        self._timeout_s = timeout_s
        self.on_refusal: Callable[[Head, PlatformError, str], None] = lambda _head, _error, _method: None
        """Told of every request that ends with an error."""
        sessions.on_end = self._ended

    async def initialize(
        self, head: Head, principal: Principal, request: jsonrpc.Request, push: Send | None
    ) -> tuple[LegacySession, Json]:
        """Open a session; the session and the `initialize` result. Raises PlatformError."""
        server = self._dispatch.server(head.server_code)
        if not isinstance(request.params.get("capabilities", {}), dict):
            raise InvalidParams('"capabilities" must be an object', request_id=request.id)
        revision = negotiate(request.params.get("protocolVersion"))
        new_id = self._sessions.new_id
        session = LegacySession(principal, head.server_code, revision, request.params, push, new_id=new_id)
        await self._sessions.admit(session)
        self._hub.add(session)
        result = initialize_result(
            revision=revision,
            capabilities=capabilities_of(server, principal.grant),
            server_info=server_info(server.spec),
            instructions=server.instructions,
        )
        return session, result

    def begin(
        self,
        session: LegacySession,
        request: jsonrpc.Request,
        stream: EventStream,
        head: Head,
        refuse: Callable[[BaseException], None],
    ) -> Rest:
        """Carry out one request of a session and end its stream with the answer, as far as that goes without waiting;
        and what is left of it. A call that is under way without a task gives `refuse` what ended it if that is not for
        its client to know: the gateway stops, or has failed."""
        if request.method not in _CALLS or request.id in session.running:
            return self._answer_on(session, request, stream, head)
        running = session.running[request.id] = Running()
        try:
            call = self._call(session, request, stream.send, head, stream.pause, can_ask=stream.reaches_client)
            entered = self._pipeline.enter(call)
            conclude = self._conclusion(session, request, running, stream, call, refuse)
            ride = self._rides.begin(call, entered, conclude)
        except BaseException as error:
            del session.running[request.id]
            if not isinstance(error, PlatformError):
                raise
            self.on_refusal(head, error, request.method)
            return self._ending(session, stream, error_answer(error, request.id, session.revision))
        if ride is None:
            return self._rest(session, request, running, stream, call, entered, head)
        running.work = ride
        params = request.params
        if (
            request.method == "tools/call"
            and "_meta" not in params
            and not head.notes.session_plans.get((session.id, params["name"]))
        ):
            call.serving = self._dispatch.server(session.server)
            self._express.learn_in_session(head, call, params.get("arguments"))
        return ride

    def begin_again(
        self,
        session: LegacySession,
        message: Any,
        stream: Callable[[], EventStream],
        head: Head,
        refuse: Callable[[jsonrpc.Request, BaseException], None],
    ) -> Trip | None:
        """Begin what is a call in the same words as one before with the same head, by its decoded body, on the stream
        that `stream` makes. None: it has to be read as any other; nothing was done."""
        try:
            plan, request_id = head.notes.session_plans.get((session.id, message["params"]["name"])), message["id"]
            if plan is None or request_id in session.running:
                return None
        except (KeyError, TypeError):
            return None
        call: Call = plan.call
        if call.log_level_chosen != (session.log_level is not None) or call.log_level != (session.log_level or "debug"):
            head.notes.session_plans.clear()
            return None
        again = _Again(session, refuse)
        trip = self._express.begin(plan, head, message, again, self)
        if trip is not None:
            again.stream = stream()
            again.running.work = trip
            session.running[trip.request_id] = again.running
        return trip

    def finish_again(self, plan: Plan, request_id: RequestId, sink: Any, result: Json) -> None:
        """Answer such a call with its plain result."""
        again: _Again = sink
        session = again.session
        session.running.pop(request_id, None)
        shaped = to_client(session.revision, "tools/call", result)
        self._end(session, again.stream, Answer(200, encode(jsonrpc.result(request_id, shaped))))

    def call_of(self, trip: Trip) -> tuple[Call, Conclude]:
        """What such a call would have been from the start, and what answers it."""
        again: _Again = trip.sink
        session, stream, plan = again.session, again.stream, trip.plan
        request = jsonrpc.Request(trip.request_id, "tools/call", {"name": plan.name, "arguments": trip.arguments})
        call = self._call(session, request, stream.send, trip.head, stream.pause, can_ask=stream.reaches_client)
        call.serving = plan.call.serving
        assert call.serving is not None
        call.target = route_tool(call.serving, call.params)
        return call, self._conclusion(
            session, request, again.running, stream, call, lambda error: again.refuse(request, error)
        )

    def _conclusion(
        self,
        session: LegacySession,
        request: jsonrpc.Request,
        running: Running,
        stream: EventStream,
        call: Call,
        refuse: Callable[[BaseException], None],
    ) -> Conclude:
        def conclude(outcome: Outcome) -> None:
            call.ask = _refuse_after_the_end
            session.running.pop(request.id, None)
            answer = _concluded(session, request, running, outcome)
            if isinstance(answer, BaseException):
                refuse(answer)
            else:
                self._end(session, stream, answer)

        return conclude

    def _end(self, session: LegacySession, stream: EventStream, answer: Answer) -> None:
        rest = self._ending(session, stream, answer)
        if rest is not None:
            self._answers.start(rest)

    def _ending(self, session: LegacySession, stream: EventStream, answer: Answer) -> Coroutine[Any, Any, None] | None:
        """End a stream with its answer; what is left to do for that."""
        self._sessions.touch(session)
        return None if stream.finish_plain(answer) else stream.finish(answer)

    async def _rest(
        self,
        session: LegacySession,
        request: jsonrpc.Request,
        running: Running,
        stream: EventStream,
        call: Call,
        entered: int,
        head: Head,
    ) -> None:
        """What is left of a call that has entered its first gates."""
        answer = await self._answered(session, request, running, self._performed(call, entered), head)
        self._sessions.touch(session)
        await stream.finish(answer or cancelled_answer(request))

    async def _answer_on(
        self, session: LegacySession, request: jsonrpc.Request, stream: EventStream, head: Head
    ) -> None:
        answer = await self.answer(session, request, stream.send, stream.pause, head, can_ask=stream.reaches_client)
        self._sessions.touch(session)
        await stream.finish(answer or cancelled_answer(request))

    async def answer(
        self,
        session: LegacySession,
        request: jsonrpc.Request,
        send: Send,
        pause: Pause | None,
        head: Head,
        *,
        can_ask: bool,
    ) -> Answer | None:
        """Carry out one request of a session: its answer, an error answer, or None if the client cancelled it.
        `can_ask`: the client would see a question on the way."""
        if request.id in session.running:
            error = InvalidRequest("this request id is in use", request_id=request.id)
            return error_answer(error, request.id, session.revision)
        running = session.running[request.id] = Running()
        work = self._carry_out(session, request, send, pause, head, can_ask=can_ask)
        return await self._answered(session, request, running, work, head)

    async def _answered(
        self, session: LegacySession, request: jsonrpc.Request, running: Running, work: Awaitable[Json], head: Head
    ) -> Answer | None:
        """The answer that the result of `work` is, which this task carries out; None if the client cancelled it."""
        task = asyncio.current_task()
        assert task is not None
        running.taken_over(task)
        try:
            return _answer(session, request, await work)
        except PlatformError as error:
            self.on_refusal(head, error, request.method)
            return error_answer(error, request.id, session.revision)
        except asyncio.CancelledError:
            if not running.cancelled:
                raise
            task.uncancel()
            return None
        finally:
            session.running.pop(request.id, None)

    async def _carry_out(
        self,
        session: LegacySession,
        request: jsonrpc.Request,
        send: Send,
        pause: Pause | None,
        head: Head,
        *,
        can_ask: bool,
    ) -> Json:
        if request.method == "ping":
            return {}
        if request.method not in LEGACY_METHODS or request.method == "initialize":
            raise MethodNotFound(f"no method {request.method!r} in {session.revision}")
        if request.method == "logging/setLevel":
            return _set_level(session, request.params)
        call = self._call(session, request, send, head, pause, can_ask=can_ask)
        if request.method == "resources/subscribe":
            return await self._subscribe(session, call)
        result = await self._performed(call)
        if request.method == "resources/unsubscribe":
            session.watched.pop(call.params["uri"], None)
        return result

    async def _performed(self, call: Call, entered: int = 0) -> Json:
        """The result of a call that was taken through `entered` gates; afterwards it asks nobody."""
        try:
            return await self._pipeline.carry(call, entered)
        finally:
            call.ask = _refuse_after_the_end

    async def _subscribe(self, session: LegacySession, call: Call) -> Json:
        uri = call.params.get("uri")
        if uri not in session.watched and len(session.watched) >= MAX_WATCHED:
            raise InvalidParams(f"a session watches at most {MAX_WATCHED} resources")
        result = await self._performed(call)
        session.watched[call.params["uri"]] = call
        return result

    def _call(
        self,
        session: LegacySession,
        request: jsonrpc.Request,
        send: Send,
        head: Head,
        pause: Pause | None = None,
        *,
        can_ask: bool = True,
    ) -> Call:
        meta = request.params.get("_meta") or {}
        token = meta.get(PROGRESS_TOKEN)
        if token is not None and (isinstance(token, bool) or not isinstance(token, str | int)):
            raise InvalidParams("a progressToken is a string or an integer")
        log_level = session.log_level or "debug"
        kept = {k: v for k, v in meta.items() if k != PROGRESS_TOKEN and (k in _KEPT_META or "/" in k)}
        call = Call(
            principal=session.principal,
            server=session.server,
            method=request.method,
            params={k: v for k, v in request.params.items() if k != "_meta"},
            era="legacy",
            revision=session.revision,
            emit=Emitter(send, progress_token=token, log_level=log_level),
            ask=_refuse_to_ask,
            deadline=self._loop_time.now() + self._timeout_s,
            request_id=head.request_id,
            transport=head.transport,
            watcher=session.id,
            client_capabilities=session.client_capabilities,
            client_info=session.client_info,
            handle=read_handle(kept, head),
            meta=without_handle(kept),
            wants_progress=token is not None,
            log_level=log_level,
            log_level_chosen=session.log_level is not None,
            pause=pause,
        )
        if can_ask:
            call.ask = PushingAsk(session, send, call)
        return call

    def notified(self, session: LegacySession, notification: jsonrpc.Notification, head: Head) -> None:
        """Take a notification of a session's client."""
        if notification.method == "notifications/cancelled":
            session.cancel(notification.params.get("requestId"))
        elif notification.method == "notifications/roots/list_changed" and "roots" in session.client_capabilities:
            unanswered = jsonrpc.Request(0, notification.method, {})
            session.start(self._dispatch.roots_changed(self._call(session, unanswered, _nowhere, head)))

    async def _ended(self, session: LegacySession) -> None:
        self._hub.remove(session)
        watched, session.watched = session.watched, {}
        for call in [*watched.values()][:1]:
            await self._dispatch.forget(call, watched)
        self._dispatch.session_ended(session.principal_id, session.id)


class _Again:
    """Where the answer of a call goes that follows a plan."""

    __slots__ = ("refuse", "running", "session", "stream")

    stream: EventStream

    def __init__(self, session: LegacySession, refuse: Callable[[jsonrpc.Request, BaseException], None]) -> None:
        self.session = session
        self.running = Running()
        self.refuse = refuse


def _answer(session: LegacySession, request: jsonrpc.Request, result: Json) -> Answer:
    return Answer(200, encode(jsonrpc.result(request.id, to_client(session.revision, request.method, result))))


def _concluded(
    session: LegacySession, request: jsonrpc.Request, running: Running, outcome: Outcome
) -> Answer | BaseException:
    """The answer to a call with this outcome, or what there is no answer of its own to."""
    if isinstance(outcome, dict):
        return _answer(session, request, outcome)
    if isinstance(outcome, PlatformError):
        return error_answer(outcome, request.id, session.revision)
    if isinstance(outcome, asyncio.CancelledError) and running.cancelled:
        return cancelled_answer(request)
    return outcome


def cancelled_answer(request: jsonrpc.Request) -> Answer:
    """What ends the HTTP exchange of a call that its client cancelled."""
    return Answer(200, encode(jsonrpc.error(request.id, CALL_CANCELLED, "the client cancelled this call")))


def _set_level(session: LegacySession, params: Json) -> Json:
    level = params.get("level")
    if level not in LOG_LEVELS:
        raise InvalidParams(f'"level" must be one of {", ".join(LOG_LEVELS)}')
    session.log_level = level
    return {}


async def _nowhere(_message: bytes) -> None:
    return None


async def _refuse_to_ask(
    requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
) -> dict[str, Json]:
    del requests, state, held
    raise AskRefused("the client takes no event stream, so it cannot be asked")


async def _refuse_after_the_end(
    requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
) -> dict[str, Json]:
    del requests, state, held
    raise AskRefused("the call has ended, so nobody can be asked")
