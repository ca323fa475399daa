"""A request of a legacy session over HTTP that was sent at once and is waited for by nobody (`call.Begun`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_exchange import Endpoint
from toolyard.gateway.upstream.http_running import Running
from toolyard.gateway.upstream.http_session_calls import SessionCalls
from toolyard.protocol.convert import from_upstream
from toolyard.protocol.revisions import LEGACY


class Session(Protocol):
    """The session that the request belongs to. `request` goes on with it; `calls` are told of its end,
    `tell_cancelled` that it was given up."""

    endpoint: Endpoint
    calls: SessionCalls

    async def request(
        self,
        call: Call | None,
        method: str,
        params: Json,
        deadline: float,
        *,
        safe: bool,
        begun: BegunInSession | None = None,
    ) -> Json: ...
    def tell_cancelled(self, request_id: int) -> None: ...


class Counter(Protocol):
    """Whoever keeps the session for as long as requests run. `over` is called for each of them, when the session has
    been told."""

    running: int

    def over(self) -> None: ...


class BegunInSession(BegunPost):
    """As any POST under way, but known to its session, which may bring it what comes on the GET stream."""

    __slots__ = ("counter", "running", "session")

    def __init__(
        self,
        session: Session,
        counter: Counter,
        go_on_with: Callable[[BegunPost], Awaitable[Json]],
        call: Call,
        params: Json,
        running: Running,
        head: bytes,
        body: bytes,
    ) -> None:
        super().__init__(session.endpoint, counter, go_on_with, call, params, running.request_id, head, body)
        self.session = session
        self.counter = counter
        self.running = running
        running.on_failure = self._failed

    def take(self) -> Json | None:
        result = super().take() if self.running.failure is None else None
        return None if result is None else from_upstream(LEGACY[0], self.call.method, result)

    def over(self) -> None:
        self.session.calls.left(self.running)
        self.counter.over()

    def cancel(self) -> None:
        super().cancel()
        self.session.tell_cancelled(self.request_id)

    def _failed(self) -> None:
        """What the server asked in mid-call could not be answered: a task has to end the call, unless one is at it."""
        response = self.response
        if response is None:
            self.abort()
            self.connection = None
            self.ready()
        elif response.on_news is not None:
            response.on_news = None
            self.ready()
