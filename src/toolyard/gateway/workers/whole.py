"""The gateway as one thing to people: status and metrics of all its workers together."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from toolyard.gateway.assembly import Gateway
from toolyard.gateway.operator import Report
from toolyard.gateway.workers.errors import WorkerFailed, WorkerLost
from toolyard.gateway.workers.link import Service, Talk
from toolyard.gateway.workers.peers import Peer, Peers

PATIENCE_S: Final = 2.0


class Whole:
    """Gathers what the workers say of themselves. One that does not answer in time is left out, and said to be away."""

    def __init__(self, gateway: Gateway, me: int, peers: Peers) -> None:
        self._gateway = gateway
        self._me = me
        self._peers = peers

    def services(self) -> dict[str, Service]:
        """What the workers may ask one another."""
        return {"report": self._serve_report, "samples": self._serve_samples}

    async def reports(self) -> list[Report]:
        """What all workers report, this one first."""
        others = await asyncio.gather(*(self._ask(peer, "report") for peer in self._peers))
        away = [{"worker": {"index": peer.index, "state": "away"}} for peer in self._peers]
        return [self._report(), *(other or gone for other, gone in zip(others, away, strict=True))]

    async def samples(self) -> list[Any]:
        """The samples of the others' metrics."""
        return [found for found in await asyncio.gather(*(self._ask(p, "samples") for p in self._peers)) if found]

    async def _ask(self, peer: Peer, service: str) -> Any:
        if peer.link is None:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await peer.link.ask(service, None)
        except (TimeoutError, WorkerLost, WorkerFailed):
            return None

    def _report(self) -> Report:
        worker = {"index": self._me, "pid": os.getpid(), "state": "ready"}
        return {"worker": worker, **self._gateway.operator.report()}

    async def _serve_report(self, _talk: Talk, _content: None) -> Report:
        return self._report()

    async def _serve_samples(self, _talk: Talk, _content: None) -> list[Any]:
        return self._gateway.metrics.families()
