"""Roles, tiers and grants: what an organization allows its people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.control.town import Town, in_town, town
from toolyard.control.access import service
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import WorkParam
from toolyard.control.identity.revocation import revoked_ids
from toolyard.policy.permissions import ALL, BUILT_IN, ORGANIZATION
from toolyard.policy.tokens import Claims, verify

pytestmark = pytest.mark.slow

Test = Callable[[Town], Awaitable[None]]


def tried(url: URL, tmp_path: Path, test: Test) -> None:
    asyncio.run(in_town(url, tmp_path, test))


def test_an_own_role_allows_what_it_says_from_its_next_change_on(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        given = {"name": "scout", "permissions": ["users.read"]}
        role = await here.ask("POST", "/roles", "root", json=given)
        assert role.status_code == 201
        await here.person("ada", "scout")
        assert (await here.ask("GET", "/users", "ada")).status_code == 200
        assert (await here.ask("GET", "/roles", "ada")).status_code == 403
        path = f"/roles/{role.json()['id']}"
        seen = {"if-match": role.headers["etag"]}
        changed = await here.ask("PATCH", path, "root", json={"permissions": ["roles.read"]}, headers=seen)
        assert changed.json()["permissions"] == ["roles.read"]
        token = {"refresh_token": here.refresh_tokens["ada"]}
        here.tokens["ada"] = (await here.ask("POST", "/auth/refresh", json=token)).json()["access_token"]
        assert (await here.ask("GET", "/users", "ada")).status_code == 403
        assert (await here.ask("GET", "/roles", "ada")).status_code == 200
        in_use = await here.ask("DELETE", path, "root")
        assert (in_use.status_code, in_use.json()["code"]) == (409, "role_in_use")

    tried(url, tmp_path, test)


def test_a_role_cannot_be_called_like_a_built_in_one_or_contain_what_concerns_the_platform(
    url: URL, tmp_path: Path
) -> None:
    async def test(here: Town) -> None:
        for name in (*BUILT_IN, "platform_admin"):
            refused = await here.ask("POST", "/roles", "root", json={"name": name, "permissions": []})
            assert (refused.status_code, refused.json()["code"]) == (409, "role_built_in")
        for permission in ("platform.users", "server.exec", "no.such", "*"):
            given = {"name": "x", "permissions": [permission]}
            refused = await here.ask("POST", "/roles", "root", json=given)
            assert (refused.status_code, refused.json()["code"]) == (422, "permission_unknown")
        taken = {"name": "x", "permissions": []}
        assert (await here.ask("POST", "/roles", "root", json=taken)).status_code == 201
        assert (await here.ask("POST", "/roles", "root", json=taken)).json()["code"] == "name_taken"

    tried(url, tmp_path, test)


def test_the_built_in_roles_and_all_permissions_are_listed_with_what_they_mean(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        roles = (await here.ask("GET", "/roles", "root")).json()["items"]
        assert {one["name"] for one in roles} == set(BUILT_IN)
        known = (await here.ask("GET", "/permissions", "root")).json()
        assert {one["name"] for one in known} == ALL
        assert {one["name"] for one in known if not one["platform"]} == set(ORGANIZATION)

    tried(url, tmp_path, test)


def test_roles_tiers_and_grants_of_another_organization_do_not_exist_here(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await here.organization("lab")
        await here.person("ada", "organization_admin")
        await here.person("bob", "organization_admin", organization="lab")
        role = await here.made("POST", "/roles", "ada", json={"name": "x", "permissions": []})
        tier = await here.made("POST", "/tiers", "ada", json={"name": "x", "per_minute": 5})
        me = (await here.ask("GET", "/auth/me", "ada")).json()["id"]
        grant = await here.made("POST", "/grants", "root", json={"user_id": me, "permission": "tools.call"})
        for path, known in (("/roles/{}", role), ("/tiers/{}", tier), ("/grants/{}", grant)):
            for method, body in (("GET", None), ("PATCH", {"description": "theirs"}), ("DELETE", None)):
                if path == "/grants/{}" and method != "DELETE":
                    continue
                foreign = await here.ask(method, path.format(known["id"]), "bob", json=body)
                unknown = await here.ask(method, path.format("no_such"), "bob", json=body)
                assert foreign.status_code == unknown.status_code == 404
                assert foreign.json() == unknown.json()
        for path in ("/tiers", "/grants"):
            assert (await here.ask("GET", path, "bob")).json()["items"] == []
        given = {"user_id": me, "permission": "tools.call"}
        assert (await here.ask("POST", "/grants", "bob", json=given)).status_code == 404
        question = {"user_id": me, "action": "tools.call"}
        assert (await here.ask("POST", "/access/check", "bob", json=question)).status_code == 404
        assert (await here.ask("POST", "/users", "bob", json={"username": "c", "tier": "x"})).status_code == 422

    tried(url, tmp_path, test)


def test_a_tier_has_limits_and_stays_while_somebody_has_it(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        gold = await here.made(
            "POST", "/tiers", "root", json={"name": "gold", "per_minute": 600, "description": "For gold"}
        )
        ada = await here.person("ada", "developer")
        unknown = await here.ask("PATCH", f"/users/{ada}", "root", json={"tier": "silver"})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "tier_unknown")
        assert (await here.made("PATCH", f"/users/{ada}", "root", json={"tier": "gold"}))["tier"] == "gold"
        await here.log_in("ada")
        claims = verify(here.tokens["ada"], here.entrance.signing.verify_keys(), here.clock.wall())
        assert isinstance(claims, Claims)
        assert (claims.tier, claims.per_minute) == ("gold", 600)
        path = f"/tiers/{gold['id']}"
        changed = await here.made("PATCH", path, "root", json={"per_minute": None})
        assert (changed["per_minute"], changed["description"]) == (None, "For gold")
        assert (await here.ask("DELETE", path, "root")).json()["code"] == "tier_in_use"
        async with here.works.read(the_system("")) as work:
            assert claims.login in await revoked_ids(work)
        await here.made("PATCH", f"/users/{ada}", "root", json={"tier": None})
        assert (await here.ask("DELETE", path, "root")).status_code == 204
        for limit in (0, -1, "many", 1.5):
            bad = {"name": "x", "per_minute": limit}
            assert (await here.ask("POST", "/tiers", "root", json=bad)).status_code == 422

    tried(url, tmp_path, test)


def test_a_permission_is_granted_and_checked_for_a_user_everywhere_or_on_one_resource(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        ada = await here.person("ada", "member")
        root = Caller("us_root", "user", "default", ALL, platform=True)
        async with here.works.write(root) as work:
            assert not await service.check_permission(work, ada, "users.read")
            await service.grant_permission(work, ada, "users.read")
            await service.grant_permission(work, ada, "servers.write", "server:sv_1")
            again = await service.grant_permission(work, ada, "users.read")
            assert await service.check_permission(work, ada, "users.read")
            assert await service.check_permission(work, ada, "users.read", "server:sv_2")
            assert await service.check_permission(work, ada, "servers.write", "server:sv_1")
            assert not await service.check_permission(work, ada, "servers.write", "server:sv_2")
            assert not await service.check_permission(work, ada, "servers.write")
        question = {"user_id": ada, "action": "servers.write", "resource": "server:sv_1"}
        assert (await here.made("POST", "/access/check", "root", json=question)) == {"allowed": True}
        await here.log_in("ada")
        assert (await here.ask("GET", "/users", "ada")).status_code == 200
        assert (await here.ask("DELETE", f"/grants/{again.id}", "root")).status_code == 204
        await here.log_in("ada")
        assert (await here.ask("GET", "/users", "ada")).status_code == 403
        left = (await here.ask("GET", "/grants", "root", params={"user_id": ada})).json()["items"]
        assert [one["permission"] for one in left] == ["servers.write"]

    tried(url, tmp_path, test)


def doors() -> Slice:
    one = Slice("doors")

    @one.get("/doors", action="servers.read")
    async def every(work: WorkParam) -> str:
        return "all"

    @one.get("/doors/{server_id}", action="servers.read")
    async def get(work: WorkParam, server_id: str) -> str:
        return server_id

    @one.get("/doors/{server_id}/keys/{key_id}", action="keys.read")
    async def key(work: WorkParam, server_id: str, key_id: str) -> str:
        return key_id

    return one


def test_a_grant_on_one_resource_opens_the_routes_about_it_and_no_others(url: URL, tmp_path: Path) -> None:
    async def run() -> None:
        async with town(url, tmp_path, [doors()]) as here:
            await here.set_up()
            await here.made("POST", "/roles", "root", json={"name": "nothing", "permissions": []})
            ada = await here.person("ada", "nothing")
            for permission in ("servers.read", "keys.read"):
                given = {"user_id": ada, "permission": permission, "resource": "server:sv_1"}
                await here.made("POST", "/grants", "root", json=given)
            await here.log_in("ada")
            expected = {
                "/doors/sv_1": 200,
                "/doors/sv_2": 403,
                "/doors": 403,
                "/doors/sv_1/keys/k": 200,
                "/doors/sv_2/keys/k": 403,
                "/doors/sv_2/keys/sv_1": 403,
            }
            for path, status in expected.items():
                assert (await here.ask("GET", path, "ada")).status_code == status, path

    asyncio.run(run())


def test_nobody_grants_or_writes_into_a_role_what_they_may_not_do_themselves(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        given = {"name": "keeper", "permissions": ["roles.read", "roles.write", "users.read"]}
        keeper = await here.made("POST", "/roles", "root", json=given)
        bob = await here.person("bob", "keeper")
        strong = await here.made("POST", "/roles", "root", json={"name": "strong", "permissions": ["tools.write"]})
        for method, path, body in (
            ("POST", "/grants", {"user_id": bob, "permission": "tools.call"}),
            ("POST", "/grants", {"user_id": bob, "permission": "tools.call", "resource": "server:x"}),
            ("POST", "/roles", {"name": "mine", "permissions": ["tools.call"]}),
            ("PATCH", f"/roles/{keeper['id']}", {"permissions": ["keys.write"]}),
            ("PATCH", f"/roles/{strong['id']}", {"permissions": []}),
            ("DELETE", f"/roles/{strong['id']}", None),
        ):
            refused = await here.ask(method, path, "bob", json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "more_than_own"), (method, path)

    tried(url, tmp_path, test)


def test_grants_go_with_the_membership(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await here.organization("lab")
        ada = await here.person("ada", "member")
        there = {"toolyard-organization": "lab"}
        await here.made("POST", "/members", "root", json={"user": "ada"}, headers=there)
        given = {"user_id": ada, "permission": "users.read"}
        await here.made("POST", "/grants", "root", json=given, headers=there)
        assert (await here.ask("DELETE", f"/users/{ada}", "root", headers=there)).status_code == 204
        await here.made("POST", "/members", "root", json={"user": "ada"}, headers=there)
        await here.log_in("ada")
        assert (await here.ask("GET", "/users", "ada", headers=there)).status_code == 403
        async with here.works.read(the_system("default")) as work:
            assert not await service.check_permission(work, ada, "users.read")

    tried(url, tmp_path, test)
