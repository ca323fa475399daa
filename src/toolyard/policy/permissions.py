"""What can be allowed in the management API, and the built-in roles. Pure.

A permission is `<what>.<verb>`. Permissions hold in one organization; those of `PLATFORM` concern all of them and no
role of an organization can contain them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import Final

ORGANIZATION: Final[Mapping[str, str]] = MappingProxyType({
    "upstreams.read": "See upstreams, their state, logs and what they offer.",
    "upstreams.write": "Add, change and remove upstreams that are reached by URL; start, stop and restart upstreams.",
    "tools.read": "See tools, resources and prompts.",
    "tools.write": "Change what tools are called here, turn them on and off, set their limits.",
    "tools.call": "Call tools with a login.",
    "servers.read": "See virtual servers.",
    "servers.write": "Add, change and remove virtual servers.",
    "keys.read": "See API keys: ids and states, never the keys.",
    "keys.write": "Make, rotate and revoke API keys.",
    "keys.reveal": "See an API key again, where that is switched on.",
    "credentials.write": "Store and remove credentials towards upstreams. Nobody can read them.",
    "users.read": "See who belongs to the organization.",
    "users.write": "Invite, change and remove the organization's people and service accounts.",
    "roles.read": "See roles and what they allow.",
    "roles.write": "Make and change the organization's own roles.",
    "settings.read": "See the organization's settings.",
    "settings.write": "Change the organization's settings.",
    "files.read": "See uploaded files.",
    "files.write": "Upload and remove files.",
    "audit.read": "See who changed what.",
    "discovery.run": "Look for MCP servers on given hosts.",
})  # fmt: skip
PLATFORM: Final[Mapping[str, str]] = MappingProxyType({
    "organizations.read": "See all organizations.",
    "organizations.write": "Make, change and remove organizations.",
    "platform.users": "Change anybody's account and who is a platform administrator.",
    "platform.settings": "Change the settings and switches of the whole platform.",
    "platform.operate": "Back up, see the status of gateways and jobs, take gateways in.",
    "server.exec": "Register upstreams that run a program on the gateway's machine.",
    "server.network": "Register upstreams on loopback and private networks, where only the gateway can go.",
})  # fmt: skip
ALL: Final = frozenset(ORGANIZATION) | frozenset(PLATFORM)

_READ: Final = frozenset(name for name in ORGANIZATION if name.endswith(".read") and name != "audit.read")
_BUILD: Final = frozenset({"upstreams.write", "tools.write", "servers.write", "files.write", "tools.call"})
BUILT_IN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "organization_admin": frozenset(ORGANIZATION),
        "operator": _READ | {"audit.read", "upstreams.write", "tools.write", "settings.write", "discovery.run"},
        "developer": _READ | _BUILD | {"keys.write", "credentials.write", "discovery.run"},
        "viewer": _READ,
        "member": frozenset({"tools.call", "tools.read", "servers.read"}),
    }
)
"""The roles that every organization has. `member` is what anybody has who registered."""


def granted(roles: Iterable[str], own: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """What roles allow together; `own` are the organization's own roles. An unknown role allows nothing, and no role
    allows what concerns the whole platform."""
    found: set[str] = set()
    for role in roles:
        found |= BUILT_IN.get(role) or own.get(role, frozenset())
    return frozenset(found & ORGANIZATION.keys())


def allows(permissions: Set[str], grants: Set[tuple[str, str]], action: str, resources: Iterable[str] = ()) -> bool:
    """Whether somebody with these permissions, and with grants on single resources (as (permission, resource)), may do
    `action` on a thing that is one of `resources` or lies in one (a key lies in its server)."""
    return action in permissions or any((action, resource) in grants for resource in resources)
