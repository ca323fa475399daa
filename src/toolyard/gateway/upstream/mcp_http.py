"""The `mcp-http` upstream: Streamable HTTP of either era.

The era is found out by probing, remembered, and found out again when the server contradicts it (a redeployment may
change it), but not more often than every five seconds. A request whose refusal showed the contradiction did not run, so
it is sent again by the driver of the other era.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from toolyard.contract.definitions import Era, Json, Observation
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import Call, Upstream, UpstreamEvents
from toolyard.gateway.upstream.era_probe import probe
from toolyard.gateway.upstream.errors import UpstreamBusy, UpstreamError, UpstreamIncomplete
from toolyard.gateway.upstream.http_begun import BegunPost
from toolyard.gateway.upstream.http_era import EraContradicted, HttpSseExpected
from toolyard.gateway.upstream.http_exchange import Endpoint
from toolyard.gateway.upstream.http_legacy import LegacyDriver
from toolyard.gateway.upstream.http_modern import ModernDriver
from toolyard.gateway.upstream.http_repeater import HttpRepeater, http_repeater
from toolyard.gateway.upstream.http_session_begun import BegunInSession
from toolyard.gateway.upstream.http_session_repeater import SessionRepeater
from toolyard.gateway.upstream.http_shared import shared
from toolyard.gateway.upstream.http_sse_fallback import SseFallback
from toolyard.kit.clock import Clock
from toolyard.protocol.errors import RelayedError

PROBE_PAUSE_S = 5.0
LEGACY_BELIEVED_S = 300.0
DRAIN_S = 600.0
DRAIN_POLL_S = 0.25

Driver = ModernDriver | LegacyDriver | SseFallback


class McpHttpUpstream:
    """One upstream at one URL. `era_hint` is what the journal remembers; without it the first request probes.

    `sse` makes the upstream to use where the server speaks HTTP+SSE only; without it HttpSseExpected is raised by every
    request then. Raises InvalidUrl or EgressDenied for a specification that cannot be used."""

    def __init__(
        self,
        spec: UpstreamSpec,
        *,
        events: UpstreamEvents,
        clock: Clock,
        era_hint: str | None = None,
        sse: Callable[[], Upstream] | None = None,
    ) -> None:
        self.spec = spec
        self._events = events
        self._clock = clock
        self._sse = sse
        self._endpoint = Endpoint(spec, clock=clock)
        self._driver: Driver | None = self._modern() if era_hint == "modern" else None
        if era_hint == "legacy":
            self._driver = self._legacy()
        self._probing: asyncio.Task[Driver] | None = None
        self._probed_at_s: float | None = None
        self._calls = 0
        self._legacy_twin: LegacyDriver | None = None
        self._no_legacy_until = -math.inf
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def era(self) -> Era | None:
        """The era, once known."""
        return self._driver.era if self._driver is not None else None

    @property
    def revision(self) -> str | None:
        """The revision spoken, once known."""
        return self._driver.revision if self._driver is not None else None

    async def observe(self) -> Observation:
        """All definitions. A legacy server is asked again now and then whether it has become modern."""
        driver = await self._current(self._far())
        if driver.era == "legacy" and self._may_probe(LEGACY_BELIEVED_S):
            driver = await self._probed(self._far())
        try:
            return await driver.observe()
        except EraContradicted as contradiction:
            driver = await self._other(driver, contradiction, self._far())
            try:
                return await driver.observe()
            except EraContradicted as again:
                raise again.error from again

    def begin(self, call: Call, method: str, params: Json) -> BegunPost | None:
        """Send one request for `call` at once, if it is known how its server is spoken to."""
        driver = self._driver
        if call.era == "legacy" and isinstance(driver, ModernDriver):
            driver = self._legacy_twin if self._clock.monotonic() >= self._no_legacy_until else driver
        begun: BegunPost | None = None
        if isinstance(driver, ModernDriver):
            begun = driver.begin(call, method, params, self._go_on)
        elif isinstance(driver, LegacyDriver):
            legacy = driver
            begun = legacy.begin(call, method, params, lambda begun: self._go_on_in_session(legacy, begun))
        if begun is not None:
            self._calls += 1
        return begun

    def repeater(self, call: Call, params: Json) -> HttpRepeater | SessionRepeater | None:
        """What sends calls like this one, if both ends are of the same era."""
        driver = self._driver
        if driver is None or call.era != driver.era or isinstance(driver, SseFallback):
            return None
        if isinstance(driver, ModernDriver):
            return http_repeater(driver, self._go_on, self._is_current, self._count, call, params)
        legacy = driver
        return legacy.repeater(
            call,
            params,
            lambda begun: self._go_on_in_session(legacy, begun),
            lambda: self._is_current(legacy),
            self._count,
        )

    def _count(self) -> None:
        self._calls += 1

    def _is_current(self, driver: Driver) -> bool:
        return self._driver is driver

    async def _go_on(self, begun: BegunPost) -> Json:
        driver = begun.driver
        assert isinstance(driver, ModernDriver)
        first = driver.request(begun.call, begun.call.method, begun.params, begun)
        return await self._outcome(driver, begun.call, begun.call.method, begun.params, first)

    async def _go_on_in_session(self, driver: LegacyDriver, begun: BegunPost) -> Json:
        assert isinstance(begun, BegunInSession)
        first = driver.request(begun.call, begun.call.method, begun.params, begun)
        return await self._outcome(driver, begun.call, begun.call.method, begun.params, first)

    async def request(self, call: Call, method: str, params: Json) -> Json:
        """One request for `call`. Raises RelayedError, UpstreamError, Suspended."""
        driver = self._driver if self._driver is not None else await self._current(call.deadline)
        self._calls += 1
        if call.era == "legacy" and isinstance(driver, ModernDriver):
            driver = await self._in_callers_era(driver, call)
        return await self._outcome(driver, call, method, params, driver.request(call, method, params))

    async def _outcome(self, driver: Driver, call: Call, method: str, params: Json, first: Awaitable[Json]) -> Json:
        """What comes of the `first` sending of a request, or of another one where that is allowed."""
        try:
            return await first
        except EraContradicted as contradiction:
            driver = await self._other(driver, contradiction, call.deadline)
        except UpstreamIncomplete as broken:
            may_repeat = not isinstance(driver, SseFallback) and driver.tools.repeatable(method, params)
            if broken.repeated or (broken.may_have_run and not may_repeat):
                raise
        try:
            return await driver.request(call, method, params)
        except EraContradicted as contradiction:
            raise contradiction.error from contradiction

    def may_push(self, call: Call) -> bool:
        """A legacy server asks while the request runs; one of an era not yet known may."""
        return not isinstance(self._driver, ModernDriver)

    async def watch(self, call: Call, uri: str) -> None:
        """Announce changes of `uri` from now on, until as many `unwatch`. Raises RelayedError, UpstreamError."""
        driver = await self._current(call.deadline)
        try:
            await driver.watch(call, uri)
        except EraContradicted as contradiction:
            raise contradiction.error from contradiction

    async def roots_changed(self, call: Call) -> None:
        """Tell the caller's session, in whichever driver it is. Raises UpstreamError."""
        for driver in (self._driver, self._legacy_twin):
            if isinstance(driver, LegacyDriver | SseFallback):
                await driver.roots_changed(call)

    def forget(self, isolation: str) -> None:
        """End what is kept for an isolation key, in whichever driver it is."""
        for driver in (self._driver, self._legacy_twin):
            if isinstance(driver, LegacyDriver | SseFallback):
                driver.forget(isolation)

    async def unwatch(self, call: Call, uri: str) -> None:
        if self._driver is not None:
            await self._driver.unwatch(call, uri)

    def status(self) -> dict[str, Any]:
        driver = self._driver
        known = {} if driver is None else driver.status()
        return {"era": self.era, "revision": self.revision, "calls": self._calls, **known, **self._endpoint.status()}

    async def aclose(self) -> None:
        """End sessions and streams, then all connections."""
        tasks: list[asyncio.Task[Any]] = [*self._retiring]
        if self._probing is not None:
            tasks.append(self._probing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for driver in (self._driver, self._legacy_twin):
            if driver is not None:
                await driver.aclose()
        await self._endpoint.aclose()

    # Eras

    async def _in_callers_era(self, modern: ModernDriver, call: Call) -> Driver:
        """The driver for a legacy caller: a server that answers both eras is spoken to in the caller's, so that nothing
        has to be bridged. That it refuses the handshake is believed for five minutes. Raises UpstreamBusy."""
        if self._clock.monotonic() < self._no_legacy_until:
            return modern
        if self._legacy_twin is None:
            self._legacy_twin = self._legacy()
            self._legacy_twin.tools = modern.tools
        try:
            await self._legacy_twin.open_for(call)
        except UpstreamBusy:
            raise
        except (EraContradicted, UpstreamError, RelayedError):
            self._no_legacy_until = self._clock.monotonic() + LEGACY_BELIEVED_S
            return modern
        return self._legacy_twin

    def _far(self) -> float:
        return asyncio.get_running_loop().time() + 2 * self.spec.timeout_s

    async def _current(self, deadline: float) -> Driver:
        return self._driver if self._driver is not None else await self._probed(deadline)

    async def _other(self, driver: Driver, contradiction: EraContradicted, deadline: float) -> Driver:
        """The driver to use instead. Raises the contradiction's error if there is none."""
        if self._driver is not driver and self._driver is not None:
            return self._driver
        if self._probing is None and not self._may_probe(PROBE_PAUSE_S):
            raise contradiction.error from contradiction
        found = await self._probed(deadline)
        if found is driver:
            raise contradiction.error from contradiction
        return found

    def _may_probe(self, pause_s: float) -> bool:
        return self._probed_at_s is None or self._clock.monotonic() - self._probed_at_s >= pause_s

    async def _probed(self, deadline: float) -> Driver:
        """What a probe finds; whoever needs it at the same time waits for the same probe."""
        if self._probing is None:
            self._probed_at_s = self._clock.monotonic()
            self._probing = asyncio.get_running_loop().create_task(self._probe())
        return await shared(self._probing, deadline, self.spec.id)

    async def _probe(self) -> Driver:
        old = self._driver
        modern = old if isinstance(old, ModernDriver) else self._modern()
        legacy = old if isinstance(old, LegacyDriver) else self._legacy()
        found: Driver | None = None
        try:
            found = await self._found(modern, legacy, old)
        finally:
            self._probing = None
            for driver in (modern, legacy):
                if driver is not found and driver is not old:
                    self._retire(driver)
            if old is not None and found is not None and found is not old:
                self._retire(old)
        self._driver = found
        if old is not None and found is not old:
            self._events.watches_lost(self.spec.id)
        return found

    async def _found(self, modern: ModernDriver, legacy: LegacyDriver, old: Driver | None) -> Driver:
        try:
            return await probe(modern, legacy, self.spec.id)
        except HttpSseExpected:
            if self._sse is None:
                raise
            return old if isinstance(old, SseFallback) else SseFallback(self._sse())

    def _retire(self, driver: Driver) -> None:
        task = asyncio.get_running_loop().create_task(_close_when_idle(driver))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _modern(self) -> ModernDriver:
        return ModernDriver(self._endpoint, events=self._events, clock=self._clock, timeout_s=self.spec.timeout_s)

    def _legacy(self) -> LegacyDriver:
        return LegacyDriver(
            self._endpoint,
            events=self._events,
            clock=self._clock,
            timeout_s=self.spec.timeout_s,
            max_streams=max(1, self.spec.max_connections // 2),
            idle_s=self.spec.idle_s,
        )


async def _close_when_idle(driver: Driver) -> None:
    """What still runs in the old era may end in it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + DRAIN_S
    try:
        while driver.running and loop.time() < end:  # noqa: ASYNC110  (once in a redeployment)
            await asyncio.sleep(DRAIN_POLL_S)
    finally:
        await driver.aclose()
