"""Who asks the control plane for something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toolyard.policy.authorize import Allow, authorize_managing

CallerKind = Literal["user", "service", "operator", "system", "nobody"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal of the management API: a user or service account in one organization, the operator on this machine
    (who came through the Unix socket), the platform itself, or nobody yet (log in, register).

    `organization_id` is the one that the request is about; `permissions` hold there. `platform`: may act in every
    organization. `login_id`: the login that the request belongs to. `fresh_until`: until when (seconds since 1970) a
    recent proof of the password counts. `by_cookie`: a browser sent the proof by itself. `grants`: permissions on
    single resources, as (permission, `server:sv_…`)."""

    id: str
    kind: CallerKind
    organization_id: str
    permissions: frozenset[str] = frozenset()
    platform: bool = False
    name: str = ""
    login_id: str | None = None
    fresh_until: float = 0.0
    by_cookie: bool = False
    grants: frozenset[tuple[str, str]] = frozenset()

    def may(self, action: str, *resources: str) -> bool:
        """Whether this caller may do something that is called like `upstreams.write`: everywhere in the organization,
        or on one of the resources named."""
        return isinstance(authorize_managing(self, action, resources), Allow)


NOBODY = Caller("", "nobody", "")


def the_system(organization_id: str) -> Caller:
    """The platform itself, at work in an organization."""
    return Caller("system", "system", organization_id, platform=True, name="system")
