"""What a gateway tells the control plane of itself: definitions it has seen, how upstreams do, which manifest is in
force, and which keys are used.

Where a gateway has several processes, the one that gives names tells of definitions and upstreams, since it knows those
of all; each tells which manifest it has in force and which keys it has seen.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from toolyard.contract.definitions import Observation
from toolyard.contract.documents import Manifest
from toolyard.gateway.assembly import Gateway
from toolyard.gateway.outbox import Outbox
from toolyard.gateway.pool_entry import Look
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError

LOOK_S: Final = 0.5
HEALTH_EVERY_S: Final = 30.0
KEYS_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Health:
    state: str
    code: str | None
    message: str | None
    since: float


class Reports:
    """Puts the records of `gateway`, which calls itself `name`, into its outbox. It is told by the feed (FeedListener)
    and looks at the rest itself."""

    def __init__(self, gateway: Gateway, outbox: Outbox, clock: Clock, name: str) -> None:
        self._gateway = gateway
        self._outbox = outbox
        self._clock = clock
        self._name = name
        self._tells_all = gateway.identity.gives_names
        self._health: dict[str, _Health] = {}
        self._told_health_at = self._told_keys_at = clock.monotonic()
        if self._tells_all:
            gateway.on_observed = self._observed

    def connected(self) -> None:
        """The control plane is there, perhaps without what it was told before: tell it all there is."""
        if not self._tells_all:
            return
        for upstream_id in self._gateway.holder.current.snapshot.upstreams:
            seen = self._gateway.holder.observation(upstream_id)
            if seen is not None:
                self._observed(seen)
        self._tell_health(everything=True)

    def applied(self, manifest: Manifest, error: PlatformError | None) -> None:
        """A manifest has come into force, or has not."""
        about: dict[str, Any] = {
            "revision": manifest.revision,
            "digest": manifest.digest(),
            "in_force": error is None,
        }
        if error is not None:
            about |= {"code": error.code, "reason": error.message}
        self._put("applied", **about)

    async def run(self) -> None:
        """Look for what is to be told, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Tell what has changed, and what is to be told again."""
        now = self._clock.monotonic()
        again = now - self._told_health_at >= HEALTH_EVERY_S
        if self._tells_all:
            self._tell_health(everything=again)
        if again:
            self._told_health_at = now
        if now - self._told_keys_at >= KEYS_EVERY_S:
            self._told_keys_at = now
            self.tell_keys()

    def tell_keys(self) -> None:
        """Tell which keys were used since the last time."""
        used = self._gateway.take_used_keys()
        now = self._clock.wall()
        for key_id in sorted(used):
            self._put("key_used", key=key_id, last_used_at=now)

    def _tell_health(self, *, everything: bool) -> None:
        before, self._health = self._health, {}
        for look in self._gateway.pool.states():
            health = self._health[look.upstream_id] = self._health_of(look, before.get(look.upstream_id))
            if everything or health is not before.get(look.upstream_id):
                self._put(
                    "health",
                    upstream=look.upstream_id,
                    state=health.state,
                    code=health.code,
                    message=health.message,
                    since=health.since,
                    observed_at=look.observed_at,
                )

    def _health_of(self, look: Look, before: _Health | None) -> _Health:
        same = before is not None and (before.state, before.code, before.message) == (
            look.state, look.error_code, look.error,
        )  # fmt: skip
        if before is not None and same:
            return before
        since = before.since if before is not None and before.state == look.state else self._clock.wall()
        return _Health(look.state, look.error_code, look.error, since)

    def _observed(self, seen: Observation) -> None:
        self._put(
            "observation",
            upstream=seen.upstream_id,
            digest=seen.digest(),
            era=seen.era,
            revision=seen.revision,
            server_info=seen.server_info,
            capabilities=seen.capabilities,
            instructions=seen.instructions,
            tools=seen.tools,
            resources=seen.resources,
            resource_templates=seen.resource_templates,
            prompts=seen.prompts,
            observed_at=seen.observed_at,
            warnings=seen.warnings,
        )

    def _put(self, kind: str, **about: Any) -> None:
        self._outbox.put({"kind": kind, "at": self._clock.wall(), "gateway": self._name, **about})
