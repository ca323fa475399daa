"""Who comes through the control plane's own socket instead of through a gateway's port.

The socket can be opened by this machine's operator only: its file mode says so. A gateway relays clients through the
same socket, and says of each where it came from; it takes that header off whatever clients send. So a request without
it comes from a program on this machine that may read the data directory: the command line, or the gateway itself.
"""

from __future__ import annotations

from fastapi import Request

from toolyard.control.base.caller import NOBODY, Caller
from toolyard.control.base.declaration import Declared
from toolyard.control.base.errors import NotFound
from toolyard.control.base.gate import CLIENT_ADDRESS, Authenticates
from toolyard.policy.permissions import ALL

ORGANIZATION = "toolyard-organization"


class LocalCallers:
    """Knows the operator and the gateways by how they come; leaves everybody else to `people`. `default`: the
    organization that the operator works in without saying another one's id."""

    def __init__(self, people: Authenticates, default: str) -> None:
        self._people = people
        self._default = default

    async def caller(self, request: Request, declared: Declared) -> Caller:
        """The operator, a gateway, or whom `people` finds. Raises NotFound on routes that are for neither."""
        local = CLIENT_ADDRESS not in request.headers
        if declared.auth in ("operator", "gateway"):
            if not local:
                raise NotFound
            return self._operator(request) if declared.auth == "operator" else GATEWAY
        if declared.auth == "login" and local and "authorization" not in request.headers:
            return self._operator(request)
        return NOBODY if declared.auth == "open" else await self._people.caller(request, declared)

    def csrf_holds(self, request: Request, caller: Caller) -> bool:
        """As `people` judge."""
        return self._people.csrf_holds(request, caller)

    def _operator(self, request: Request) -> Caller:
        organization = request.headers.get(ORGANIZATION, self._default)
        return Caller("operator", "operator", organization, ALL, platform=True, name="operator")


GATEWAY = Caller("gateway", "system", "", platform=True, name="gateway")
