"""What a call is about: its target, found before anything is judged that depends on it."""

from __future__ import annotations

from toolyard.gateway.call import Call
from toolyard.gateway.dispatch import Dispatch
from toolyard.gateway.pipeline import Judge


class Resolve(Judge):
    """Finds the target. A name nobody knows yet waits for upstreams that were never seen, a few seconds."""

    repeats = True

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def enter(self, call: Call) -> bool:
        return self._dispatch.resolve(call)

    async def wait(self, call: Call) -> None:
        await self._dispatch.resolve_later(call)
