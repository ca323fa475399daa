"""Calling tools with a login: `/api/v1/tools/call` and `/api/v1/mcp/proxy`, plain JSON in and out.

For people and programs that are logged in at the control plane and want one result without speaking MCP. Each request
is one `Call` through the same pipeline as any other, so policy, limits and records hold. Nobody can be asked anything
in the middle of it. Errors are problem details (RFC 9457) with our code; a JSON-RPC error that an upstream answered
with is one too, but of `/api/v1/mcp/proxy` it is the answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.call import Answer, Call, Head, Principal, Sink
from toolyard.gateway.caller import SuspendingAsk
from toolyard.gateway.dispatch import LIST_METHODS, Dispatch
from toolyard.gateway.errors import ServerUnknown, Unauthenticated
from toolyard.gateway.pipeline import Pipeline
from toolyard.gateway.refusals import ShuttingDown
from toolyard.gateway.routes import Route
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.kit.clock import LoopTime
from toolyard.kit.errors import PlatformError
from toolyard.policy.authorize import Deny, authorize
from toolyard.protocol.convert import to_client
from toolyard.protocol.errors import InvalidParams, MethodNotFound, RelayedError
from toolyard.protocol.request_ids import is_request_id
from toolyard.protocol.revisions import LEGACY, MODERN
from toolyard.protocol.strict_json import decode, encode

CALL_PATH: Final = "/api/v1/tools/call"
PROXY_PATH: Final = "/api/v1/mcp/proxy"
FOUNDING_CALL_PATH: Final = "/tools/call"
PROBLEM: Final = "application/problem+json"
DEFAULT_SERVER: Final = "default"
METHODS: Final = LIST_METHODS | {"tools/call", "prompts/get", "resources/read", "completion/complete"}
_SHOW_A_LOGIN: Final = "Show an access token of a login, or an API key: `Authorization: Bearer …`."
_OF_CALL: Final = frozenset({"tool_name", "name", "arguments", "server"})
_OF_PROXY: Final = frozenset({"jsonrpc", "id", "method", "params", "server"})
_PLAIN: Final = LEGACY[0]
"""The revision in whose form results are shown: the newest whose results say nothing but what they are."""

Refused = Callable[[Head, PlatformError, str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What a request asks for, at which server; None is the caller's own."""

    method: str
    params: Json
    server: str | None


class Execution:
    """The handlers of both routes."""

    def __init__(
        self,
        authenticate: Callable[[Head], Principal],
        dispatch: Dispatch,
        pipeline: Pipeline,
        server: Callable[[str], ServerSpec | None],
        on_refusal: Refused,
        *,
        timeout_s: float,
    ) -> None:
        """`server`: one that is configured, by its code."""
        self._authenticate = authenticate
        self._dispatch = dispatch
        self._pipeline = pipeline
        self._server = server
        self._on_refusal = on_refusal
        self._timeout_s = timeout_s
        self._loop_time = LoopTime()

    def routes(self) -> tuple[Route, ...]:
        """Both routes."""
        return (
            _route(CALL_PATH, self.call, "tools.call", self.admit),
            _route(PROXY_PATH, self.proxy, "mcp.proxy", self.admit),
        )

    def founding_routes(self) -> tuple[Route, ...]:
        """Another name of the same, from the founding documents (`contract.founding_paths`)."""
        return (_route(FOUNDING_CALL_PATH, self.call, "tools.call", self.admit),)

    def admit(self, head: Head) -> Answer | None:
        """Judge a head before its body is read."""
        try:
            head.principal = self._authenticate(head)
        except PlatformError as error:
            return self._refusal(head, error)
        return None

    async def call(self, head: Head, body: bytes, sink: Sink) -> None:
        """`{tool_name, arguments, server}` → `{success, data}` or `{success, error, data}`."""
        try:
            result = await self._carry_out(head, _call_in(_object(body)), sink)
        except PlatformError as error:
            sink.finish(self._refusal(head, error, "tools/call"))
            return
        shown: Json = {"success": True, "data": result}
        if result.get("isError") is True:
            shown = {"success": False, "error": {"code": "tool_failed", "message": _first_text(result)}, "data": result}
        sink.finish(Answer(200, encode(shown)))

    async def proxy(self, head: Head, body: bytes, sink: Sink) -> None:
        """`{method, params, server}` → `{jsonrpc, id, result}`."""
        method = ""
        try:
            said = _object(body)
            order = _request_in(said)
            method = order.method
            answer: Json = {"result": await self._carry_out(head, order, sink)}
        except RelayedError as error:
            answer = {"error": {"code": error.rpc_code, "message": error.message, "data": error.data}}
        except PlatformError as error:
            sink.finish(self._refusal(head, error, method))
            return
        sink.finish(Answer(200, encode({"jsonrpc": "2.0", "id": said.get("id"), **answer})))

    async def carry_out(self, head: Head, order: Order) -> Json:
        """The result of what the principal of `head` orders. Raises PlatformError."""
        result = await self._pipeline.carry(self._call_of(head, order))
        return to_client(_PLAIN, order.method, result)

    async def _carry_out(self, head: Head, order: Order, sink: Sink) -> Json:
        """As `carry_out`. A call that is cancelled while its client is there ends with the gateway."""
        try:
            return await self.carry_out(head, order)
        except asyncio.CancelledError:
            if not sink.is_gone:
                sink.finish(self._refusal(head, ShuttingDown(), order.method))
            raise

    def _call_of(self, head: Head, order: Order) -> Call:
        principal = head.principal
        if principal is None:
            raise Unauthenticated
        head.server_code = self._chosen(principal, order.server)
        return Call(
            principal=principal,
            server=head.server_code,
            serving=self._dispatch.server(head.server_code),
            method=order.method,
            params=order.params,
            era="modern",
            revision=MODERN,
            emit=_nobody_listens,
            ask=SuspendingAsk({}),
            deadline=self._loop_time.now() + self._timeout_s,
            request_id=head.request_id,
            transport=head.transport,
        )

    def _chosen(self, principal: Principal, wanted: str | None) -> str:
        """The code of the server that an order is for. One that is not the caller's is as unknown as one that is not
        there. Raises ServerUnknown."""
        code = wanted or principal.server or DEFAULT_SERVER
        server = self._server(code)
        if server is None or authorize(principal, "use", server) == Deny("foreign_server"):
            raise ServerUnknown
        return code

    def _refusal(self, head: Head, error: PlatformError, method: str = "") -> Answer:
        self._on_refusal(head, error, method)
        return problem(error)


def problem(error: PlatformError) -> Answer:
    """An error as problem details."""
    status = error.status if error.status >= 400 else 502
    shown: Json = {k: v for k, v in error.context.items() if isinstance(v, str | int | float)}
    if isinstance(error, UpstreamError):
        shown["may_have_run"] = error.may_have_run
    if isinstance(error, RelayedError):
        shown["upstream_code"] = error.rpc_code
    title = _SHOW_A_LOGIN if isinstance(error, Unauthenticated) else error.message
    content = {**shown, "type": "about:blank", "title": title, "status": status, "code": error.code}
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Unauthenticated):
        headers = (("www-authenticate", 'Bearer realm="toolyard"'),)
    elif error.retry_after_s > 0:
        headers = (("retry-after", str(math.ceil(error.retry_after_s))),)
    return Answer(status, encode(content), headers, PROBLEM)


def _route(pattern: str, handler: Any, action: str, admit: Callable[[Head], Answer | None]) -> Route:
    return Route(
        pattern, ("POST",), handler, auth="login", action=action, csrf="no-cookies", limit="call", admit=admit,
        json_only=True,
    )  # fmt: skip


def _object(body: bytes) -> Json:
    said = decode(body)
    if not isinstance(said, dict):
        raise InvalidParams("the body must be an object")
    return said


def _call_in(said: Json) -> Order:
    _check_members(said, _OF_CALL)
    names = [said[member] for member in ("tool_name", "name") if member in said]
    if len(names) != 1 or not isinstance(names[0], str):
        raise InvalidParams('"tool_name" must be the name of a tool')
    params = {"name": names[0], "arguments": _member(said, "arguments")}
    return Order("tools/call", params, _server_in(said))


def _request_in(said: Json) -> Order:
    _check_members(said, _OF_PROXY)
    method = said.get("method")
    request_id = said.get("id")
    if request_id is not None and not is_request_id(request_id):
        raise InvalidParams('"id" must be a string or an integer')
    if not isinstance(method, str) or method not in METHODS:
        raise MethodNotFound(f"methods here are {', '.join(sorted(METHODS))}")
    params = {name: value for name, value in _member(said, "params").items() if name != "_meta"}
    if method == "tools/call" and not isinstance(params.setdefault("arguments", {}), dict):
        raise InvalidParams('"arguments" must be an object')
    return Order(method, params, _server_in(said))


def _member(said: Json, name: str) -> Json:
    found = said.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidParams(f'"{name}" must be an object')
    return found


def _server_in(said: Json) -> str | None:
    server = said.get("server")
    if server is not None and not isinstance(server, str):
        raise InvalidParams('"server" must be the code of a server')
    return server


def _check_members(said: Json, known: frozenset[str]) -> None:
    unknown = said.keys() - known
    if unknown:
        raise InvalidParams(f"there is no member {min(unknown)!r} here; there are {', '.join(sorted(known))}")


def _first_text(result: Json) -> str:
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    texts = [block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str)]
    return texts[0] if texts else "The tool failed."


async def _nobody_listens(_notification: Json) -> None:
    return None
