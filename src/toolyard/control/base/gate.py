"""The way into every route of the management API.

In this order: the rate limit of who is known so far, who it is, CSRF, whether they may, the rate limit of the caller,
the whole body, the idempotency key, and then the handler in one transaction. The transaction is committed before the
answer goes out: what was answered with success is durable. The handler finds it by `WorkParam`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from json import JSONDecodeError
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from toolyard.control.base.caller import Caller
from toolyard.control.base.declaration import Declared, declared_of
from toolyard.control.base.errors import BodyTooLarge, CsrfRefused, Forbidden, Invalid, NotFound, NotLoggedIn
from toolyard.control.base.idempotency import HEADER, Repeated
from toolyard.control.base.limits import RequestLimits
from toolyard.control.base.work import Work, Works
from toolyard.protocol.errors import ProtocolError
from toolyard.protocol.strict_json import decode

CLIENT_ADDRESS = "toolyard-client-address"
MAX_BODY_BYTES = 8 * 1024 * 1024
"""The largest body but for uploads and what gateways report: it is taken in and understood as a whole."""
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Authenticates(Protocol):
    """Finds out who asks. Implemented by the slice that knows people; it begins its own work."""

    async def caller(self, request: Request, declared: Declared) -> Caller:
        """Who it is, as far as the route wants to know; `NOBODY` only on open routes. Raises NotLoggedIn."""
        ...

    def csrf_holds(self, request: Request, caller: Caller) -> bool:
        """Whether a request whose proof came by cookie was made by our own pages."""
        ...


class Gate:
    """What the gate asks; one for each application, at `app.state.gate`."""

    def __init__(self, works: Works, authenticates: Authenticates, limits: RequestLimits) -> None:
        self.works = works
        self.authenticates = authenticates
        self.limits = limits


class _WholeRequest(Request):
    """A request whose body is in memory, and so not too large for that."""

    async def body(self) -> bytes:
        """Raises BodyTooLarge, Invalid."""
        if hasattr(self, "_body"):
            return self._body
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in self.stream():
                pieces.append(piece)
                if (size := size + len(piece)) > MAX_BODY_BYTES:
                    raise BodyTooLarge
        except ClientDisconnect:
            raise Invalid("the request ended in the middle of its body") from None
        self._body = b"".join(pieces)
        return self._body

    async def json(self) -> Any:
        """As strictly as the gateway reads JSON. Raises JSONDecodeError, which the framework tells."""
        try:
            return decode(await self.body())
        except ProtocolError as error:
            raise JSONDecodeError(error.message, "", 0) from None


class GatedRoute(APIRoute):
    """A route behind the gate."""

    def get_route_handler(self) -> Handler:
        declared, inner = declared_of(self), super().get_route_handler()
        if declared is None:
            return inner
        has_body = declared.auth != "gateway" and (declared.transaction or self.body_field is not None)

        async def handle(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            caller = await _let_in(gate, request, declared)
            if has_body and request.method != "GET":
                # Before the transaction begins: while a client is slow, nobody else shall have to wait for it.
                request = _WholeRequest(request.scope, request.receive)
                await request.body()
            if not declared.transaction:
                request.state.caller = caller
                return await inner(request)
            return await _in_transaction(gate, caller, request, declared, inner)

        return handle


async def _let_in(gate: Gate, request: Request, declared: Declared) -> Caller:
    if not all(value.isprintable() for value in request.path_params.values() if isinstance(value, str)):
        raise NotFound
    address = client_address(request)
    if declared.auth != "operator":
        gate.limits.take(declared.limit, f"address:{address}")
    caller = await gate.authenticates.caller(request, declared)
    if declared.auth != "open" and caller.kind == "nobody":
        raise NotLoggedIn
    if caller.by_cookie and declared.csrf == "token" and not gate.authenticates.csrf_holds(request, caller):
        raise CsrfRefused
    if declared.action not in ("none", "self") and not caller.may(declared.action, *resources_of(request)):
        raise Forbidden(f"this needs the permission {declared.action}", permission=declared.action)
    if caller.id:
        gate.limits.take(declared.limit, f"caller:{caller.id}")
    return caller


async def _in_transaction(
    gate: Gate, caller: Caller, request: Request, declared: Declared, inner: Callable[[Request], Awaitable[Response]]
) -> Response:
    if request.method == "GET" or declared.safe:
        async with gate.works.read(caller, heavy=declared.heavy) as work:
            request.state.work = work
            return await inner(request)
    async with gate.works.write(caller) as work:
        request.state.work = work
        key = request.headers.get(HEADER) if declared.idempotent else None
        if key is None:
            return await inner(request)
        repeated = Repeated(work, key, request)
        earlier = await repeated.answer()
        return earlier if earlier is not None else await repeated.keep(await inner(request))


def resources_of(request: Request) -> list[str]:
    """What a request is about, as grants name it: `/servers/{server_id}/keys/{key_id}` is about `server:…` and
    `key:…`."""
    ids = request.path_params.items()
    return [f"{name.removesuffix('_id')}:{value}" for name, value in ids if name.endswith("_id")]


def client_address(request: Request) -> str:
    """Where the request came from, as the gateway says, or else the connection."""
    told = request.headers.get(CLIENT_ADDRESS)
    if told:
        return told
    return request.client.host if request.client else ""


def current_work(request: Request) -> Work:
    """The transaction that the gate began for this request."""
    work: Work = request.state.work
    return work


def current_caller(request: Request) -> Caller:
    """Whom the gate let in on a route without a transaction of its own."""
    caller: Caller = request.state.caller
    return caller


WorkParam = Annotated[Work, Depends(current_work)]
CallerParam = Annotated[Caller, Depends(current_caller)]
