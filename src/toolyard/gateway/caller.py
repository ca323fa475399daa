"""Towards the caller: the notifications and questions of one call, in the caller's era.

`Caller` restores what is the caller's own (its progress token), keeps back what it did not ask for, and holds the pace
of a slow reader. `ask` ends a modern exchange (Suspended) and pushes requests to a legacy client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, Call, Suspended
from toolyard.gateway.interceptors.patience import ASK_LIMIT_S
from toolyard.gateway.sessions import LegacySession
from toolyard.gateway.sessions import Send as SendAtOnce
from toolyard.gateway.upstream.asking import may_ask
from toolyard.kit.ids import secret_id
from toolyard.protocol import jsonrpc
from toolyard.protocol.convert import question_for_legacy
from toolyard.protocol.revisions import LOG_LEVELS
from toolyard.protocol.strict_json import encode

Send = Callable[[bytes], Awaitable[None]]

_RANK = {level: rank for rank, level in enumerate(LOG_LEVELS)}


class Emitter:
    """Sends a call's notifications to its caller: `call.emit`. `withheld`: methods that its revision does not have."""

    __slots__ = ("_level", "_send", "_token", "_withheld")

    def __init__(
        self,
        send: Send,
        *,
        progress_token: str | int | None,
        log_level: str | None,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        self._send = send
        self._token = progress_token
        self._level = _RANK.get(log_level) if log_level is not None else None
        self._withheld = withheld

    async def __call__(self, notification: Json) -> None:
        method, params = notification["method"], notification.get("params") or {}
        if method == "notifications/progress":
            if self._token is None:
                return
            params = {"progressToken": self._token, **{k: v for k, v in params.items() if k != "progressToken"}}
        elif method in self._withheld or (method == "notifications/message" and not self._wanted(params.get("level"))):
            return
        await self._send(encode(jsonrpc.notification(method, params)))

    def _wanted(self, level: Any) -> bool:
        return self._level is not None and _RANK.get(level, 0) >= self._level


class SuspendingAsk:
    """`call.ask` of a modern caller: its exchange ends, its retry brings the answers. What an upstream pushes needs
    more: a call that is held (`held.HeldCall`)."""

    __slots__ = ("_capabilities",)

    def __init__(self, capabilities: Json) -> None:
        self._capabilities = capabilities

    async def __call__(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]:
        if held:
            raise AskRefused("a caller of this revision cannot be asked in the middle of this request")
        for request in requests.values():
            if not may_ask(self._capabilities, request["method"], request.get("params")):
                raise AskRefused(f"the caller cannot be asked for {request['method']}")
        raise Suspended(requests, state)


class PushingAsk:
    """`call.ask` of a legacy caller: requests on its stream. The time people take does not count against the call."""

    __slots__ = ("_call", "_send", "_session")

    def __init__(self, session: LegacySession, send: SendAtOnce, call: Call) -> None:
        self._session = session
        self._send = send
        self._call = call

    async def __call__(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]:
        del state, held
        began = monotonic()
        self._call.asking += 1
        places = self._call.places
        if places is not None:
            places.give_back()
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                pushed = {key: question_for_legacy(request, secret_id) for key, request in requests.items()}
                return await self._session.ask(self._send, pushed)
        except TimeoutError:
            raise AskRefused(f"nobody answered within {ASK_LIMIT_S:.0f} seconds") from None
        finally:
            if places is not None:
                places.take_again()
            self._call.asking -= 1
            self._call.asked_s += monotonic() - began
