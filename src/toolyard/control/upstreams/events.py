"""What happens to upstreams and credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from toolyard.control.base.facts import Fact


@dataclass(frozen=True, slots=True)
class UpstreamRegistered(Fact):
    name_of: str


@dataclass(frozen=True, slots=True)
class UpstreamChanged(Fact):
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpstreamApproved(Fact):
    """Somebody who may has allowed its program to run; `digest` is of the program and its surroundings."""

    digest: str


@dataclass(frozen=True, slots=True)
class UpstreamStarted(Fact):
    pass


@dataclass(frozen=True, slots=True)
class UpstreamStopped(Fact):
    pass


@dataclass(frozen=True, slots=True)
class UpstreamRestarted(Fact):
    generation: int


@dataclass(frozen=True, slots=True)
class UpstreamRemoved(Fact):
    name_of: str


@dataclass(frozen=True, slots=True)
class CredentialChanged(Fact):
    """A credential has a new value."""

    credential: str


@dataclass(frozen=True, slots=True)
class CredentialRemoved(Fact):
    publishes: ClassVar[bool] = False
    credential: str


@dataclass(frozen=True, slots=True)
class TryAsked(Fact):
    """An upstream is to be tried before it is saved."""


@dataclass(frozen=True, slots=True)
class TryEnded(Fact):
    """A try has its answer, or its time is over."""


@dataclass(frozen=True, slots=True)
class UpstreamStateTold(Fact):
    """A gateway found an upstream in another state than before."""

    publishes: ClassVar[bool] = False
    gateway: str
    state: str
    error_code: str | None
