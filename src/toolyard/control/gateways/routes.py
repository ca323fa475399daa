"""What gateways ask for: the feed of snapshots, and a place for their records. Never relayed to clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.errors import Invalid
from toolyard.control.base.gate import WorkParam
from toolyard.control.gateways.schema import Gateway, GatewayList
from toolyard.control.gateways.service import heard
from toolyard.control.publisher.publisher import Publisher

MAX_RECORDS_BYTES = 64 * 1024 * 1024
_GATEWAY = Declared("gateway", "none", "none", "free", transaction=False)
Take = Callable[[Sequence[dict[str, Any]]], Awaitable[None]]


class _Asked(msgspec.Struct):
    gateway: str
    have: list[str] = []


def gateways_slice(publisher: Publisher, take: Take) -> Slice:
    """Routes for gateways; `take` is given their records."""
    one = Slice("gateways", prefix="/internal/v1")

    @one.route("POST", "/feed", _GATEWAY, include_in_schema=False)
    async def feed(request: Request) -> StreamingResponse:
        asked = _decoded(await request.body(), _Asked)
        return StreamingResponse(publisher.stream(asked.have), media_type="application/x-ndjson")

    @one.route("POST", "/records", _GATEWAY, include_in_schema=False)
    async def records(request: Request) -> Response:
        await take(_decoded(await request.body(), list[dict[str, Any]]))
        return Response(status_code=204)

    return one


def operations_slice(publisher: Publisher) -> Slice:
    """Routes for people who want to know how gateways do."""
    one = Slice("gateways")

    @one.get("/gateways", action="platform.operate", operation_id="gateways_list")
    async def every(work: WorkParam) -> GatewayList:
        """List the gateways and what each has in force."""
        rows = await heard(work)
        current = publisher.current
        return GatewayList(
            items=[Gateway.of(row) for row in rows],
            published=current.manifest.revision if current is not None else None,
        )

    return one


def _decoded(body: bytes, wanted: Any) -> Any:
    if len(body) > MAX_RECORDS_BYTES:
        raise Invalid("this is more than is taken at once")
    try:
        return msgspec.json.decode(body, type=wanted)
    except msgspec.MsgspecError as error:
        raise Invalid(f"this is not what gateways send: {error}") from None
