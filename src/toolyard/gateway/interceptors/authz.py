"""May this principal do this on this server? Judged after the name is resolved, for every call and list."""

from __future__ import annotations

from collections.abc import Awaitable

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.errors import NotAllowed
from toolyard.gateway.pipeline import Proceed
from toolyard.policy.authorize import Deny, Resource, authorize


class Authorize:
    """Refuses what policy does not allow, and notes on the call what it allows."""

    def __call__(self, call: Call, proceed: Proceed) -> Awaitable[Json]:
        decision = authorize(call.principal, "use", Resource(call.server))
        if isinstance(decision, Deny):
            raise NotAllowed(why=decision.reason)
        call.allowed = decision
        return proceed(call)
