"""The one decision who may do what: use a virtual server, and manage what there is. Pure: the same inputs give the same
answer, and every no has its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Any, Final, Literal, Protocol

from toolyard.contract.bindings import Binding
from toolyard.contract.snapshot import ServerSpec
from toolyard.policy.permissions import allows
from toolyard.policy.tokens import PLATFORM_ADMIN

Kind = Literal["key", "open", "user", "operator", "gateway"]
Action = Literal["use", "operate"]

SCOPES: Final[dict[str, str]] = {
    "tools/list": "tools:list",
    "tools/call": "tools:call",
    "resources/list": "resources:read",
    "resources/templates/list": "resources:read",
    "resources/read": "resources:read",
    "resources/subscribe": "subscribe",
    "resources/unsubscribe": "subscribe",
    "subscriptions/listen": "subscribe",
    "prompts/list": "prompts:get",
    "prompts/get": "prompts:get",
    "completion/complete": "complete",
    "tasks/get": "tasks",
    "tasks/update": "tasks",
    "tasks/cancel": "tasks",
    "tasks/list": "tasks",
    "tasks/result": "tasks",
}
"""Which scope a method needs. What is not here (handshake, ping, log level) shows and does nothing of a server's."""


CALL_TOOLS: Final = "tools.call"
"""The permission (`permissions.py`) without which a login is no use at a gateway."""


@dataclass(frozen=True, slots=True)
class Allow:
    """Yes, to as much as this: methods of these scopes, tools by these patterns (globs of exposed names, or of
    "namespace/tool"; a leading `!` leaves out); empty is everything. Callers with equal decisions see the same of a
    server: what is kept for one is served to the other."""

    scopes: frozenset[str] = frozenset()
    tools: tuple[str, ...] = ()

    def permits(self, method: str) -> bool:
        """Whether a method may be used."""
        return not self.scopes or SCOPES.get(method) in self.scopes or method not in SCOPES

    def covers(self, tool: Binding) -> bool:
        """Whether a tool may be seen and called."""
        return not self.tools or _covers(self.tools, tool.exposed_name, f"{tool.namespace}/{tool.upstream_name}")


EVERYTHING: Final = Allow()


@dataclass(frozen=True, slots=True)
class Deny:
    """No, and why; the reason is for the log and for callers who are known, never for strangers."""

    reason: Literal[
        "foreign_server",
        "operators_only",
        "permission_missing",
        "role_missing",
        "tier_missing",
        "scope_missing",
        "tool_not_granted",
    ]


class Actor(Protocol):
    """What the decision needs of a principal. `grant` is what it may do at most."""

    @property
    def kind(self) -> Kind: ...
    @property
    def server(self) -> str | None: ...
    @property
    def organization(self) -> str: ...
    @property
    def grant(self) -> Allow: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def tier(self) -> str: ...
    @property
    def may(self) -> tuple[str, ...]: ...


def authorize(
    principal: Actor, action: Action, server: ServerSpec | None, method: str = "", tool: Binding | None = None
) -> Allow | Deny:
    """Whether `principal` may use a virtual server (with a `method`, with a `tool` of it), or operate the gateway.

    The operator and the gateway itself may do everything. A key, and the principal of an open server, may use exactly
    the server they belong to, as far as they were granted; people the servers of their organization, if they may call
    tools at all, where their roles and tier are good enough."""
    kind = principal.kind
    if kind == "operator" or kind == "gateway":
        return EVERYTHING
    if action == "operate" or server is None:
        return Deny("operators_only")
    if principal.organization != server.organization:
        return Deny("foreign_server")
    if kind == "user":
        refused = _refused_person(principal, server)
        if refused is not None:
            return refused
    elif principal.server != server.code:
        return Deny("foreign_server")
    grant = principal.grant
    if grant.scopes and method and not grant.permits(method):
        return Deny("scope_missing")
    if grant.tools and tool is not None and not grant.covers(tool):
        return Deny("tool_not_granted")
    return grant


class Manager(Protocol):
    """What the decision needs of somebody who manages things: permissions in the organization of the request, grants as
    (permission, resource), and whether all organizations are theirs."""

    @property
    def platform(self) -> bool: ...
    @property
    def permissions(self) -> frozenset[str]: ...
    @property
    def grants(self) -> frozenset[tuple[str, str]]: ...


def authorize_managing(manager: Manager, action: str, resources: Iterable[str] = ()) -> Allow | Deny:
    """Whether `manager` may do something that is called like `upstreams.write`: everywhere in the organization, or to a
    thing that is one of `resources` (`server:sv_…`) or lies in one."""
    if manager.platform or allows(manager.permissions, manager.grants, action, resources):
        return EVERYTHING
    return Deny("permission_missing")


def _refused_person(principal: Actor, server: ServerSpec) -> Deny | None:
    if CALL_TOOLS not in principal.may:
        return Deny("permission_missing")
    if PLATFORM_ADMIN in principal.roles:
        return None
    if server.roles and set(server.roles).isdisjoint(principal.roles):
        return Deny("role_missing")
    if server.tiers and principal.tier not in server.tiers:
        return Deny("tier_missing")
    return None


def _covers(patterns: tuple[str, ...], exposed: str, origin: str) -> bool:
    includes, excludes = _compiled(patterns)
    if any(match(origin if by_origin else exposed) for by_origin, match in excludes):
        return False
    return not includes or any(match(origin if by_origin else exposed) for by_origin, match in includes)


_Globs = tuple[tuple[bool, Callable[[str], Any]], ...]


@lru_cache(maxsize=4096)
def _compiled(patterns: tuple[str, ...]) -> tuple[_Globs, _Globs]:
    """(those that bring in, those that leave out), each with whether it is about "namespace/tool"."""

    def globs(chosen: list[str]) -> _Globs:
        return tuple(("/" in text, re.compile(translate(text)).match) for text in chosen)

    return (
        globs([text for text in patterns if not text.startswith("!")]),
        globs([text[1:] for text in patterns if text.startswith("!")]),
    )
