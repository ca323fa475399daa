"""One upstream as the pool keeps it, and how it was found the last time it was looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from toolyard.contract.definitions import Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Upstream

LOOK_AGAIN_S = 0.1

Presence = Literal["up", "down", "gone"]
State = Literal["pending", "ready", "failing", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class Look:
    """How an upstream was found the last time it was looked at. `observation`: what it offers, where that is told."""

    upstream_id: str
    state: State
    error: str | None = None
    error_code: str | None = None
    failures: int = 0
    observed_at: float | None = None
    observation: Observation | None = None


@dataclass(slots=True)
class Entry:
    """One upstream as the pool keeps it. Times are seconds since 1970."""

    spec: UpstreamSpec
    upstream: Upstream
    state: State = "pending"
    error: str | None = None
    error_code: str | None = None
    failures: int = 0
    in_flight: int = 0
    observed_at: float | None = None
    again: asyncio.Event = field(default_factory=asyncio.Event)
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    looks_begun: int = 0
    looks_ended: int = 0
    keeper: asyncio.Task[Any] | None = None
    hurries: bool = False
    closing: asyncio.Task[None] | None = None

    def look(self) -> Look:
        """How it was found last."""
        return Look(self.spec.id, self.state, self.error, self.error_code, self.failures, self.observed_at)

    def status(self) -> dict[str, Any]:
        """For the operator."""
        return {
            **self.upstream.status(),
            "id": self.spec.id,
            "kind": self.spec.kind,
            "state": self.state,
            "error": self.error,
            "error_code": self.error_code,
            "failures": self.failures,
            "observed_at": self.observed_at,
        }

    async def idle(self) -> None:
        """Until no call is in flight, at most for as long as one may take, or until it `hurries`."""
        longest_s = max([self.spec.timeout_s, *(rule.timeout_s or 0.0 for rule in self.spec.tools.values())])
        now = asyncio.get_running_loop().time
        give_up_at = now() + longest_s
        while self.in_flight and not self.hurries and now() < give_up_at:  # noqa: ASYNC110  (an event would cost every call)
            await asyncio.sleep(LOOK_AGAIN_S)
