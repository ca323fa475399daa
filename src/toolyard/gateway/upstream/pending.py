"""One request to an upstream that waits for its reply, and what a reply means for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.errors import UpstreamInvalid
from toolyard.gateway.upstream.notices import Notices
from toolyard.gateway.upstream.turns import Turn
from toolyard.protocol.errors import RelayedError


def _nobody() -> None:
    """Nobody waits yet."""


class Pending:
    """A request. `outcome` is None until it is settled; then `on_settled` is called, once, in that very turn of the
    loop. `expires_at` (loop time) counts from when the request was sent; `asks` are the questions it is asked now."""

    __slots__ = ("asks", "call", "expires_at", "id", "method", "notices", "on_settled", "outcome", "sent", "turn")

    def __init__(self, request_id: int, method: str, call: Call | None, turn: Turn | None) -> None:
        self.id = request_id
        self.method = method
        self.call = call
        self.turn = turn
        self.sent = False
        self.expires_at = math.inf
        self.outcome: Json | Exception | None = None
        self.on_settled: Callable[[], None] = _nobody
        self.notices: Notices | None = None
        self.asks: set[asyncio.Task[None]] = set()

    def settle(self, outcome: Json | Exception) -> None:
        """This is how the request came out, unless that is known already."""
        if self.outcome is None:
            self.outcome = outcome
            on_settled, self.on_settled = self.on_settled, _nobody
            on_settled()

    async def settled(self) -> Json:
        """Wait for the result. Raises what the request was settled with instead of one."""
        if self.outcome is None:
            waiter = asyncio.get_running_loop().create_future()
            self.on_settled = lambda: None if waiter.done() else waiter.set_result(None)
            await waiter
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome

    def lend_turn(self) -> None:
        """The call waits for answers and is not at work, unless it has ended or has been answered meanwhile."""
        if self.turn is not None and self.asks:
            self.turn.lend()

    def close(self) -> None:
        """Nobody asks or tells anything about this request any more."""
        for ask in self.asks:
            ask.cancel()
        if self.notices is not None:
            self.notices.close()


def outcome_of(reply: Json) -> Json | Exception:
    """What a reply means for its request: a result, or an error."""
    result = reply.get("result")
    if type(result) is dict and "error" not in reply and reply.get("jsonrpc") == "2.0":
        return result
    error = reply.get("error")
    if "result" in reply or type(error) is not dict or reply.get("jsonrpc") != "2.0":
        return UpstreamInvalid("The upstream's answer is neither a result nor an error.")
    code, message = error.get("code"), error.get("message")
    if type(code) is not int or type(message) is not str:
        return UpstreamInvalid("The upstream's answer is an error without code or message.")
    return RelayedError(code, message, error.get("data"))
