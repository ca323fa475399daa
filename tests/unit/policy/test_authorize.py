"""Who may do what."""

import pytest

from toolyard.gateway.call import Principal
from toolyard.policy.authorize import Allow, Deny, Resource, authorize

KEY = Principal("key:k", "key", "alpha", "k")
OPEN = Principal("open:lab", "open", "lab")
OPERATOR = Principal("operator", "operator")
GATEWAY = Principal("gateway", "gateway")


@pytest.mark.parametrize(
    ("principal", "action", "server", "decision"),
    [
        (KEY, "use", "alpha", Allow()),
        (KEY, "use", "beta", Deny("foreign_server")),
        (KEY, "use", None, Deny("operators_only")),
        (KEY, "operate", None, Deny("operators_only")),
        (KEY, "operate", "alpha", Deny("operators_only")),
        (Principal("key:x", "key"), "use", "alpha", Deny("foreign_server")),
        (OPEN, "use", "lab", Allow()),
        (OPEN, "use", "alpha", Deny("foreign_server")),
        (OPERATOR, "use", "alpha", Allow()),
        (OPERATOR, "operate", None, Allow()),
        (GATEWAY, "use", "alpha", Allow()),
    ],
)
def test_a_key_uses_its_own_server_only_and_an_operator_may_do_all(principal, action, server, decision):
    assert authorize(principal, action, Resource(server)) == decision
