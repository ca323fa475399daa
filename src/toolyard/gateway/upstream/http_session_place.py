"""Where the sessions with a legacy server over HTTP live: a place for each isolation key and declared capabilities."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from toolyard.gateway.call import Call
from toolyard.gateway.isolation import owner_of
from toolyard.gateway.upstream.asking import LISTING_CAPABILITIES, legacy_capabilities
from toolyard.gateway.upstream.http_session import LegacySession
from toolyard.kit.backoff import Backoff

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 60.0
_sorted = msgspec.json.Encoder(order="sorted").encode


class SessionKey(NamedTuple):
    """Whose session, and what it declared (as text)."""

    isolation: str
    capabilities: str
    own: bool = False


OWN: Final = SessionKey("", json.dumps(LISTING_CAPABILITIES), own=True)


def _nobody(_place: Place) -> None:
    return None


@dataclass(slots=True)
class Place:
    """Where the session of one key lives: it outlasts a lost session, with the watches that are to be kept. `running`
    requests are at work with it; one that `ends_unused` goes with the last of them."""

    key: SessionKey
    session: LegacySession | None = None
    opening: asyncio.Task[LegacySession] | None = None
    watches: dict[str, int] = field(default_factory=dict)
    listening: asyncio.Task[None] | None = None
    running: int = 0
    ends_unused: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S))
    opened_at_s: float = 0.0
    reopens: bool = False
    on_unused: Callable[[Place], None] = _nobody

    def over(self) -> None:
        """A request has ended."""
        self.running -= 1
        if self.ends_unused:
            self.on_unused(self)

    @property
    def is_listened_to(self) -> bool:
        return self.key == OWN or bool(self.watches)

    @property
    def owner(self) -> str:
        """The principal that the session is for; empty for everybody and the gateway."""
        return owner_of(self.key.isolation)

    @property
    def is_idle(self) -> bool:
        return (
            self.key != OWN
            and self.opening is None
            and not self.running
            and not self.watches
            and not (self.session and self.session.calls.running)
        )


def key_of(call: Call) -> SessionKey:
    """The key of the session for a call."""
    declared = legacy_capabilities(call)
    return SessionKey(call.isolation, _sorted(declared).decode() if declared else "{}")


def count_down(place: Place, uri: str) -> bool:
    """One watcher less; true if it was the last."""
    left = place.watches.get(uri, 0) - 1
    if left > 0:
        place.watches[uri] = left
        return False
    return place.watches.pop(uri, None) is not None


async def close(place: Place) -> None:
    """End the session of a place."""
    if place.session is not None:
        await place.session.aclose()
