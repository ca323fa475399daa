"""What goes up in `_meta` of a modern request over a channel: exactly what the caller said of itself."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.handshake import GATEWAY_INFO
from toolyard.protocol.envelope import stamp
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.strict_json import encode

_OVER_CHANNELS = f"{MODERN} over channels"


def stamped_for_channel(call: Call, params: Json, request_id: int) -> Json:
    """`params` with the `_meta` for a modern upstream. What the caller says of itself in the same words as before is
    not encoded again."""
    said = call.said
    if (
        said is None
        or call.wants_progress
        or call.client_capabilities is not said.client_capabilities
        or call.meta is not said.rest
    ):
        return _stamped(call, params, request_id)
    meta: Any = said.stamps.get(_OVER_CHANNELS)
    if meta is None:
        meta = said.stamps[_OVER_CHANNELS] = Raw(encode(_stamped(call, {}, request_id)["_meta"]))
    return {**params, "_meta": meta}


def _stamped(call: Call, params: Json, request_id: int) -> Json:
    return stamp(
        params,
        revision=MODERN,
        client_capabilities=call.client_capabilities,
        client_info=call.client_info or GATEWAY_INFO,
        log_level=call.log_level,
        progress_token=request_id if call.wants_progress else None,
        rest=call.meta,
    )
