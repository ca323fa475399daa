"""What happens to virtual servers."""

from __future__ import annotations

from dataclasses import dataclass

from toolyard.control.base.facts import Fact


@dataclass(frozen=True, slots=True)
class ServerCreated(Fact):
    """A virtual server is there."""

    code: str


@dataclass(frozen=True, slots=True)
class ServerChanged(Fact):
    """Some fields of a virtual server are others now."""

    code: str
    fields: list[str]


@dataclass(frozen=True, slots=True)
class ServerRemoved(Fact):
    """A virtual server and its keys are gone."""

    code: str
