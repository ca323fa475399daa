"""Places of which all processes of a gateway have so many together: sessions of older clients, and listen streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from toolyard.contract.snapshot import RateLimit

PlaceKind = Literal["session", "listen"]
BucketCall = tuple[tuple[str, str], RateLimit]
"""A call of the bucket of a server and a principal (or of the whole server), and the limit that it has."""


class SharedPlaces(Protocol):
    """What is counted over all processes. Above: whoever takes places. Below: the process that counts. Nothing is
    raised: while that process is away, a process counts its own."""

    async def take(self, kind: PlaceKind, principal_id: str) -> bool:
        """Take a place; False if there is none. For a session, one that nobody uses may have been ended for it."""
        ...

    def give_back(self, kind: PlaceKind, principal_id: str) -> None:
        """A place that was taken is free again."""
        ...

    def take_calls_here(self, calls: Sequence[BucketCall]) -> float | None:
        """Take one call of each bucket, of what this process has: 0.0, or the seconds until there will be one. None:
        nothing was taken, each is to be asked for."""
        ...

    async def take_call(self, key: tuple[str, str], limit: RateLimit) -> float | None:
        """Take one call of a token bucket: 0.0, or the seconds until there will be one; None if nobody counts now."""
        ...
