"""Calls on their way to the worker that keeps their upstream: what a driver needs of a call, as plain values.

The deadline travels as the time that is left, since clocks of loops are not to be compared. `emit`, `ask` and `pause`
stay behind: at the upstream's worker they are ways back (see `upstreams`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Ask, AskRefused, Call, Emit, Pause, Principal
from toolyard.kit.secret import Secret

_PLAIN = (
    "server",
    "method",
    "era",
    "revision",
    "request_id",
    "transport",
    "client_capabilities",
    "client_info",
    "meta",
    "wants_progress",
    "log_level",
    "log_level_chosen",
    "isolation",
    "handle",
    "watcher",
    "input_responses",
    "upstream_state",
)


def packed(call: Call) -> dict[str, Any]:
    """A call as plain values."""
    values = {name: getattr(call, name) for name in _PLAIN}
    values["principal"] = msgspec.to_builtins(call.principal)
    values["left_s"] = call.deadline - asyncio.get_running_loop().time()
    values["pauses"] = call.pause is not None
    return values


def unpacked_quiet(values: dict[str, Any], params: Json) -> Call:
    """The call that `packed` was given, about something that sends its caller nothing on the way."""
    call = unpacked(values, emit=_nowhere, ask=_nobody, pause=_nowhere)
    call.params = params
    return call


async def _nowhere(_what: Any) -> None:
    return None


async def _nobody(requests: Mapping[str, Json], *, state: str | None = None, held: bool = False) -> dict[str, Json]:
    del requests, state, held
    raise AskRefused


def unpacked(values: dict[str, Any], *, emit: Emit, ask: Ask, pause: Pause) -> Call:
    """The call that `packed` was given, with ways back of its own."""
    return Call(
        principal=msgspec.convert(values["principal"], Principal),
        params={},
        emit=emit,
        ask=ask,
        deadline=asyncio.get_running_loop().time() + values["left_s"],
        pause=pause if values["pauses"] else None,
        **{name: values[name] for name in _PLAIN},
    )


def fingerprint(spec: UpstreamSpec, key: bytes) -> bytes:
    """The same for the same configuration of an upstream, in every worker; says nothing without `key`."""
    text = msgspec.json.encode(_revealed(spec), order="deterministic")
    return hmac.digest(key, text, hashlib.sha256)


def _revealed(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if is_dataclass(value):
        return {field.name: _revealed(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _revealed(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_revealed(one) for one in value]
    return value
