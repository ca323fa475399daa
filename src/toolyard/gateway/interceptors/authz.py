"""May this principal do this on this server? Judged after the name is resolved, for every call and list."""

from __future__ import annotations

from collections.abc import Callable

from toolyard.contract.catalog import Catalog, ServerCatalog
from toolyard.gateway.call import Call
from toolyard.gateway.errors import NotAllowed, ScopeMissing, ToolNotGranted
from toolyard.gateway.pipeline import Judge
from toolyard.kit.errors import PlatformError
from toolyard.policy.authorize import SCOPES, Allow, Deny, authorize


class Authorize(Judge):
    """Refuses what policy does not allow, and notes on the call what it allows."""

    repeats = True

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog

    def enter(self, call: Call) -> bool:
        call.allowed = judge(call, call.serving or self._catalog().servers[call.server])
        return True


def judge(call: Call, server: ServerCatalog) -> Allow:
    """What policy allows the caller of `call`. Raises NotAllowed, ScopeMissing, ToolNotGranted."""
    tool = None
    if call.principal.grant.tools and call.method == "tools/call" and call.target is not None:
        tool = server.tools.get(call.target.name)
    decision = authorize(call.principal, "use", server.spec, call.method, tool)
    if isinstance(decision, Deny):
        raise _refusal(decision, call)
    return decision


def _refusal(decision: Deny, call: Call) -> PlatformError:
    if decision.reason == "scope_missing":
        return ScopeMissing(scope=SCOPES[call.method])
    if decision.reason == "tool_not_granted":
        return ToolNotGranted(tool=call.target.name if call.target is not None else "")
    return NotAllowed(why=decision.reason)
