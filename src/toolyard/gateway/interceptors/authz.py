"""May this principal do this on this server? Judged after the name is resolved, for every call and list."""

from __future__ import annotations

from functools import lru_cache

from toolyard.gateway.call import Call
from toolyard.gateway.errors import NotAllowed
from toolyard.gateway.pipeline import Judge
from toolyard.policy.authorize import Deny, Resource, authorize

_resource = lru_cache(maxsize=4096)(Resource)


class Authorize(Judge):
    """Refuses what policy does not allow, and notes on the call what it allows."""

    repeats = True

    def enter(self, call: Call) -> bool:
        decision = authorize(call.principal, "use", _resource(call.server))
        if isinstance(decision, Deny):
            raise NotAllowed(why=decision.reason)
        call.allowed = decision
        return True
