"""What happens to settings."""

from __future__ import annotations

from dataclasses import dataclass

from toolyard.control.base.facts import Fact


@dataclass(frozen=True, slots=True)
class SettingChanged(Fact):
    """A setting has another value; `id` is its key. `level`: organization or platform."""

    level: str


@dataclass(frozen=True, slots=True)
class SettingReset(Fact):
    """A setting has its default again; `id` is its key."""

    level: str
