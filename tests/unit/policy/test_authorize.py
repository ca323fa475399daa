"""Who may do what."""

from dataclasses import dataclass

import pytest

from toolyard.contract.bindings import Binding
from toolyard.contract.snapshot import ServerSpec
from toolyard.gateway.call import Principal
from toolyard.policy.authorize import EVERYTHING, SCOPES, Allow, Deny, authorize, authorize_managing
from toolyard.policy.networks import is_within

KEY = Principal("key:k", "key", "alpha", "k")
OPEN = Principal("open:lab", "open", "lab")
OPERATOR = Principal("operator", "operator")
GATEWAY = Principal("gateway", "gateway")
CALLS = ("tools.call",)
ANN = Principal("user:ann", "user", roles=("member",), tier="basic", may=CALLS)


@pytest.mark.parametrize(
    ("principal", "action", "server", "decision"),
    [
        (KEY, "use", "alpha", EVERYTHING),
        (KEY, "use", "beta", Deny("foreign_server")),
        (KEY, "use", None, Deny("operators_only")),
        (KEY, "operate", None, Deny("operators_only")),
        (KEY, "operate", "alpha", Deny("operators_only")),
        (Principal("key:x", "key"), "use", "alpha", Deny("foreign_server")),
        (Principal("key:x", "key", "alpha", organization="acme"), "use", "alpha", Deny("foreign_server")),
        (OPEN, "use", "lab", EVERYTHING),
        (OPEN, "use", "alpha", Deny("foreign_server")),
        (OPERATOR, "use", "alpha", EVERYTHING),
        (OPERATOR, "operate", None, EVERYTHING),
        (GATEWAY, "use", "alpha", EVERYTHING),
        (ANN, "use", "alpha", EVERYTHING),
        (ANN, "operate", None, Deny("operators_only")),
        (Principal("user:eve", "user", organization="acme", may=CALLS), "use", "alpha", Deny("foreign_server")),
        (Principal("user:eve", "user"), "use", "alpha", Deny("permission_missing")),
    ],
)
def test_a_key_uses_its_own_server_people_those_of_their_organization_and_an_operator_may_do_all(
    principal, action, server, decision
):
    assert authorize(principal, action, server and ServerSpec(server)) == decision


@pytest.mark.parametrize(
    ("asked", "decision"),
    [
        ({"roles": ("member", "admin")}, EVERYTHING),
        ({"roles": ("admin",)}, Deny("role_missing")),
        ({"tiers": ("basic",)}, EVERYTHING),
        ({"tiers": ("gold",)}, Deny("tier_missing")),
        ({"roles": ("member",), "tiers": ("gold",)}, Deny("tier_missing")),
    ],
)
def test_people_need_one_of_the_roles_and_one_of_the_tiers_that_a_server_asks_for(asked, decision):
    assert authorize(ANN, "use", ServerSpec("alpha", **asked)) == decision
    assert authorize(KEY, "use", ServerSpec("alpha", **asked)) == EVERYTHING
    admin = Principal("user:root", "user", roles=("platform_admin",), may=CALLS)
    assert authorize(admin, "use", ServerSpec("alpha", **asked)) == EVERYTHING


@pytest.mark.parametrize("method", sorted(SCOPES))
def test_each_method_needs_its_own_scope_and_no_other_opens_it(method):
    def decided(*scopes):
        limited = Principal("key:k", "key", "alpha", "k", grant=Allow(frozenset(scopes)))
        return authorize(limited, "use", ServerSpec("alpha"), method)

    assert decided() == Allow()
    assert isinstance(decided(SCOPES[method]), Allow)
    assert decided(*(set(SCOPES.values()) - {SCOPES[method]})) == Deny("scope_missing")
    assert decided("no such scope") == Deny("scope_missing")


def tool(exposed, origin):
    namespace, _, name = origin.partition("/")
    return Binding(exposed, "id", name, {}, 1.0, None, namespace)


@pytest.mark.parametrize(
    ("patterns", "covered"),
    [
        ((), True),
        (("docs__search",), True),
        (("docs__*",), True),
        (("docs/search",), True),
        (("docs/*",), True),
        (("*/search",), True),
        (("search",), False),
        (("docs/read", "mail__*"), False),
        (("*", "!docs/search"), False),
        (("!docs__search",), False),
        (("!docs/read",), True),
        (("DOCS__search",), False),
    ],
    ids=str,
)
def test_patterns_of_a_key_are_about_exposed_names_or_about_namespace_and_tool(patterns, covered):
    limited = Principal("key:k", "key", "alpha", "k", grant=Allow(tools=patterns))
    decision = authorize(limited, "use", ServerSpec("alpha"), "tools/call", tool("docs__search", "docs/search"))
    assert decision == (limited.grant if covered else Deny("tool_not_granted"))
    assert limited.grant.covers(tool("docs__search", "docs/search")) is covered


@pytest.mark.parametrize(
    ("networks", "client", "within"),
    [
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.7",), "10.0.0.7", True),
        (("10.0.0.0/8", "fd00::/8"), "fd00::1", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "10.1.2.3.evil", False),
        (("nonsense",), "10.1.2.3", False),
    ],
)
def test_an_address_is_within_networks_or_not(networks, client, within):
    assert is_within(networks, client) is within


@dataclass(frozen=True)
class Manager:
    permissions: frozenset[str] = frozenset()
    grants: frozenset[tuple[str, str]] = frozenset()
    platform: bool = False


NO = Deny("permission_missing")
READER = Manager(frozenset({"servers.read"}))
KEEPER = Manager(grants=frozenset({("servers.write", "server:a")}))


@pytest.mark.parametrize(
    ("manager", "action", "resources", "decision"),
    [
        (READER, "servers.read", [], EVERYTHING),
        (READER, "servers.read", ["server:a"], EVERYTHING),
        (READER, "servers.write", ["server:a"], NO),
        (KEEPER, "servers.write", ["server:a"], EVERYTHING),
        (KEEPER, "servers.write", ["key:k", "server:a"], EVERYTHING),
        (KEEPER, "servers.write", ["server:b", "key:a"], NO),
        (KEEPER, "servers.write", [], NO),
        (KEEPER, "servers.read", ["server:a"], NO),
        (Manager(), "servers.read", [], NO),
        (Manager(platform=True), "platform.users", [], EVERYTHING),
    ],
)
def test_a_permission_or_a_grant_on_the_resource_is_needed_to_manage_something(
    manager, action, resources, decision
) -> None:
    assert authorize_managing(manager, action, resources) == decision
