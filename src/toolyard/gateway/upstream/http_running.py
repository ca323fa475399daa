"""One call at work on a legacy session, and how it ends when something beside its own stream fails."""

from __future__ import annotations

import asyncio

from toolyard.gateway.call import Call
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.gateway.upstream.http_delivery import Courier


class SessionLost(Exception):
    """The server does not know the session any more."""


class Running:
    """One call at work on a session: where its notifications go, and what the server asked on its behalf."""

    def __init__(self, request_id: int, call: Call | None, courier: Courier | None) -> None:
        self.request_id = request_id
        self.call = call
        self.courier = courier
        self.asks: dict[int | str, asyncio.Task[None]] = {}
        self.deliveries: set[asyncio.Task[None]] = set()
        self.failure: Exception | None = None
        self.ended = False
        self._task = asyncio.current_task()

    def fail(self, failure: Exception) -> None:
        """End the call with `failure`, wherever it waits."""
        if self.failure is None and self._task is not None:
            self.failure = failure
            self._task.cancel()

    def own_failure(self) -> Exception | None:
        """To be asked when cancelled: the failure if the cancellation was ours alone."""
        if self.failure is None or self._task is None or self._task.uncancel() > 0:
            return None
        if isinstance(self.failure, UpstreamError):
            self.failure.may_have_run = True
        return self.failure
