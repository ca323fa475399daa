"""Organizations, their people and service accounts: who may see and change whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL

from tests.control.town import PASSWORD, Town, in_town
from toolyard.control.base.caller import the_system
from toolyard.control.base.facts import FactRow
from toolyard.control.identity.events import OrganizationDisabled, UserDisabled
from toolyard.control.identity.revocation import revoked_ids
from toolyard.policy.tokens import Claims, verify

pytestmark = pytest.mark.slow

Test = Callable[[Town], Awaitable[None]]


def tried(url: URL, tmp_path: Path, test: Test) -> None:
    asyncio.run(in_town(url, tmp_path, test))


def claims_of(here: Town, who: str) -> Claims:
    said = verify(here.tokens[who], here.entrance.signing.verify_keys(), here.clock.wall())
    assert isinstance(said, Claims)
    return said


async def revoked(here: Town) -> frozenset[str]:
    async with here.works.read(the_system("")) as work:
        return await revoked_ids(work)


def test_an_organization_has_a_name_of_its_own_and_reserved_ones_are_refused(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        made = await here.ask("POST", "/organizations", "root", json={"slug": "lab", "name": "Lab"})
        assert made.status_code == 201
        again = await here.ask("POST", "/organizations", "root", json={"slug": "lab", "name": "Lab 2"})
        assert (again.status_code, again.json()["code"]) == (409, "name_taken")
        for slug in ("default", "health"):
            refused = await here.ask("POST", "/organizations", "root", json={"slug": slug, "name": "x"})
            assert refused.json()["code"] == "slug_reserved"
        for slug in ("Lab", "-lab", "lab-", "a b", "", "x" * 41, "ä"):
            assert (
                await here.ask("POST", "/organizations", "root", json={"slug": slug, "name": "x"})
            ).status_code == 422
        path, seen = f"/organizations/{made.json()['id']}", {"if-match": made.headers["etag"]}
        changed = await here.ask("PATCH", path, "root", json={"name": "The lab"}, headers=seen)
        assert changed.json()["name"] == "The lab"
        assert (await here.ask("PATCH", path, "root", json={"name": "Lab"}, headers=seen)).status_code == 412
        assert (await here.ask("PATCH", path, "root", json={"slug": "other"})).status_code == 422
        listed = (await here.ask("GET", "/organizations", "root", params={"sort": "slug"})).json()["items"]
        assert [one["slug"] for one in listed] == ["default", "lab"]
        assert (await here.ask("DELETE", path, "root")).status_code == 204
        assert (await here.ask("GET", path, "root")).status_code == 404

    tried(url, tmp_path, test)


def test_the_default_organization_stays(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        off = await here.ask("PATCH", "/organizations/default", "root", json={"enabled": False})
        gone = await here.ask("DELETE", "/organizations/default", "root")
        assert off.status_code == gone.status_code == 409
        assert gone.json()["code"] == "default_organization"

    tried(url, tmp_path, test)


def test_who_belongs_to_a_disabled_organization_is_out_at_once_and_in_again_when_it_is_enabled(
    url: URL, tmp_path: Path
) -> None:
    async def test(here: Town) -> None:
        lab = await here.organization("lab")
        await here.person("ada", "organization_admin", organization="lab")
        assert (await here.ask("GET", "/users", "ada")).status_code == 200
        login = claims_of(here, "ada").login
        await here.made("PATCH", f"/organizations/{lab}", "root", json={"enabled": False})
        assert OrganizationDisabled(lab) in here.heard
        assert (await here.ask("GET", "/users", "ada")).status_code in (401, 403)
        assert login in await revoked(here)
        refused = await here.log_in("ada")
        assert (refused.status_code, refused.json()["code"]) == (403, "no_organization")
        await here.made("PATCH", f"/organizations/{lab}", "root", json={"enabled": True})
        assert (await here.log_in("ada")).status_code == 200

    tried(url, tmp_path, test)


def test_people_of_a_removed_organization_keep_their_accounts_and_nothing_else(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        lab = await here.organization("lab")
        await here.person("ada", "organization_admin", organization="lab")
        await here.made("POST", "/service-accounts", "ada", json={"name": "ci"})
        assert (await here.ask("DELETE", f"/organizations/{lab}", "root")).status_code == 204
        assert (await here.ask("GET", "/users", "ada")).status_code in (401, 403)
        assert (await here.log_in("ada")).json()["code"] == "no_organization"
        accounts = (await here.ask("GET", "/platform/users", "root")).json()["items"]
        assert [one["username"] for one in accounts] == ["root", "ada"]

    tried(url, tmp_path, test)


def test_an_administrator_manages_the_people_of_their_organization_only(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await here.organization("lab")
        await here.organization("shop")
        ada = await here.person("ada", "organization_admin", organization="lab")
        bob = await here.person("bob", "organization_admin", organization="shop")
        cyd = await here.person("cyd", "developer", by="ada", organization="lab")
        assert [one["username"] for one in (await here.ask("GET", "/users", "ada")).json()["items"]] == ["ada", "cyd"]
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"roles": ["viewer"]}),
            ("DELETE", "", None),
            ("POST", "/password", {"password": "nine brave newts"}),
        ):
            foreign = await here.ask(method, f"/users/{cyd}{path}", "bob", json=body)
            unknown = await here.ask(method, f"/users/us_unknown{path}", "bob", json=body)
            assert foreign.status_code == unknown.status_code == 404
            assert foreign.json() == unknown.json()
        there = await here.ask("GET", "/users", "bob", headers={"toolyard-organization": "lab"})
        nowhere = await here.ask("GET", "/users", "bob", headers={"toolyard-organization": "nowhere"})
        assert there.status_code == nowhere.status_code == 403
        assert there.json() == nowhere.json()
        changed = await here.ask("PATCH", f"/users/{cyd}", "ada", json={"roles": ["viewer"], "full_name": "Cyd"})
        assert (changed.json()["roles"], changed.json()["full_name"]) == (["viewer"], "Cyd")
        assert (await here.ask("DELETE", f"/users/{cyd}", "ada")).status_code == 204
        assert (await here.log_in("cyd")).status_code == 401
        assert ada != bob

    tried(url, tmp_path, test)


def test_nobody_gives_more_than_they_have_or_changes_who_has_more(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        ada = await here.person("ada", "organization_admin")
        given = {"name": "recruiter", "permissions": ["users.read", "users.write", "tools.read"]}
        await here.made("POST", "/roles", "root", json=given)
        await here.person("bob", "recruiter")
        for roles in (["organization_admin"], ["developer"], ["viewer"]):
            new = {"username": "cyd", "roles": roles}
            refused = await here.ask("POST", "/users", "bob", json=new)
            assert (refused.status_code, refused.json()["code"]) == (403, "more_than_own")
        assert (await here.ask("POST", "/users", "bob", json={"username": "cyd", "roles": ["recruiter"]})).is_success
        for method, path, body in (
            ("PATCH", "", {"enabled": False}),
            ("PATCH", "", {"roles": []}),
            ("DELETE", "", None),
            ("POST", "/password", {"password": "nine brave newts"}),
        ):
            refused = await here.ask(method, f"/users/{ada}{path}", "bob", json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "more_than_own")
        unknown = await here.ask("POST", "/users", "ada", json={"username": "x", "roles": ["platform_admin"]})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "role_unknown")

    tried(url, tmp_path, test)


def test_an_administrator_of_an_organization_has_no_power_over_platform_administrators(
    url: URL, tmp_path: Path
) -> None:
    async def test(here: Town) -> None:
        await here.person("ada", "organization_admin")
        root = (await here.ask("GET", "/auth/me", "root")).json()["id"]
        assert (await here.ask("GET", "/platform/users", "ada")).status_code == 403
        assert (await here.ask("PATCH", f"/platform/users/{root}", "ada", json={"enabled": False})).status_code == 403
        assert (await here.ask("GET", f"/users/{root}", "ada")).status_code == 404
        await here.made("POST", "/members", "root", json={"user": "root", "roles": ["viewer"]})
        names = [one["username"] for one in (await here.ask("GET", "/users", "ada")).json()["items"]]
        assert names == ["ada"]
        for method, body in (("GET", None), ("PATCH", {"roles": []}), ("DELETE", None)):
            refused = await here.ask(method, f"/users/{root}", "ada", json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "platform_admin_protected")
        for wanted in ({"platform_admin": True}, {"service_of": "default"}, {"managed_by": "default"}):
            me = (await here.ask("GET", "/auth/me", "ada")).json()["id"]
            assert (await here.ask("PATCH", f"/users/{me}", "ada", json=wanted)).status_code == 422

    tried(url, tmp_path, test)


def test_the_last_platform_administrator_stays_one(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        root = (await here.ask("GET", "/auth/me", "root")).json()["id"]
        path = f"/platform/users/{root}"
        for method, body in (("PATCH", {"platform_admin": False}), ("PATCH", {"enabled": False}), ("DELETE", None)):
            refused = await here.ask(method, path, "root", json=body)
            assert (refused.status_code, refused.json()["code"]) == (409, "last_platform_admin")
        await here.made("POST", "/members", "root", json={"user": "root", "roles": ["viewer"]})
        refused = await here.ask("PATCH", f"/users/{root}", "root", json={"enabled": False})
        assert (refused.status_code, refused.json()["code"]) == (409, "last_platform_admin")
        assert (await here.ask("DELETE", f"/users/{root}", "root")).status_code == 204
        await here.log_in("root")
        given = {"username": "second", "password": PASSWORD, "platform_admin": True}
        second = await here.made("POST", "/platform/users", "root", json=given)
        assert (await here.log_in("second")).status_code == 200
        demoted = await here.ask("PATCH", path, "root", json={"platform_admin": False})
        assert demoted.json()["platform_admin"] is False
        assert (await here.ask("GET", "/platform/users", "root")).status_code in (401, 403)
        last = await here.ask("DELETE", f"/platform/users/{second['id']}", "second")
        assert last.json()["code"] == "last_platform_admin"

    tried(url, tmp_path, test)


def test_who_becomes_a_platform_administrator_is_no_organizations_to_manage_any_more(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        ada = await here.person("ada", "developer")
        await here.made("PATCH", f"/platform/users/{ada}", "root", json={"platform_admin": True})
        await here.log_in("ada")
        assert (await here.ask("GET", "/platform/users", "ada")).status_code == 200
        assert (await here.ask("DELETE", f"/users/{ada}", "root")).status_code == 204
        assert (await here.log_in("ada")).status_code == 200

    tried(url, tmp_path, test)


def test_who_is_disabled_is_out_at_once_here_and_at_gateways(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        ada = await here.person("ada", "developer")
        assert (await here.ask("GET", "/auth/me", "ada")).status_code == 200
        login = claims_of(here, "ada").login
        await here.made("PATCH", f"/users/{ada}", "root", json={"enabled": False})
        assert UserDisabled(ada) in here.heard
        assert (await here.ask("GET", "/auth/me", "ada")).status_code == 401
        again = await here.ask("POST", "/auth/refresh", json={"refresh_token": here.refresh_tokens["ada"]})
        assert again.status_code == 401
        assert login in await revoked(here)
        await here.made("PATCH", f"/users/{ada}", "root", json={"enabled": True})
        assert (await here.ask("GET", "/auth/me", "ada")).status_code == 401
        assert (await here.log_in("ada")).status_code == 200

    tried(url, tmp_path, test)


def test_other_roles_void_the_access_token_and_a_refresh_brings_one_that_says_them(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        ada = await here.person("ada", "developer")
        before = claims_of(here, "ada")
        await here.made("PATCH", f"/users/{ada}", "root", json={"roles": ["viewer"]})
        assert before.login in await revoked(here)
        assert (await here.ask("GET", "/auth/me", "ada")).status_code == 401
        token = {"refresh_token": here.refresh_tokens["ada"]}
        here.tokens["ada"] = (await here.ask("POST", "/auth/refresh", json=token)).json()["access_token"]
        after = claims_of(here, "ada")
        assert (after.roles, after.may) == (("viewer",), ())
        assert after.login not in await revoked(here)
        assert (await here.ask("GET", "/auth/me", "ada")).json()["roles"] == ["viewer"]

    tried(url, tmp_path, test)


def test_a_standing_that_another_process_changed_is_known_within_a_second(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        ada = await here.person("ada", "developer")
        assert (await here.ask("GET", "/users", "ada")).status_code == 200
        from toolyard.control.base.work import Works

        other = Works(here.works.database, here.clock)
        async with other.write(the_system("default")) as work:
            from toolyard.control.identity.store import Users

            (await Users(work).get(ada)).enabled = False
        here.clock.advance(1)
        assert (await here.ask("GET", "/users", "ada")).status_code == 401

    tried(url, tmp_path, test)


def test_somebody_in_two_organizations_is_managed_by_neither_and_acts_in_each_as_there(
    url: URL, tmp_path: Path
) -> None:
    async def test(here: Town) -> None:
        lab = await here.organization("lab")
        await here.person("ada", "organization_admin")
        bob = await here.person("bob", "viewer", by="ada")
        there = {"toolyard-organization": "lab"}
        given = {"user": "bob", "roles": ["organization_admin"]}
        assert (await here.ask("POST", "/members", "ada", json=given)).status_code == 403
        await here.made("POST", "/members", "root", json=given, headers=there)
        await here.log_in("bob")
        for path, body in (("/password", {"password": "nine brave newts"}), ("", None)):
            method = "POST" if body else "PATCH"
            refused = await here.ask(method, f"/users/{bob}{path}", "ada", json=body or {"enabled": False})
            assert (refused.status_code, refused.json()["code"]) == (403, "account_not_managed_here")
        assert (await here.ask("POST", "/users", "bob", json={"username": "x"})).status_code == 403
        made = await here.ask("POST", "/users", "bob", json={"username": "cyd"}, headers=there)
        assert made.status_code == 201
        assert {one["slug"] for one in (await here.ask("GET", "/auth/me", "bob")).json()["organizations"]} == {
            "default",
            "lab",
        }
        token = await here.made("POST", "/auth/access-token", "bob", json={"organization": "lab"})
        assert token["organization_id"] == lab
        here.tokens["bob"] = token["access_token"]
        assert claims_of(here, "bob").roles == ("organization_admin",)
        assert (await here.ask("DELETE", f"/users/{bob}", "root", headers=there)).status_code == 204
        assert (await here.ask("GET", "/users", "bob")).status_code in (401, 403)
        assert (await here.log_in("bob")).status_code == 200

    tried(url, tmp_path, test)


def test_a_service_account_gets_in_with_a_secret_that_is_shown_once(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await here.person("ada", "organization_admin")
        account = await here.made("POST", "/service-accounts", "ada", json={"name": "ci", "roles": ["developer"]})
        path = f"/service-accounts/{account['id']}/secrets"
        key = {"idempotency-key": "k"}
        made = await here.ask("POST", path, "ada", json={"name": "build"}, headers=key)
        secret = made.json()
        repeated = await here.ask("POST", path, "ada", json={"name": "build"}, headers=key)
        assert repeated.json()["code"] == "answer_shown_once"
        listed = (await here.ask("GET", path, "ada")).text
        assert secret["client_secret"] not in listed
        given = {"client_id": secret["id"], "client_secret": secret["client_secret"]}
        token = await here.ask("POST", "/auth/token", json=given)
        assert token.status_code == 200
        here.tokens["ci"] = token.json()["access_token"]
        me = (await here.ask("GET", "/auth/me", "ci")).json()
        assert (me["kind"], me["username"], me["roles"]) == ("service", "default/ci", ["developer"])
        for wrong in ({**given, "client_secret": "tys_x"}, {**given, "client_id": "se_x"}):
            assert (await here.ask("POST", "/auth/token", json=wrong)).json()["code"] == "wrong_credentials"
        assert [one["username"] for one in (await here.ask("GET", "/users", "ada")).json()["items"]] == ["ada"]
        assert [one["name"] for one in (await here.ask("GET", "/service-accounts", "ada")).json()["items"]] == ["ci"]
        as_person = f"/users/{account['id']}"
        assert (await here.ask("GET", as_person, "ada")).status_code == 404
        new = {"password": "nine brave newts"}
        assert (await here.ask("POST", f"{as_person}/password", "ada", json=new)).status_code == 404
        login = claims_of(here, "ci").login
        assert (await here.ask("DELETE", f"{path}/{secret['id']}", "ada")).status_code == 204
        assert (await here.ask("GET", "/auth/me", "ci")).status_code == 401
        assert (await here.ask("POST", "/auth/token", json=given)).status_code == 401
        assert login in await revoked(here)

    tried(url, tmp_path, test)


def test_a_disabled_or_expired_service_account_is_out(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        account = await here.made("POST", "/service-accounts", "root", json={"name": "ci"})
        path = f"/service-accounts/{account['id']}"
        past = {"name": "x", "expires_at": "2020-01-01T00:00:00Z"}
        assert (await here.ask("POST", f"{path}/secrets", "root", json=past)).status_code == 422
        soon = {"name": "x", "expires_at": "2027-01-15T08:05:00Z"}
        secret = await here.made("POST", f"{path}/secrets", "root", json=soon)
        given = {"client_id": secret["id"], "client_secret": secret["client_secret"]}
        here.tokens["ci"] = (await here.ask("POST", "/auth/token", json=given)).json()["access_token"]
        await here.made("PATCH", path, "root", json={"enabled": False})
        assert (await here.ask("GET", "/auth/me", "ci")).status_code == 401
        assert (await here.ask("POST", "/auth/token", json=given)).status_code == 401
        await here.made("PATCH", path, "root", json={"enabled": True})
        here.clock.advance(60)
        here.tokens["ci"] = (await here.ask("POST", "/auth/token", json=given)).json()["access_token"]
        assert (await here.ask("GET", "/auth/me", "ci")).status_code == 200
        here.clock.advance(250)
        assert (await here.ask("GET", "/auth/me", "ci")).status_code == 401

    tried(url, tmp_path, test)


def test_a_service_account_of_another_organization_does_not_exist_here(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await here.organization("lab")
        await here.person("ada", "organization_admin")
        await here.person("bob", "organization_admin", organization="lab")
        account = await here.made("POST", "/service-accounts", "ada", json={"name": "ci"})
        await here.made("POST", "/service-accounts", "bob", json={"name": "ci"})
        path = f"/service-accounts/{account['id']}"
        for method, more, body in (
            ("GET", "", None),
            ("PATCH", "", {"enabled": False}),
            ("DELETE", "", None),
            ("GET", "/secrets", None),
            ("POST", "/secrets", {"name": "x"}),
            ("DELETE", "/secrets/se_x", None),
        ):
            assert (await here.ask(method, path + more, "bob", json=body)).status_code == 404

    tried(url, tmp_path, test)


def test_who_was_granted_more_on_one_thing_is_not_changed_by_who_may_not_do_that(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        role = {
            "name": "helper",
            "permissions": ["users.write", "users.read", "tools.call", "tools.read", "servers.read"],
        }
        await here.made("POST", "/roles", "root", json=role)
        await here.person("ada", "helper")
        bob = await here.person("bob", "member")
        path, password = f"/users/{bob}/password", {"password": "five lazy yaks sing"}
        assert (await here.ask("POST", path, "ada", json=password)).status_code == 204
        grant = {"user_id": bob, "permission": "keys.write", "resource": "server:sv_1"}
        await here.made("POST", "/grants", "root", json=grant)
        refused = await here.ask("POST", path, "ada", json=password)
        assert (refused.status_code, refused.json()["code"]) == (403, "more_than_own")

    tried(url, tmp_path, test)


def test_facts_go_on_being_numbered_upwards_when_an_organization_is_removed(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        async def last() -> int:
            async with here.works.read(the_system("")) as work:
                return int((await work.session.execute(select(func.max(FactRow.number)))).scalar_one())

        lab, there = await here.organization("lab"), {"toolyard-organization": "lab"}
        for name in ("ada", "bob", "eve"):
            await here.made("POST", "/roles", "root", json={"name": name, "permissions": []}, headers=there)
        before = await last()
        assert (await here.ask("DELETE", f"/organizations/{lab}", "root")).status_code == 204
        assert await last() > before

    tried(url, tmp_path, test)
