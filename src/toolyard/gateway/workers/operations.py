"""The operator's orders, carried out by every worker: first by the one that keeps the upstream. It tells the outcome.

What is stopped is noted in a file beside the workers' sockets, for a worker that takes the place of one that died; the
supervisor removes it when the gateway starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.operating import Order
from toolyard.gateway.workers.link import Service, Talk
from toolyard.gateway.workers.peers import DIRECTORY, Peers
from toolyard.gateway.workers.worker import Worker, keeper_of
from toolyard.kit.files import write_atomically
from toolyard.kit.logs import get_logger

log = get_logger(__name__)

FILE: Final = "stopped.json"


class SharedOperations:
    """Ties the operator's orders to the other workers. `keeps` says which upstreams are this worker's."""

    def __init__(
        self, gateway: Gateway, me: Worker, peers: Peers, keeps: Callable[[UpstreamSpec], bool], data_dir: Path
    ) -> None:
        self._gateway = gateway
        self._me = me
        self._peers = peers
        self._keeps = keeps
        self._data_dir = data_dir
        gateway.pool.stopped_before = stopped_in(data_dir)
        gateway.operating.everywhere = self._everywhere

    def services(self) -> dict[str, Service]:
        """What other workers may ask: to begin an order, and what came of it."""
        return {"order": self._order, "outcome": self._outcome}

    async def _everywhere(self, order: Order) -> dict[str, Any]:
        """Raises WorkerAway, WorkerLost and what is raised at the keeper; what was begun elsewhere goes on."""
        keeper = self._keeper(order.upstream)
        if order.operation in ("start", "stop", "restart"):
            await self._at(keeper, "order", order)
            self._gateway.operating.begin(order)
            self._note()
            others = [index for index in range(self._me.count) if index not in (keeper, self._me.index)]
            await asyncio.gather(*(self._at(index, "order", order) for index in others))
        told: dict[str, Any] = await self._at(keeper, "outcome", order)
        return told

    def _keeper(self, upstream_id: str) -> int:
        spec = self._gateway.holder.current.snapshot.upstreams[upstream_id]
        return self._me.index if self._keeps(spec) else keeper_of(upstream_id, self._me.count)

    async def _at(self, index: int, service: str, order: Order) -> Any:
        if index != self._me.index:
            link = await self._peers.peer(index).connected()
            return await link.ask(service, msgspec.to_builtins(order))
        return await self._gateway.operating.outcome(order) if service == "outcome" else None

    def _note(self) -> None:
        stopped = msgspec.json.encode(sorted(self._gateway.pool.stopped))
        write_atomically(self._data_dir / DIRECTORY / FILE, stopped, mode=0o600, point="stopped")

    async def _order(self, _talk: Talk, content: Any) -> None:
        self._gateway.operating.begin(msgspec.convert(content, Order))

    async def _outcome(self, _talk: Talk, content: Any) -> dict[str, Any]:
        told = await self._gateway.operating.outcome(msgspec.convert(content, Order))
        return dict(msgspec.json.decode(msgspec.json.encode(told)))


def stopped_in(data_dir: Path) -> frozenset[str]:
    """What was stopped since the gateway started."""
    try:
        return frozenset(msgspec.json.decode((data_dir / DIRECTORY / FILE).read_bytes(), type=list[str]))
    except FileNotFoundError:
        return frozenset()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("stopped_upstreams_unreadable", reason=str(error))
        return frozenset()


def forget_stopped(data_dir: Path) -> None:
    """The gateway starts: nothing is stopped."""
    (data_dir / DIRECTORY / FILE).unlink(missing_ok=True)
