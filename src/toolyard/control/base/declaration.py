"""What a route of the management API says of itself.

`auth` is `login` (an access token or the console's cookie), `open` (anybody), `operator` (the Unix socket, for the
command line on this machine) or `gateway` (a gateway). `action` is a permission such as `upstreams.write`, or `self`
for what everybody may do with their own things, or `none` where there is nobody yet. `csrf` is `token` (needed if the
proof came by cookie), or `none` where no cookie is looked at. `limit` is the class of the rate limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.routing import BaseRoute

Auth = Literal["login", "open", "operator", "gateway"]
Csrf = Literal["token", "none"]
LimitClass = Literal["read", "write", "heavy", "login", "free"]
DECLARED = "x-toolyard"


@dataclass(frozen=True, slots=True)
class Declared:
    """A route's declaration. `idempotent`: takes an idempotency key. `transaction`: runs in one; a route that streams,
    or begins its own work, does not. `heavy`: reads from the replica. `safe`: changes nothing although it is no GET."""

    auth: Auth
    action: str
    csrf: Csrf
    limit: LimitClass
    idempotent: bool = False
    transaction: bool = True
    heavy: bool = False
    safe: bool = False


def declared_of(route: BaseRoute) -> Declared | None:
    """What a route declares, or None."""
    extra = getattr(route, "openapi_extra", None) or {}
    return Declared(**extra[DECLARED]) if DECLARED in extra else None
