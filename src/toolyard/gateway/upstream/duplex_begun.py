"""A request on a channel that was sent at once and is waited for by nobody (`call.Begun`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.pending import Pending
from toolyard.gateway.upstream.session import Session


class Driver(Protocol):
    """Who lent the session. `go_on` ends with `give_back`."""

    async def go_on(self, begun: BegunRequest) -> Json: ...
    def give_back(self, begun: BegunRequest) -> None: ...


class BegunRequest:
    """One request under way, with the session that is its call's until it ends."""

    __slots__ = ("_driver", "call", "params", "pending", "session")

    def __init__(self, driver: Driver, session: Session, call: Call, params: Json, pending: Pending) -> None:
        self._driver = driver
        self.session = session
        self.call = call
        self.params = params
        self.pending = pending

    @property
    def method(self) -> str:
        """What the upstream is asked to do."""
        return self.pending.method

    @property
    def ready(self) -> Callable[[], None]:
        """What is called when the request is settled."""
        return self.pending.on_settled

    @ready.setter
    def ready(self, ready: Callable[[], None]) -> None:
        self.pending.on_settled = ready

    def take(self) -> Json | None:
        """The result, if the reply is a plain one that no notification has to go before."""
        result = self.session.plain(self.pending)
        if result is not None:
            self._driver.give_back(self)
        return result

    async def go_on(self) -> Json:
        """The result, whatever it takes. Raises what `Upstream.request` raises."""
        return await self._driver.go_on(self)

    def cancel(self) -> None:
        """Give the request up, and tell the upstream."""
        self.session.peer.give_up(self.pending)
        self._driver.give_back(self)
