"""One call at work on a legacy session, and how it ends when something beside its own stream fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from toolyard.gateway.call import Call
from toolyard.gateway.upstream.errors import UpstreamError
from toolyard.gateway.upstream.http_delivery import Courier


class SessionLost(Exception):
    """The server does not know the session any more."""


class Running:
    """One call at work on a session: where its notifications go, and what the server asked on its behalf. Its task is
    the one that makes this; a call that is `begun` has none before one takes it over."""

    def __init__(self, request_id: int, call: Call | None, courier: Courier | None, *, begun: bool = False) -> None:
        self.request_id = request_id
        self.call = call
        self.courier = courier
        self.asks: dict[int | str, asyncio.Task[None]] = {}
        self.deliveries: set[asyncio.Task[None]] = set()
        self.failure: Exception | None = None
        self.ended = False
        self.on_failure: Callable[[], None] = _nobody
        self._task = None if begun else asyncio.current_task()

    def fail(self, failure: Exception) -> None:
        """End the call with `failure`, wherever it waits."""
        if self.failure is not None:
            return
        self.failure = failure
        if self._task is not None:
            self._task.cancel()
        else:
            self.on_failure()

    def taken_over(self) -> None:
        """This task goes on with what was begun without one. Raises what the call failed with meanwhile."""
        self._task = asyncio.current_task()
        if self.failure is not None:
            raise self._marked(self.failure)

    def own_failure(self) -> Exception | None:
        """To be asked when cancelled: the failure if the cancellation was ours alone."""
        if self.failure is None or self._task is None or self._task.uncancel() > 0:
            return None
        return self._marked(self.failure)

    def _marked(self, failure: Exception) -> Exception:
        if isinstance(failure, UpstreamError):
            failure.may_have_run = True
        return failure


def _nobody() -> None:
    return None
