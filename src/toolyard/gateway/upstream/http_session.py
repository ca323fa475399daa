"""One session with a legacy server over Streamable HTTP (2025-03-26 to 2025-11-25, basic/transports).

Every message is a POST of its own. What arrives on a POST's stream belongs to the call of that POST, so calls share a
session without meeting; what arrives on the session's GET stream belongs to the gateway, or to a call only where
exactly one is running. A broken connection cancels nothing here: who gives up says so with `notifications/cancelled`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.gateway.upstream.handshake import GATEWAY_INFO
from toolyard.gateway.upstream.http_answers import Answers
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_delivery import CANCELLED, Announcer
from toolyard.gateway.upstream.http_era import ERA_STATUSES, MODERN_CODES, EraContradicted
from toolyard.gateway.upstream.http_exchange import Endpoint, kind_of, let_end
from toolyard.gateway.upstream.http_modern import POST_HEADERS
from toolyard.gateway.upstream.http_questions import Questions
from toolyard.gateway.upstream.http_running import Running, SessionLost
from toolyard.gateway.upstream.http_session_begun import BegunInSession, Counter
from toolyard.gateway.upstream.http_session_calls import SessionCalls
from toolyard.kit.errors import PlatformError
from toolyard.net.response import HttpResponse
from toolyard.protocol import jsonrpc
from toolyard.protocol.envelope import stamp_legacy
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.jsonrpc import Reply
from toolyard.protocol.revisions import LEGACY, LOG_LEVELS
from toolyard.protocol.strict_json import encode

METHOD_NOT_FOUND: Final = -32601
ABOUT_THE_REQUEST: Final = frozenset({METHOD_NOT_FOUND, -32602, -32002})
CLEAN_UP_S: Final = 5.0
_SESSION_ID: Final = re.compile(r"[\x21-\x7e]{1,512}")


class LegacySession:
    """A session that declared `capabilities`. `principal_id` owns it; None: the gateway (or all, if shared)."""

    def __init__(self, endpoint: Endpoint, announcer: Announcer, capabilities: Json, principal_id: str | None) -> None:
        self.capabilities = capabilities
        self.principal_id = principal_id
        self.revision = LEGACY[0]
        self.server_info: Json = {}
        self.server_capabilities: Json = {}
        self.instructions: str | None = None
        self.is_lost = False
        self.calls = SessionCalls(announcer, principal_id)
        self.endpoint = endpoint
        self.announcer = announcer
        self.has_streamed = False
        self._settled = asyncio.Event()
        self._session_id: str | None = None
        self._post_head: bytes | None = None
        self._level: str | None = None
        self.next_id = itertools.count(1).__next__
        self.questions = Questions(self)
        self._answers = Answers(endpoint, announcer, self.questions, self._resume)
        self._tasks: set[asyncio.Task[None]] = set()

    # Opening and closing

    async def initialize(self, deadline: float) -> None:
        """The handshake. Raises EraContradicted where the server does not take it, UpstreamError, RelayedError."""
        params = {"protocolVersion": LEGACY[0], "capabilities": self.capabilities, "clientInfo": GATEWAY_INFO}
        request_id = self.next_id()
        message = jsonrpc.request(request_id, "initialize", params)
        response = await self.endpoint.open("POST", POST_HEADERS, message, deadline=deadline)
        try:
            if response.status != 200:
                raise await self._handshake_refusal(response)
            self._session_id = self._checked_id(response.headers.get("mcp-session-id"))
            reply = await self._answers.read(response, Running(request_id, None, None), deadline)
        except BaseException:
            response.abort()
            raise
        if reply.error is not None:
            raise EraContradicted(_error(reply))
        self._accept(_result(reply))
        await self.post(jsonrpc.notification("notifications/initialized"), deadline)

    async def _handshake_refusal(self, response: HttpResponse) -> Exception:
        refusal = self.endpoint.refusal(response)
        if response.status not in ERA_STATUSES:
            response.abort()
            return refusal
        reply = await self.endpoint.reply_if_any(response)
        if reply is not None and reply.error is not None and reply.error["code"] in MODERN_CODES:
            return EraContradicted(_error(reply))
        return EraContradicted(refusal)

    def _checked_id(self, session_id: str | None) -> str | None:
        if session_id is not None and not _SESSION_ID.fullmatch(session_id):
            raise self.endpoint.invalid("gave a session id that is not visible ASCII")
        return session_id

    def _accept(self, result: Json) -> None:
        revision, info = result.get("protocolVersion"), result.get("serverInfo")
        capabilities, instructions = result.get("capabilities"), result.get("instructions")
        if revision not in LEGACY:
            raise self.endpoint.invalid("answered the handshake with a revision that was not offered")
        self.revision = str(revision)
        self.server_info = info if isinstance(info, dict) else {}
        self.server_capabilities = capabilities if isinstance(capabilities, dict) else {}
        self.instructions = instructions if isinstance(instructions, str) else None

    @property
    def has_id(self) -> bool:
        """The server keeps a session, so it can forget it."""
        return self._session_id is not None

    def settle_stream(self) -> None:
        """The GET stream is open, or is known not to be had for now."""
        self._settled.set()

    async def stream_settled(self, limit_s: float) -> None:
        """Wait for that, at most `limit_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._settled.wait()

    async def aclose(self) -> None:
        """End the session on the server too, as far as it lets us."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session_id is None or self.is_lost:
            return
        try:
            end = asyncio.get_running_loop().time() + CLEAN_UP_S
            _discard(await self.open("DELETE", None, end, words=True))
        except (UpstreamError, SessionLost):
            pass

    # Requests

    def begin(
        self,
        call: Call,
        method: str,
        params: Json,
        counter: Counter,
        go_on_with: Callable[[BegunPost], Awaitable[Json]],
    ) -> BegunInSession | None:
        """Send a request at once; None if nothing was sent, because something has to be waited for. `request` goes on
        with it if its answer is not a plain one."""
        if self.must_lower(call):
            return None
        connection = self.endpoint.idle_connection()
        if connection is None:
            return None
        request_id = self.next_id()
        try:
            head = self.post_head()
            body = encode(_message(request_id, call, method, params))
        except BaseException:
            self.endpoint.give_back(connection)
            raise
        running = self.calls.enter(request_id, call, begun=True)
        begun = BegunInSession(self, counter, go_on_with, call, params, running, head, body)
        begun.send(connection)
        return begun

    async def request(
        self,
        call: Call | None,
        method: str,
        params: Json,
        deadline: float,
        *,
        safe: bool,
        begun: BegunInSession | None = None,
    ) -> Json:
        """The result of one request, which may have been `begun`; `safe` allows sending it twice. `call` is None for
        the gateway's own.

        Raises RelayedError, UpstreamError, SessionLost, EraContradicted, and what `call.ask` and `call.emit` raise."""
        running = self.calls.enter(self.next_id(), call) if begun is None else begun.running
        try:
            if begun is not None:
                return await self._went_on(begun, deadline, safe=safe)
            return await self._request(running, method, params, deadline, safe=safe)
        except (RelayedError, SessionLost, EraContradicted):
            raise
        except asyncio.CancelledError:
            self.tell_cancelled(running.request_id)
            failure = running.own_failure()
            if failure is None:
                raise
            raise failure from None
        except PlatformError as error:
            if not isinstance(error, UpstreamError) or error.may_have_run:
                self.tell_cancelled(running.request_id)
            raise
        finally:
            self.calls.left(running)

    async def _request(self, running: Running, method: str, params: Json, deadline: float, *, safe: bool) -> Json:
        call = running.call
        if call is not None and call.log_level is not None and self.must_lower(call):
            await self._lower_level(call.log_level, deadline)
        message = _message(running.request_id, call, method, params)
        return await self._outcome(await self.open("POST", message, deadline, safe=safe), running, deadline)

    async def _went_on(self, begun: BegunInSession, deadline: float, *, safe: bool) -> Json:
        try:
            begun.running.taken_over()
            response = await begun.opened(idempotent=safe)
        except BaseException:
            begun.abort()
            raise
        return await self._outcome(response, begun.running, deadline)

    async def _outcome(self, response: HttpResponse, running: Running, deadline: float) -> Json:
        """The result in an answer whose head is there."""
        try:
            if response.status != 200:
                return _result(await self._rejection(response, running.request_id))
            return _result(await self._answers.read(response, running, deadline))
        except BaseException as error:
            response.abort()
            if isinstance(error, UpstreamError) and response.status == 200:
                error.may_have_run = True
            raise

    def must_lower(self, call: Call) -> bool:
        """Logging is the session's (logging/setLevel): it is set to the lowest level that any call asked for. Callers
        that chose none get all once somebody else chose: one client's level takes nothing from another one."""
        own, level = self._level, call.log_level
        if level is None or (not call.log_level_chosen and own is None):
            return False
        if "logging" not in self.server_capabilities or level not in LOG_LEVELS:
            return False
        return own is None or LOG_LEVELS.index(own) > LOG_LEVELS.index(level)

    async def _lower_level(self, level: str, deadline: float) -> None:
        try:
            await self.request(None, "logging/setLevel", {"level": level}, deadline, safe=True)
        except RelayedError:
            pass
        self._level = level

    async def _rejection(self, response: HttpResponse, request_id: int) -> Reply:
        """The error in a body with an error status. Raises SessionLost, EraContradicted, UpstreamError."""
        refusal = self.endpoint.refusal(response)
        if response.status not in ERA_STATUSES and response.status < 500:
            response.abort()
            raise refusal
        reply = await self.endpoint.reply_if_any(response)
        if reply is not None and reply.error is not None:
            if reply.error["code"] in MODERN_CODES:
                raise EraContradicted(_error(reply))
            if reply.id == request_id and not self._says_lost(response, reply):
                return reply
        if self._session_id is not None and (response.status == 404 or (response.status == 400 and reply is not None)):
            self.is_lost = True
            raise SessionLost
        raise EraContradicted(refusal) if response.status in ERA_STATUSES else refusal

    def _says_lost(self, response: HttpResponse, reply: Reply) -> bool:
        """404 means that the session is unknown (2025-11-25 basic/transports, session management), whomever the error
        in its body is addressed to; but some servers use it for what a request asked for, too."""
        code = (reply.error or {}).get("code")
        return response.status == 404 and self._session_id is not None and code not in ABOUT_THE_REQUEST

    # What the server asks

    async def answer(self, message: Json) -> None:
        """Send the answer to a question. Raises SessionLost, UpstreamError."""
        await self.post(message, asyncio.get_running_loop().time() + CLEAN_UP_S)

    async def answer_quietly(self, message: Json) -> None:
        """Send a message that nobody waits for, if it can be sent."""
        with suppress(UpstreamError, SessionLost):
            await self.answer(message)

    @property
    def busy_with(self) -> int:
        """How many tasks the session has at work."""
        return len(self._tasks)

    # Messages

    async def open(
        self,
        method: str,
        message: Json | None,
        deadline: float,
        *,
        safe: bool = False,
        event_id: str | None = None,
        words: bool = False,
    ) -> HttpResponse:
        """One HTTP request of this session."""
        headers = self._headers(method)
        if event_id:
            headers.append(("Last-Event-ID", event_id))
        return await self.endpoint.open(method, headers, message, deadline=deadline, idempotent=safe, words=words)

    async def _resume(self, event_id: str, deadline: float) -> HttpResponse:
        return await self.open("GET", None, deadline, event_id=event_id)

    def post_head(self) -> bytes:
        """The head of every POST of this session but for its end. Raises Unsendable."""
        head = self._post_head = self._post_head or self.endpoint.post_head(self._headers("POST"))
        return head

    def _headers(self, method: str) -> list[tuple[str, str]]:
        headers = [*POST_HEADERS] if method == "POST" else [("Accept", "text/event-stream")]
        headers.append(("MCP-Protocol-Version", self.revision))
        if self._session_id is not None:
            headers.append(("Mcp-Session-Id", self._session_id))
        return headers

    async def post(self, message: Json, deadline: float) -> None:
        """Send a notification or a reply. Raises SessionLost, UpstreamError."""
        response = await self.open("POST", message, deadline, words=True)
        if response.status == 404 and self._session_id is not None:
            response.abort()
            self.is_lost = True
            raise SessionLost
        if response.status >= 300:
            response.abort()
            raise self.endpoint.refusal(response)
        _discard(response)

    def tell_cancelled(self, request_id: int) -> None:
        """Nobody waits for the answer to this request any more."""
        params = {"requestId": request_id, "reason": "The caller gave up."}
        self.spawn(self.answer_quietly(jsonrpc.notification(CANCELLED, params)))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the session at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _discard(response: HttpResponse) -> None:
    """Nobody reads the body: let it end, within bounds, so that the connection can be kept."""
    if kind_of(response) == "sse":
        response.abort()
    else:
        let_end(response)


def _message(request_id: int, call: Call | None, method: str, params: Json) -> Json:
    token = request_id if call is not None and call.wants_progress else None
    rest = {name: value for name, value in call.meta.items() if name != "baggage"} if call and call.meta else None
    return jsonrpc.request(request_id, method, stamp_legacy(params, progress_token=token, rest=rest))


def _result(reply: Reply) -> Json:
    if reply.error is not None:
        raise _error(reply)
    return reply.result or {}


def _error(reply: Reply) -> RelayedError:
    error = reply.error or {}
    return RelayedError(error.get("code", METHOD_NOT_FOUND), error.get("message", ""), error.get("data"))
