"""One worker among the others: what it offers them, and how the parts of its gateway reach what is theirs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from toolyard.gateway.assembly import Gateway
from toolyard.gateway.call import Carry, Head, Sink
from toolyard.gateway.errors import CallLost
from toolyard.gateway.exchange import SESSION_HEADER
from toolyard.gateway.workers.errors import WorkerLost
from toolyard.gateway.workers.exchanges import ExchangeService, Handler, carry
from toolyard.gateway.workers.link import Service, Talk
from toolyard.gateway.workers.peers import Peer, Peers
from toolyard.gateway.workers.worker import SessionIds, Worker, index_in


class Crew:
    """Joins a gateway to the other workers of the same data directory. Implements `Elsewhere`."""

    def __init__(self, gateway: Gateway, me: Worker, *, data_dir: Path) -> None:
        self.me = me
        self._gateway = gateway
        self._ids = SessionIds(gateway.identity.key_for("session ids"), me)
        http, sse, exchange = gateway.http, gateway.sse, gateway.exchange
        handlers: dict[str, Handler] = {
            "post": http.post,
            "get": http.get,
            "delete": http.delete,
            "sse": sse.take,
            "modern": exchange.take_modern,
        }
        services: dict[str, Service] = {"follow": self._follow, "exchange": ExchangeService(handlers)}
        self.peers = Peers(me, data_dir, services, self._news)
        gateway.sessions.new_id = sse.new_id = self._ids.new
        http.elsewhere = sse.elsewhere = exchange.elsewhere = gateway.modern.elsewhere = self

    async def start(self) -> None:
        """Begin to be one of the others. Raises OSError."""
        await self.peers.start()

    async def aclose(self) -> None:
        """Leave them."""
        await self.peers.aclose()

    def of_session(self, head: Head) -> Carry | None:
        """How to serve what is about the session that a head names; None if that is not another worker's."""
        session_id = head.headers.get(SESSION_HEADER)
        return None if session_id is None or SESSION_HEADER in head.repeated else self.of_id(session_id)

    def of_id(self, made_id: str) -> Carry | None:
        """How to serve what is about an id that another worker made."""
        index = self._ids.index_of(made_id)
        return None if index is None or index == self.me.index else partial(self._carry, index)

    def of_owner(self, owner: str) -> Carry | None:
        """How to serve what another process owns; None if `owner` is this one, or names no worker."""
        index = index_in(owner)
        if owner == self.me.owner or index is None or index == self.me.index or index >= self.me.count:
            return None
        return partial(self._carry_to_owner, owner)

    async def _carry_to_owner(self, owner: str, name: str, head: Head, body: bytes, sink: Sink) -> None:
        """Raises CallLost if the process that is meant has ended."""
        link = await self.peers.peer(index_in(owner) or 0).connected()
        if link.peer != owner:
            raise CallLost
        try:
            await carry(link, name, head, body, sink)
        except WorkerLost:
            raise CallLost from None

    async def _carry(self, index: int, name: str, head: Head, body: bytes, sink: Sink) -> None:
        await carry(await self.peers.peer(index).connected(), name, head, body, sink)

    async def _follow(self, talk: Talk, owner: str) -> None:
        """Tell another worker who this is."""
        talk.link.peer = owner
        await talk.send(self.me.owner)
        await talk.link.lost.wait()

    async def _news(self, peer: Peer, item: Any) -> None:
        del peer, item
