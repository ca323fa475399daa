"""The one decision who may do what. Pure: the same inputs give the same answer, and every no has its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["key", "open", "operator", "gateway"]
Action = Literal["use", "operate"]


class Actor(Protocol):
    """What the decision needs of a principal."""

    @property
    def kind(self) -> Kind: ...
    @property
    def server(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Resource:
    """What is acted upon: a virtual server (by its code), or the gateway itself (no code)."""

    server: str | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    """Yes. Callers with equal decisions may see the same of a server: what is kept for one is served to the other."""


@dataclass(frozen=True, slots=True)
class Deny:
    """No, and why; the reason is for the log and for callers who are known, never for strangers."""

    reason: Literal["foreign_server", "operators_only"]


_ALLOW = Allow()


def authorize(principal: Actor, action: Action, resource: Resource) -> Allow | Deny:
    """Whether `principal` may use a virtual server (list, call, read on it) or operate the gateway (status, control).

    The operator and the gateway itself may do everything. A key, and the principal of an open server, may use exactly
    the server they belong to."""
    if principal.kind in {"operator", "gateway"}:
        return _ALLOW
    if action == "operate" or resource.server is None:
        return Deny("operators_only")
    if principal.server is None or principal.server != resource.server:
        return Deny("foreign_server")
    return _ALLOW
