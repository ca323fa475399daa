"""An HTTP upstream that another worker keeps, as far as it needs no keeping: requests of modern callers to a modern
server stand alone (2026-07-28, basic/transports), so they go there directly from every worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from toolyard.contract.definitions import Json, Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, UpstreamEvents
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_era import EraContradicted
from toolyard.gateway.upstream.http_exchange import Endpoint
from toolyard.gateway.upstream.http_modern import ModernDriver
from toolyard.gateway.upstream.http_repeater import HttpRepeater, http_repeater
from toolyard.gateway.workers.remote import RemoteUpstream
from toolyard.kit.clock import Clock


class NearHttpUpstream:
    """`far` is the way to the worker that keeps the upstream; `known` says what was found on it last. Its connections
    are shared out evenly among `workers`."""

    def __init__(
        self,
        spec: UpstreamSpec,
        far: RemoteUpstream,
        *,
        events: UpstreamEvents,
        clock: Clock,
        known: Callable[[], Observation | None],
        workers: int,
    ) -> None:
        self.spec = spec
        self._far = far
        self._events = events
        self._clock = clock
        self._known = known
        self._own = replace(spec, max_connections=max(1, -(-spec.max_connections // workers)))
        self._endpoint: Endpoint | None = None
        self._driver: ModernDriver | None = None
        self._learnt: Observation | None = None
        self._calls = 0
        self.observe = far.observe
        self.watch = far.watch
        self.unwatch = far.unwatch
        self.roots_changed = far.roots_changed
        self.forget = far.forget
        self.may_push = far.may_push
        self.refresh = far.refresh

    def begin(self, call: Call, method: str, params: Json) -> BegunPost | None:
        """Send one request for `call` at once, directly, if it stands alone."""
        observation = self._known()
        if call.era != "modern" or observation is None or observation.era != "modern":
            return None
        begun = self._modern(observation).begin(call, method, params, self._go_on)
        self._calls += begun is not None
        return begun

    def repeater(self, call: Call, params: Json) -> HttpRepeater | None:
        """What sends calls like this one directly, if they stand alone."""
        observation = self._known()
        if call.era != "modern" or observation is None or observation.era != "modern":
            return None
        return http_repeater(
            self._modern(observation),
            self._go_on,
            lambda _driver: self._known() is observation,
            self._count,
            call,
            params,
        )

    def _count(self) -> None:
        self._calls += 1

    async def _go_on(self, begun: BegunPost) -> Json:
        driver = begun.driver
        assert isinstance(driver, ModernDriver)
        try:
            return await driver.request(begun.call, begun.call.method, begun.params, begun)
        except EraContradicted:
            self._far.refresh()
        return await self._far.request(begun.call, begun.call.method, begun.params)

    async def request(self, call: Call, method: str, params: Json) -> Json:
        """One request for `call`, directly if it stands alone. Raises RelayedError, UpstreamError, Suspended."""
        observation = self._known()
        if call.era == "modern" and observation is not None and observation.era == "modern":
            try:
                self._calls += 1
                return await self._modern(observation).request(call, method, params)
            except EraContradicted:
                self._far.refresh()
        return await self._far.request(call, method, params)

    def status(self) -> dict[str, Any]:
        return {**self._far.status(), "calls": self._calls}

    async def aclose(self) -> None:
        """Close the connections of this worker, and end what is watched at the other."""
        await self._far.aclose()
        if self._driver is not None:
            await self._driver.aclose()
        if self._endpoint is not None:
            await self._endpoint.aclose()

    def _modern(self, observation: Observation) -> ModernDriver:
        if self._driver is None or self._endpoint is None:
            self._endpoint = Endpoint(self._own, clock=self._clock)
            self._driver = ModernDriver(
                self._endpoint, events=self._events, clock=self._clock, timeout_s=self.spec.timeout_s
            )
        if self._learnt is not observation:
            self._driver.tools.learn(observation.tools)
            self._learnt = observation
        return self._driver
