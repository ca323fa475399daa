"""An upstream that does what a test says, behind the port of the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.contract.making import observed
from toolyard.contract.definitions import Json, Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Begun, Call, UpstreamEvents
from toolyard.gateway.upstream.errors import UpstreamUnreachable
from toolyard.kit.clock import Clock

Answer = Callable[[Call, str, Json], Awaitable[Json]]


async def say_who(call: Call, method: str, params: Json) -> Json:
    """Answers with what was asked."""
    del call
    if method == "resources/read":
        return {"contents": [{"uri": params["uri"], "text": "text"}]}
    if method == "completion/complete":
        return {"completion": {"values": [str(params["ref"])]}}
    return {"content": [{"type": "text", "text": str(params.get("name"))}]}


@dataclass
class FakeUpstream:
    """`offers`: what `observe` returns; while `dead` it fails; it waits for `gate`."""

    spec: UpstreamSpec
    offers: Observation
    answer: Answer = say_who
    dead: bool = False
    pushes: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    observed: int = 0
    observed_at: list[float] = field(default_factory=list)
    requests: list[tuple[str, Json]] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    closed: int = 0
    events: UpstreamEvents | None = None

    def __post_init__(self) -> None:
        self.gate.set()

    async def observe(self) -> Observation:
        self.observed += 1
        self.observed_at.append(asyncio.get_running_loop().time())
        await self.gate.wait()
        if self.dead:
            raise UpstreamUnreachable(f"{self.spec.id} is dead")
        return self.offers

    async def request(self, call: Call, method: str, params: Json) -> Json:
        self.requests.append((method, params))
        if self.dead:
            raise UpstreamUnreachable(f"{self.spec.id} is dead")
        return await self.answer(call, method, params)

    def begin(self, call: Call, method: str, params: Json) -> Begun | None:
        """Never at once."""
        del call, method, params
        return None

    def repeater(self, call: Call, params: Json) -> None:
        """Each call is looked at."""
        del call, params

    def may_push(self, call: Call) -> bool:
        return self.pushes

    async def watch(self, call: Call, uri: str) -> None:
        self.watched.append(f"+{uri}")

    async def unwatch(self, call: Call, uri: str) -> None:
        self.watched.append(f"-{uri}")

    async def roots_changed(self, call: Call) -> None:
        """Nobody asked for roots."""

    def forget(self, isolation: str) -> None:
        """Nothing is kept."""

    def status(self) -> dict[str, Any]:
        return {"era": "modern"}

    async def aclose(self) -> None:
        self.closed += 1


class Fakes:
    """Makes fake upstreams and keeps all it made, oldest first; `offers` by upstream id, `prepare` before first use."""

    def __init__(self, *offers: Observation, prepare: Callable[[FakeUpstream], None] = lambda _made: None) -> None:
        self.offers = {o.upstream_id: o for o in offers}
        self.made: list[FakeUpstream] = []
        self.hints: list[Any] = []
        self._prepare = prepare

    def make(self, spec: UpstreamSpec, events: UpstreamEvents | None, clock: Clock | None, era: Any) -> FakeUpstream:
        """As `make_upstream`."""
        del clock
        fake = FakeUpstream(spec, self.offers.get(spec.id, observed(spec.id)), events=events)
        self._prepare(fake)
        self.made.append(fake)
        self.hints.append(era)
        return fake

    def __getitem__(self, upstream_id: str) -> FakeUpstream:
        """The newest of that id."""
        return next(f for f in reversed(self.made) if f.spec.id == upstream_id)
