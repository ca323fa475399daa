"""What happens to API keys. None of it says anything of the key itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from toolyard.control.base.facts import Fact


@dataclass(frozen=True, slots=True)
class KeyIssued(Fact):
    """A virtual server has a new key."""

    server: str
    label: str


@dataclass(frozen=True, slots=True)
class KeyChanged(Fact):
    """Some fields of a key are others now."""

    server: str
    fields: list[str]


@dataclass(frozen=True, slots=True)
class KeyRotated(Fact):
    """A key has another one in its place, and opens nothing after `retires_at` (seconds since 1970)."""

    server: str
    replaced_by: str
    retires_at: float


@dataclass(frozen=True, slots=True)
class KeyRevoked(Fact):
    """A key opens nothing any more."""

    server: str


@dataclass(frozen=True, slots=True)
class KeyRemoved(Fact):
    """Nothing is known of a key any more."""

    server: str


@dataclass(frozen=True, slots=True)
class KeyRevealed(Fact):
    """Somebody has seen a key again."""

    publishes: ClassVar[bool] = False
    server: str
