"""Getting in: the first administrator, logins, tokens, cookies, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from tests.control.town import PASSWORD, Town, in_town, town
from toolyard.control.base.caller import the_system
from toolyard.control.identity.delays import MAX_WAIT_S
from toolyard.control.identity.model import LoginRow, UserRow
from toolyard.control.identity.revocation import revoked_ids
from toolyard.control.identity.setup import SETUP_FILE, setup_token
from toolyard.policy.tokens import Claims, verify

pytestmark = pytest.mark.slow

Test = Callable[[Town], Awaitable[None]]


def tried(url: URL, tmp_path: Path, test: Test) -> None:
    asyncio.run(in_town(url, tmp_path, test))


def test_the_first_administrator_is_made_with_the_token_of_the_link_and_only_once(url: URL, tmp_path: Path) -> None:
    async def run() -> None:
        async with town(url, tmp_path) as here:
            assert (await here.ask("GET", "/auth/setup")).json() == {"needed": True}
            token = setup_token(tmp_path)
            assert (tmp_path / SETUP_FILE).stat().st_mode & 0o077 == 0
            given = {"token": "wrong", "username": "root", "password": PASSWORD}
            assert (await here.ask("POST", "/auth/setup", json=given)).json()["code"] == "setup_token_wrong"
            made = await here.ask("POST", "/auth/setup", json={**given, "token": token})
            assert (made.status_code, made.json()["platform_admin"]) == (201, True)
            assert not (tmp_path / SETUP_FILE).exists()
            assert (await here.ask("GET", "/auth/setup")).json() == {"needed": False}
            again = await here.ask("POST", "/auth/setup", json={**given, "token": setup_token(tmp_path)})
            assert (again.status_code, again.json()["code"]) == (409, "setup_done")
            me = await here.log_in("root")
            assert me.json()["user"]["username"] == "root"

    asyncio.run(run())


def test_a_password_is_never_in_the_database(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        async with here.works.read(the_system("")) as work:
            kept = (await work.session.execute(select(UserRow.password))).scalar_one()
            login = (await work.session.execute(select(LoginRow))).scalar_one()
        assert kept is not None
        assert kept.startswith("$argon2id$")
        assert here.refresh_tokens["root"].rsplit("_", 1)[1] not in (login.digest, login.refresh_digest)

    tried(url, tmp_path, test)


def test_an_account_can_be_made_by_its_owner_only_where_that_is_switched_on(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        given = {"username": "Ada", "email": "Ada@Example.com", "password": PASSWORD}
        closed = await here.ask("POST", "/auth/register", json=given)
        assert (closed.status_code, closed.json()["code"]) == (403, "registration_closed")
        here.registration = True
        made = await here.ask("POST", "/auth/register", json=given)
        assert made.status_code == 201
        assert made.json()["email"] == "ada@example.com"
        assert (await here.log_in("ada")).status_code == 200
        me = (await here.ask("GET", "/auth/me", "ada")).json()
        assert me["roles"] == ["member"]
        assert me["permissions"] == ["servers.read", "tools.call", "tools.read"]

    tried(url, tmp_path, test)


def test_an_email_that_is_taken_is_a_400_and_a_weak_password_a_422(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        here.registration = True
        given = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        assert (await here.ask("POST", "/auth/register", json=given)).status_code == 201
        taken = await here.ask("POST", "/auth/register", json={**given, "username": "bob"})
        assert (taken.status_code, taken.json()["code"]) == (400, "email_taken")
        taken = await here.ask("POST", "/auth/register", json={**given, "email": "bob@example.com"})
        assert (taken.status_code, taken.json()["code"]) == (409, "username_taken")
        weak = {"username": "bob", "email": "bob@example.com", "password": "password1234"}
        assert (await here.ask("POST", "/auth/register", json=weak)).json()["code"] == "password_rejected"
        admin = {**given, "username": "eve", "email": "eve@example.com", "platform_admin": True}
        assert (await here.ask("POST", "/auth/register", json=admin)).status_code == 422

    tried(url, tmp_path, test)


def test_a_login_by_name_or_email_gives_a_token_that_gateways_can_verify(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        here.registration = True
        given = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        await here.ask("POST", "/auth/register", json=given)
        for name in ({"username": "ADA"}, {"email": "ada@EXAMPLE.com"}, {"username": "ada@example.com"}):
            answer = await here.ask("POST", "/auth/login", json={**name, "password": PASSWORD})
            assert answer.status_code == 200
        said = answer.json()
        assert (said["token_type"], said["expires_in"]) == ("bearer", 600)
        claims = verify(said["access_token"], here.entrance.signing.verify_keys(), here.clock.wall())
        assert isinstance(claims, Claims)
        assert (claims.org, claims.roles, claims.may) == ("default", ("member",), ("tools.call",))

    tried(url, tmp_path, test)


def test_who_does_not_exist_costs_the_same_hash_and_gets_the_same_answer(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        bob = await here.person("bob", "member")
        await here.made("PATCH", f"/users/{bob}", "root", json={"enabled": False})
        answers = []
        for name, password in {"nobody": PASSWORD, "root": "wrong", "bob": PASSWORD, "\U0001f600": "x" * 1000}.items():
            before = here.hashes.verified
            answers.append(await here.ask("POST", "/auth/login", json={"username": name, "password": password}))
            assert here.hashes.verified == before + 1
        assert {one.status_code for one in answers} == {401}
        assert len({one.text for one in answers}) == 1

    tried(url, tmp_path, test)


def test_failed_logins_are_delayed_longer_and_longer_but_never_for_others_and_never_for_ever(
    url: URL, tmp_path: Path
) -> None:
    async def test(here: Town) -> None:
        async def fail(name: str, address: str) -> int:
            headers = {"toolyard-client-address": address}
            given = {"username": name, "password": "wrong"}
            answer = await here.ask("POST", "/auth/login", json=given, headers=headers)
            return int(answer.headers.get("retry-after", 0))

        for name in ("root", "nobody"):
            waits = []
            for _ in range(14):
                waits.append(await fail(name, "192.0.2.1"))
                here.clock.advance(waits[-1])
            assert [one for one in waits if one] == [1, 2, 4, 8, 16, 32]
        await fail("root", "192.0.2.1")
        before = here.hashes.verified
        assert await fail("root", "192.0.2.1") > 0
        assert here.hashes.verified == before
        good = {"username": "root", "password": PASSWORD}
        elsewhere = await here.ask("POST", "/auth/login", json=good, headers={"toolyard-client-address": "192.0.2.2"})
        assert elsewhere.status_code == 200
        here.clock.advance(MAX_WAIT_S)
        late = await here.ask("POST", "/auth/login", json=good, headers={"toolyard-client-address": "192.0.2.1"})
        assert late.status_code == 200

    tried(url, tmp_path, test)


def test_many_wrong_passwords_at_once_are_not_all_verified(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        before = here.hashes.verified
        given = {"username": "root", "password": "wrong"}
        asked = [here.ask("POST", "/auth/login", json=given) for _ in range(50)]
        answers = [one.status_code for one in await asyncio.gather(*asked)]
        assert here.hashes.verified - before == 3
        assert (answers.count(401), answers.count(429)) == (3, 47)

    tried(url, tmp_path, test)


def test_a_refresh_token_works_once_and_a_copy_of_it_ends_the_login(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        first = here.refresh_tokens["root"]
        answer = await here.ask("POST", "/auth/refresh", json={"refresh_token": first})
        second = answer.json()
        assert answer.status_code == 200
        here.tokens["root"] = second["access_token"]
        assert (await here.ask("GET", "/auth/me", "root")).status_code == 200
        stolen = await here.ask("POST", "/auth/refresh", json={"refresh_token": first})
        assert (stolen.status_code, stolen.json()["code"]) == (401, "refresh_refused")
        owner = await here.ask("POST", "/auth/refresh", json={"refresh_token": second["refresh_token"]})
        assert owner.status_code == 401
        assert (await here.ask("GET", "/auth/me", "root")).status_code == 401

    tried(url, tmp_path, test)


def test_of_two_uses_of_one_refresh_token_at_once_one_is_a_copy(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        given = {"refresh_token": here.refresh_tokens["root"]}
        asked = [here.ask("POST", "/auth/refresh", json=given) for _ in range(5)]
        answers = await asyncio.gather(*asked)
        assert sorted(one.status_code for one in answers) == [200, 401, 401, 401, 401]
        good = next(one.json() for one in answers if one.status_code == 200)
        after = await here.ask("POST", "/auth/refresh", json={"refresh_token": good["refresh_token"]})
        assert after.status_code == 401

    tried(url, tmp_path, test)


def test_whoever_is_disabled_while_logging_in_is_out(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        ada = await here.person("ada", "developer")
        logins = [here.log_in("ada") for _ in range(3)]
        disabling = here.ask("PATCH", f"/users/{ada}", "root", json={"enabled": False})
        *begun, disabled = await asyncio.gather(*logins, disabling)
        assert disabled.status_code == 200
        await here.made("PATCH", f"/users/{ada}", "root", json={"enabled": True})
        for one in begun:
            if one.status_code == 200:
                token = {"refresh_token": one.json()["refresh_token"]}
                assert (await here.ask("POST", "/auth/refresh", json=token)).status_code == 401

    tried(url, tmp_path, test)


@pytest.mark.parametrize("text", ["", "x", "tyr_" + "0" * 22 + "_" + "0" * 64 + "_" + "0" * 64])
def test_what_is_no_refresh_token_is_refused(url: URL, tmp_path: Path, text: str) -> None:
    async def test(here: Town) -> None:
        assert (await here.ask("POST", "/auth/refresh", json={"refresh_token": text})).status_code == 401

    tried(url, tmp_path, test)


def test_after_a_logout_neither_token_holds_here_or_at_gateways(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        claims = verify(here.tokens["root"], here.entrance.signing.verify_keys(), here.clock.wall())
        assert isinstance(claims, Claims)
        assert (await here.ask("POST", "/auth/logout", "root")).status_code == 204
        assert (await here.ask("GET", "/auth/me", "root")).status_code == 401
        again = await here.ask("POST", "/auth/refresh", json={"refresh_token": here.refresh_tokens["root"]})
        assert again.status_code == 401
        async with here.works.read(the_system("")) as work:
            assert claims.login in await revoked_ids(work)
        here.clock.advance(2 * 3600)
        async with here.works.read(the_system("")) as work:
            assert await revoked_ids(work) == frozenset()

    tried(url, tmp_path, test)


def test_a_login_ends_when_nobody_uses_it_and_in_any_case_after_twelve_hours(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        async def go_on() -> int:
            refresh = {"refresh_token": here.refresh_tokens["root"]}
            answer = await here.ask("POST", "/auth/refresh", json=refresh)
            here.refresh_tokens["root"] = answer.json().get("refresh_token", "")
            return answer.status_code

        for _ in range(28):
            here.clock.advance(1500)
            assert await go_on() == 200
        here.clock.advance(1500)
        assert await go_on() == 401
        assert (await here.log_in("root")).status_code == 200
        here.clock.advance(1801)
        assert await go_on() == 401

    tried(url, tmp_path, test)


def test_an_access_token_ends_after_ten_minutes_and_a_minute_for_clocks(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        here.clock.advance(659)
        assert (await here.ask("GET", "/auth/me", "root")).status_code == 200
        here.clock.advance(1)
        assert (await here.ask("GET", "/auth/me", "root")).status_code == 401

    tried(url, tmp_path, test)


def test_a_changed_password_ends_all_other_logins(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        other = here.tokens["root"]
        await here.log_in("root")
        given = {"current_password": PASSWORD, "new_password": "nine brave newts"}
        wrong = await here.ask("POST", "/auth/change-password", "root", json={**given, "current_password": "no"})
        assert wrong.json()["code"] == "wrong_credentials"
        weak = await here.ask("POST", "/auth/change-password", "root", json={**given, "new_password": "short"})
        assert weak.json()["code"] == "password_rejected"
        assert (await here.ask("POST", "/auth/change-password", "root", json=given)).status_code == 204
        assert (await here.ask("GET", "/auth/me", "root")).status_code == 200
        here.tokens["other"] = other
        assert (await here.ask("GET", "/auth/me", "other")).status_code == 401
        assert (await here.log_in("root")).status_code == 401
        assert (await here.log_in("root", "nine brave newts")).status_code == 200

    tried(url, tmp_path, test)


def test_one_sees_ones_own_logins_and_ends_them(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await here.log_in("root")
        await here.person("ada", "organization_admin")
        mine = (await here.ask("GET", "/auth/logins", "root")).json()
        assert [one["current"] for one in mine] == [True, False]
        foreign = await here.ask("DELETE", f"/auth/logins/{mine[0]['id']}", "ada")
        unknown = await here.ask("DELETE", "/auth/logins/lo_unknown", "ada")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json() == unknown.json()
        assert (await here.ask("DELETE", f"/auth/logins/{mine[1]['id']}", "root")).status_code == 204
        await here.log_in("root")
        assert (await here.ask("POST", "/auth/logins/end-others", "root")).json() == {"ended": 1}
        assert len((await here.ask("GET", "/auth/logins", "root")).json()) == 1

    tried(url, tmp_path, test)


def test_a_proof_of_the_password_is_recent_for_five_minutes(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        wrong = await here.ask("POST", "/auth/confirm-password", "root", json={"password": "no"})
        assert wrong.status_code == 401
        here.clock.advance(400)
        proved = await here.made("POST", "/auth/confirm-password", "root", json={"password": PASSWORD})
        assert proved["fresh_until"] == "2027-01-15T08:11:40Z"

    tried(url, tmp_path, test)


def test_profile_and_preferences_are_ones_own_and_take_no_rights(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await here.person("ada", "member")
        changed = {"full_name": "Ada", "email": "ada@example.com", "details": {"phone": "1", "avatar": None}}
        profile = await here.made("PATCH", "/auth/me/profile", "ada", json=changed)
        assert profile == {"full_name": "Ada", "email": "ada@example.com", "details": {"phone": "1"}}
        liked = {"preferences": {"theme": "dark"}}
        await here.made("PATCH", "/auth/me/preferences", "ada", json=liked)
        more = await here.made("PATCH", "/auth/me/preferences", "ada", json={"preferences": {"language": "zh"}})
        assert more["preferences"] == {"theme": "dark", "language": "zh"}
        for wanted in ({"role": "admin"}, {"platform_admin": True}, {"roles": ["organization_admin"]}):
            assert (await here.ask("PATCH", "/auth/me/profile", "ada", json=wanted)).status_code == 422
        bad = {"preferences": {"x": "\x00"}}
        assert (await here.ask("PATCH", "/auth/me/preferences", "ada", json=bad)).status_code == 422
        assert (await here.ask("GET", "/auth/me", "ada")).json()["platform_admin"] is False

    tried(url, tmp_path, test)


async def browser_login(here: Town) -> dict[str, str]:
    given = {"username": "root", "password": PASSWORD}
    answer = await here.http.post("/api/v1/auth/login", params={"cookie": "true"}, json=given)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] is None
    return {"toolyard-csrf": answer.json()["csrf_token"], "sec-fetch-site": "same-origin"}


def test_a_browser_changes_things_only_with_the_logins_token_from_our_own_pages(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        good = await browser_login(here)
        body = {"preferences": {"a": 1}}
        assert (await here.ask("GET", "/auth/me")).json()["csrf_token"] == good["toolyard-csrf"]
        for headers in (
            {},
            {"sec-fetch-site": "same-origin"},
            {"toolyard-csrf": good["toolyard-csrf"]},
            {**good, "sec-fetch-site": "cross-site"},
            {**good, "sec-fetch-site": "same-site"},
            {**good, "toolyard-csrf": "0" * 64},
            {"toolyard-csrf": good["toolyard-csrf"], "origin": "http://evil.test"},
            {"toolyard-csrf": good["toolyard-csrf"], "origin": "null"},
        ):
            refused = await here.ask("PATCH", "/auth/me/preferences", json=body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf_refused"), headers
        by_origin = {"toolyard-csrf": good["toolyard-csrf"], "origin": "http://127.0.0.1:8080"}
        for headers in (good, by_origin):
            assert (await here.ask("PATCH", "/auth/me/preferences", json=body, headers=headers)).status_code == 200

    tried(url, tmp_path, test)


def test_the_cookie_is_out_of_reach_of_scripts_and_goes_with_the_logout(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        given = {"username": "root", "password": PASSWORD}
        answer = await here.http.post("/api/v1/auth/login", params={"cookie": "true"}, json=given)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("toolyard=lo_")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        for headers in ({"host": "tools.example.com"}, {"toolyard-client-scheme": "https"}):
            secure = await here.http.post("/api/v1/auth/login", params={"cookie": "true"}, json=given, headers=headers)
            assert secure.headers["set-cookie"].startswith("__Host-toolyard=lo_")
            assert "Secure" in secure.headers["set-cookie"]
            assert "Path=/" in secure.headers["set-cookie"]
            assert "Domain" not in secure.headers["set-cookie"]
        good = {"toolyard-csrf": answer.json()["csrf_token"], "sec-fetch-site": "same-origin"}
        out = await here.ask("POST", "/auth/logout", headers=good)
        assert out.status_code == 204
        assert 'toolyard=""' in out.headers["set-cookie"]
        assert (await here.ask("GET", "/auth/me")).status_code == 401

    tried(url, tmp_path, test)


def test_each_login_has_another_cookie_and_another_token_against_forgery(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        first = await browser_login(here)
        cookie = here.http.cookies["toolyard"]
        second = await browser_login(here)
        assert here.http.cookies["toolyard"] != cookie
        assert first["toolyard-csrf"] != second["toolyard-csrf"]

    tried(url, tmp_path, test)


def test_a_bad_token_is_not_made_good_by_a_cookie(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        await browser_login(here)
        assert (await here.ask("GET", "/auth/me")).status_code == 200
        for bad in ("", "Bearer", "Bearer x", "Basic cm9vdDpyb290", f"Bearer {here.tokens['root']}x"):
            assert (await here.ask("GET", "/auth/me", headers={"authorization": bad})).status_code == 401, bad
        two = [("authorization", f"Bearer {here.tokens['root']}")] * 2
        assert (await here.http.get("/api/v1/auth/me", headers=two)).status_code == 401

    tried(url, tmp_path, test)


def test_who_somebody_is_cannot_be_said_in_other_headers(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        for name in ("x-user", "x-authenticated-user", "x-forwarded-user", "toolyard-operator", "x-test-caller"):
            assert (await here.ask("GET", "/auth/me", headers={name: "1"})).status_code == 401

    tried(url, tmp_path, test)


def test_the_operator_is_known_by_the_socket_and_never_through_the_gateway(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        asked = {"toolyard-operator": "1"}
        me = await here.socket.get("/api/v1/auth/me", headers=asked)
        assert (me.status_code, me.json()["kind"], me.json()["platform_admin"]) == (200, "operator", True)
        assert (await here.socket.get("/api/v1/auth/me")).status_code == 401
        relayed = {**asked, "toolyard-client-address": "127.0.0.1"}
        assert (await here.socket.get("/api/v1/auth/me", headers=relayed)).status_code == 401
        assert (await here.http.get("/api/v1/auth/me", headers=asked)).status_code == 401
        reset = await here.socket.get("http://127.0.0.1:8080/api/v1/auth/me", headers=asked)
        assert reset.status_code == 401
        other = await here.organization("other")
        there = await here.socket.get("/api/v1/auth/me", headers={**asked, "toolyard-organization": "other"})
        assert there.json()["organization_id"] == other
        nowhere = await here.socket.get("/api/v1/auth/me", headers={**asked, "toolyard-organization": "nowhere"})
        assert nowhere.status_code == 403

    tried(url, tmp_path, test)


def test_a_new_key_is_published_before_it_signs_and_the_old_one_verifies_until_its_tokens_expire(
    url: URL, tmp_path: Path
) -> None:
    async def test(here: Town) -> None:
        before = await here.made("GET", "/platform/signing-keys", "root")
        rotated = await here.made("POST", "/platform/signing-keys/rotate", "root")
        assert rotated["current"] == before["current"]
        here.clock.advance(5)
        after = await here.made("GET", "/platform/signing-keys", "root")
        assert after["current"] != before["current"]
        assert set(rotated["verifying"]) == set(after["verifying"]) == {before["current"], after["current"]}
        assert (await here.ask("GET", "/auth/me", "root")).status_code == 200
        here.clock.advance(3700)
        await here.log_in("root")
        again = await here.made("POST", "/platform/signing-keys/rotate", "root")
        assert before["current"] not in again["verifying"]
        assert (tmp_path / "signing.key").stat().st_mode & 0o077 == 0

    tried(url, tmp_path, test)


def test_many_at_once_who_ask_who_they_are_are_all_told(url: URL, tmp_path: Path) -> None:
    async def test(here: Town) -> None:
        answers = await asyncio.gather(*(here.ask("GET", "/auth/me", "root") for _ in range(50)))
        assert {one.status_code for one in answers} == {200}

    tried(url, tmp_path, test)
