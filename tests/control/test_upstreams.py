"""Upstreams and credentials through the management API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.vault import Vault
from toolyard.control.identity.model import OrganizationRow
from toolyard.control.upstreams.credential_routes import credentials_slice
from toolyard.control.upstreams.mirror import FromFile, mirror
from toolyard.control.upstreams.routes import upstreams_slice
from toolyard.control.upstreams.rules import Bounds
from toolyard.control.upstreams.specs import upstream_specs
from toolyard.control.upstreams.states import record_health
from toolyard.control.upstreams.tries import end_old_tries, try_succeeded
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing
from toolyard.kit.secret import Secret

pytestmark = pytest.mark.slow

PATH = "/api/v1/upstreams"
DEVELOPER = Caller(
    "us_dev", "user", "default", frozenset({"upstreams.read", "upstreams.write", "credentials.write"}), name="dev"
)
OPERATOR = Caller("us_op", "user", "default", frozenset({"upstreams.read", "upstreams.write"}), name="op")
ACME = Caller("us_acme", "user", "or_acme", DEVELOPER.permissions, name="acme")
PLATFORM = Caller("system", "system", "", platform=True)
TOKEN = "SEKRET-token-of-github-9876"


@dataclass(slots=True)
class Rig:
    api: Api
    vault: Vault

    async def ask(self, method: str, path: str = "", *, who: str = "us_dev", **more: Any) -> Any:
        return await self.api.ask(method, PATH + path, who=who, **more)

    async def make(self, *, who: str = "us_dev", **fields: Any) -> Any:
        given = {"name": "docs", "url": "https://docs.example/mcp", **fields}
        made = await self.ask("POST", who=who, json={k: v for k, v in given.items() if v is not None})
        assert made.status_code == 201, made.text
        return made.json()

    async def told(self, *records: dict[str, Any], gateway: str = "gw1") -> None:
        async with self.api.works.write(PLATFORM) as work:
            await record_health(work, [{"kind": "health", "gateway": gateway, **one} for one in records])

    async def specs(self) -> dict[str, UpstreamSpec]:
        async with self.api.works.read(PLATFORM) as work:
            return {one.spec.id: one.spec for one in await upstream_specs(work, self.vault)}


@pytest.fixture
def tried(url: URL) -> Callable[[Callable[[Rig], Awaitable[None]]], None]:
    """Runs a test with a fresh database that has a second organization."""

    def run(test: Callable[[Rig], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            vault = Vault(KeyRing([KeyEncryptionKey(b"k" * 32)]))
            slices = [upstreams_slice(vault, Bounds()), credentials_slice(vault)]
            async with serving(url, slices, DEVELOPER, OPERATOR, ACME) as api:
                async with api.works.write(the_system("default")) as work:
                    other = OrganizationRow(id="or_acme", slug="acme", name="Acme")
                    other.created_at = other.updated_at = work.now
                    work.session.add(other)
                await test(Rig(api, vault))

        asyncio.run(all_of_it())

    return run


Tried = Callable[[Callable[[Rig], Awaitable[None]]], None]


def test_an_upstream_is_registered_shown_changed_and_removed(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.make(description="Documents", tags=["b", "a", "b"])
        assert (made["state"], made["kind"], made["gateway_id"]) == ("pending", "mcp-http", "docs")
        assert (made["tags"], made["created_by"], made["owner"]) == (["a", "b"], "us_dev", "database")
        path = f"/{made['id']}"
        got = await rig.ask("GET", path)
        assert got.json() == made
        changed = await rig.ask("PATCH", path, json={"timeout_s": 5, "tls": {"verify": False}})
        assert (changed.json()["timeout_s"], changed.json()["tls"]) == (5, {"verify": False, "ca_file": None})
        assert changed.json()["description"] == "Documents"
        assert (await rig.ask("PATCH", path, json={}, headers={"if-match": got.headers["etag"]})).status_code == 412
        listed = (await rig.ask("GET", params={"kind": "mcp-http", "q": "docum"})).json()["items"]
        assert [one["name"] for one in listed] == ["docs"]
        assert (await rig.ask("GET", params={"kind": "websocket"})).json()["items"] == []
        assert (await rig.ask("DELETE", path)).status_code == 204
        assert (await rig.ask("GET", path)).status_code == 404

    tried(test)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Docs"}, "name"),
    ({"name": "a__b"}, "name"),
    ({"url": "ftp://docs.example/"}, "url"),
    ({"url": "https://user:pw@docs.example/"}, "url"),
    ({"url": "http://169.254.169.254/latest"}, "url"),
    ({"url": "http://2130706433/"}, "url"),
    ({"url": "wss://docs.example/", "kind": "mcp-http"}, "url"),
    ({"url": None}, "url"),
    ({"timeout_s": 601}, "timeout_s"),
    ({"timeout_s": 30, "tasks": {"after_s": 30}}, "tasks.after_s"),
    ({"tags": ["a,b"]}, "tags"),
    ({"allow_networks": ["nowhere"]}, "allow_networks"),
    ({"headers": {"Host": "x"}}, "headers.Host"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers"),
    ({"headers": {"Authorization": "secret://unknown"}}, "headers.Authorization"),
    ({"headers": {"Authorization": "secret://"}}, "headers.Authorization"),
    ({"command": ["sh"]}, "command"),
    ({"kind": "mcp-stdio", "url": None, "command": []}, "command"),
    ({"kind": "mcp-stdio", "url": None, "command": ["x"], "env": {"LD_PRELOAD": "y"}}, "env.LD_PRELOAD"),
    ({"kind": "mcp-stdio", "url": None, "command": ["x"], "cwd": "here"}, "cwd"),
    ({"kind": "native", "url": None, "command": ["other"]}, "command"),
]


def test_what_cannot_work_is_refused_naming_the_field(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        for fields, at in WRONG:
            given = {"name": "docs", "url": "https://docs.example/mcp", **fields}
            given = {name: value for name, value in given.items() if value is not None}
            answer = await rig.ask("POST", who="us_admin", json=given)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
            assert [one["at"] for one in answer.json()["errors"]] == [f"body.{at}"]
            checked = (await rig.ask("POST", "/check", who="us_admin", json=given)).json()
            assert not checked["ok"]
        assert (await rig.ask("GET")).json()["items"] == []

    tried(test)


def test_numbers_out_of_their_bounds_are_refused(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.make()
        for wrong in ({"timeout_s": 0}, {"idle_s": 0.5}, {"tasks": {"after_s": -1}}, {"max_processes": 0}):
            answer = await rig.ask("PATCH", f"/{made['id']}", json=wrong)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        for odd in (b'{"timeout_s": NaN}', b'{"timeout_s": Infinity}', b'{"timeout_s": 1e999}'):
            assert (await rig.ask("PATCH", f"/{made['id']}", content=odd)).status_code in (400, 422)

    tried(test)


def test_paths_that_no_file_can_have_are_told_as_not_there(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        given = {"name": "x", "command": ["p" * 5000], "cwd": "/" + "d" * 4000}
        checked = (await rig.ask("POST", "/check", who="us_admin", json=given)).json()
        assert {one["at"]: one["level"] for one in checked["findings"]} == {"command": "warning", "cwd": "warning"}

    tried(test)


def test_fields_that_nobody_may_give_are_refused(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        for extra in ({"organization_id": "or_acme"}, {"owner": "file"}, {"approved": True}, {"id": "up_1"}):
            answer = await rig.ask("POST", json={"name": "docs", "url": "https://docs.example/", **extra})
            assert answer.status_code == 422

    tried(test)


def test_a_name_is_taken_once_in_each_organization(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.make()
        again = await rig.ask("POST", json={"name": "docs", "url": "https://other.example/"})
        assert (again.status_code, again.json()["code"]) == (409, "name_taken")
        assert (await rig.make(who="us_acme"))["gateway_id"] == "acme.docs"
        specs = await rig.specs()
        assert specs.keys() == {"docs", "acme.docs"}
        assert (specs["acme.docs"].organization, specs["acme.docs"].prefix) == ("or_acme", "docs")

    tried(test)


def test_other_organizations_upstreams_are_as_unknown_ones(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        ours = (await rig.make())["id"]
        for method, rest in [("GET", ""), ("GET", "/check"), ("GET", "/log"), ("PATCH", ""), ("DELETE", ""),
                             ("POST", "/start"), ("POST", "/stop"), ("POST", "/restart")]:  # fmt: skip
            body = {"json": {"description": "theirs"}} if method == "PATCH" else {}
            theirs = await rig.ask(method, f"/{ours}{rest}", who="us_acme", **body)
            unknown = await rig.ask(method, f"/up_unknown{rest}", who="us_acme", **body)
            assert (theirs.status_code, theirs.json()) == (404, unknown.json())
        bulk = (await rig.ask("POST", "/bulk/delete", who="us_acme", json=[ours, "up_unknown"])).json()
        assert bulk["results"][0]["problem"] == bulk["results"][1]["problem"]
        assert (await rig.ask("GET", f"/{ours}")).json()["description"] == ""

    tried(test)


def test_a_secret_given_with_an_upstream_reaches_gateways_and_is_never_shown_again(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.make(headers={"Authorization": f"Bearer {TOKEN}", "X-Plain": "${DATABASE_URL}"})
        assert "SEKRET" not in str(made)
        assert made["headers"]["Authorization"].startswith("secret://up_")
        for path in ("", f"/{made['id']}"):
            assert "SEKRET" not in (await rig.ask("GET", path)).text
        listed = await rig.api.ask("GET", "/api/v1/credentials", who="us_dev")
        assert "SEKRET" not in listed.text
        assert {(one["last4"], one["upstream_id"]) for one in listed.json()["items"]} == {
            ("9876", made["id"]), ("", made["id"]),
        }  # fmt: skip
        headers = dict((await rig.specs())["docs"].headers)
        assert headers["Authorization"].reveal() == f"Bearer {TOKEN}"
        assert headers["X-Plain"].reveal() == "${DATABASE_URL}"
        async with rig.api.works.read(the_system("default")) as work:
            dump = [str(row) for table in ("upstreams", "credentials", "facts", "data_keys")
                    for row in await work.session.execute(text(f"SELECT * FROM {table}"))]  # fmt: skip
        assert not any("SEKRET" in one for one in dump)

    tried(test)


def test_what_is_shown_can_be_sent_back_and_keeps_its_secret(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.make(headers={"Authorization": TOKEN, "X-Other": "other"})
        kept = {"Authorization": made["headers"]["Authorization"]}
        assert (await rig.ask("PATCH", f"/{made['id']}", json={"headers": kept})).status_code == 200
        assert [(k, v.reveal()) for k, v in (await rig.specs())["docs"].headers] == [("Authorization", TOKEN)]
        assert len((await rig.api.ask("GET", "/api/v1/credentials")).json()["items"]) == 1
        await rig.ask("PATCH", f"/{made['id']}", json={"headers": {"Authorization": "fresh"}})
        assert [v.reveal() for _, v in (await rig.specs())["docs"].headers] == ["fresh"]
        await rig.ask("DELETE", f"/{made['id']}")
        assert (await rig.api.ask("GET", "/api/v1/credentials")).json()["items"] == []

    tried(test)


def test_a_credential_of_its_own_can_be_used_by_no_other_upstream(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.make(headers={"Authorization": TOKEN})
        thief = {"name": "thief", "url": "https://evil.example/", "headers": made["headers"]}
        answer = await rig.ask("POST", json=thief)
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "body.headers.Authorization")

    tried(test)


def test_a_credential_is_written_used_and_never_read(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        path = "/api/v1/credentials/github-token"
        put = await rig.api.ask("PUT", path, who="us_dev", json={"value": TOKEN, "description": "of the robot"})
        assert (put.status_code, put.json()["last4"], put.json()["used_by"]) == (200, "9876", [])
        made = await rig.make(headers={"Authorization": "Bearer secret://github-token"})
        assert made["headers"] == {"Authorization": "Bearer secret://github-token"}
        assert dict((await rig.specs())["docs"].headers)["Authorization"].reveal() == f"Bearer {TOKEN}"
        in_use = await rig.api.ask("DELETE", path, who="us_dev")
        assert (in_use.status_code, in_use.json()["code"]) == (409, "credential_in_use")
        assert (await rig.api.ask("GET", path)).json()["used_by"] == ["docs"]
        await rig.api.ask("PUT", path, who="us_dev", json={"value": "rotated"})
        assert dict((await rig.specs())["docs"].headers)["Authorization"].reveal() == "Bearer rotated"
        broken = await rig.api.ask("PUT", path, who="us_dev", json={"value": "two\nlines SEKRET"})
        assert broken.status_code == 422
        assert "SEKRET" not in broken.text
        await rig.ask("DELETE", f"/{made['id']}")
        assert (await rig.api.ask("DELETE", path, who="us_dev")).status_code == 204

    tried(test)


def test_credentials_of_other_organizations_are_not_there(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.api.ask("PUT", "/api/v1/credentials/token", who="us_dev", json={"value": TOKEN})
        given = {"name": "mine", "url": "https://evil.example/", "headers": {"A": "secret://token"}}
        assert (await rig.ask("POST", who="us_acme", json=given)).status_code == 422
        for method in ("GET", "DELETE"):
            theirs = await rig.api.ask(method, "/api/v1/credentials/token", who="us_acme")
            unknown = await rig.api.ask(method, "/api/v1/credentials/unknown", who="us_acme")
            assert (theirs.status_code, theirs.json()) == (404, unknown.json())
        await rig.api.ask("PUT", "/api/v1/credentials/token", who="us_acme", json={"value": "theirs"})
        await rig.make(headers={"A": "secret://token"})
        assert dict((await rig.specs())["docs"].headers)["A"].reveal() == TOKEN

    tried(test)


def test_a_ciphertext_moved_to_another_row_does_not_open_and_stops_only_its_own_upstream(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        for name in ("one", "two"):
            await rig.api.ask("PUT", f"/api/v1/credentials/{name}", who="us_dev", json={"value": f"value of {name}"})
        await rig.make(headers={"A": "secret://one"})
        await rig.make(name="good", headers={"A": "secret://two"})
        moved = "UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE name = 'two') WHERE name = 'one'"
        async with rig.api.works.write(the_system("default")) as work:
            await work.session.execute(text(moved))
        assert (await rig.specs()).keys() == {"good"}

    tried(test)


def test_whoever_may_not_write_credentials_can_neither_use_nor_redirect_them(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.make(headers={"Authorization": TOKEN})
        path = f"/{made['id']}"
        for change in ({"url": "https://evil.example/mcp"}, {"headers": {"X": "new"}}):
            refused = await rig.ask("PATCH", path, who="us_op", json=change)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert (await rig.ask("PATCH", path, who="us_op", json={"url": "https://docs.example/v2"})).status_code == 200
        assert (await rig.ask("PATCH", path, who="us_op", json={"timeout_s": 3})).status_code == 200
        given = {"name": "x", "url": "https://evil.example/", "headers": {"A": "b"}}
        assert (await rig.ask("POST", who="us_op", json=given)).status_code == 403

    tried(test)


def test_inside_addresses_need_the_platforms_consent(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.make()
        for n, inside in enumerate(["http://127.0.0.1:9/", "http://localhost/", "http://10.0.0.1/", "http://[::1]/"]):
            refused = await rig.ask("POST", json={"name": "inside", "url": inside})
            assert (refused.status_code, refused.json()["code"]) == (403, "network_forbidden")
            changed = await rig.ask("PATCH", f"/{made['id']}", json={"url": inside})
            assert changed.json()["code"] == "network_forbidden"
            await rig.make(name=f"inside-{n}", url=inside, who="us_admin")
        widened = await rig.ask("PATCH", f"/{made['id']}", json={"allow_networks": ["10.0.0.0/8"]})
        assert widened.json()["code"] == "network_forbidden"

    tried(test)


def test_a_program_needs_the_permission_and_runs_only_once_approved(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        given = {"name": "clock", "command": ["python3", "-m", "clock"], "env": {"TOKEN": TOKEN}}
        for path in ("", "/check"):
            refused = await rig.ask("POST", path, json=given)
            assert (refused.status_code, refused.json()["code"]) == (403, "exec_forbidden")
        made = (await rig.ask("POST", who="us_admin", json=given)).json()
        path = f"/{made['id']}"
        assert (made["kind"], made["state"], made["approved"]) == ("mcp-stdio", "unapproved", False)
        assert await rig.specs() == {}
        assert (await rig.ask("POST", f"{path}/approve")).status_code == 403
        approved = (await rig.ask("POST", f"{path}/approve", who="us_admin")).json()
        assert (approved["state"], approved["approved_by"]) == ("pending", "us_admin")
        spec = (await rig.specs())["clock"]
        assert spec.command == ("python3", "-m", "clock")
        assert [(name, value.reveal()) for name, value in spec.env] == [("TOKEN", TOKEN)]
        for change in ({"command": ["sh"]}, {"env": {}}, {"cwd": "/"}, {"kind": "native"}):
            assert (await rig.ask("PATCH", path, json=change)).json()["code"] == "exec_forbidden"
        assert (await rig.ask("PATCH", path, json={"timeout_s": 7})).json()["approved"] is True
        for change in ({"command": ["python3", "-c", "1"]}, {"env": {"TOKEN": "new"}}, {"cwd": "/"}):
            assert (await rig.ask("PATCH", path, who="us_admin", json=change)).json()["approved"] is False
            assert await rig.specs() == {}
            await rig.ask("POST", f"{path}/approve", who="us_admin")

    tried(test)


def test_only_what_was_seen_is_approved(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        made = await rig.ask("POST", who="us_admin", json={"name": "clock", "command": ["python3"]})
        path, seen = f"/{made.json()['id']}", {"if-match": made.headers["etag"]}
        await rig.ask("PATCH", path, who="us_admin", json={"command": ["rm"]})
        late = await rig.ask("POST", f"{path}/approve", who="us_admin", headers=seen)
        assert late.status_code == 412
        by_url = await rig.make()
        none = await rig.ask("POST", f"/{by_url['id']}/approve", who="us_admin")
        assert (none.status_code, none.json()["code"]) == (409, "nothing_to_approve")

    tried(test)


def test_a_credential_that_a_program_is_given_is_changed_only_by_who_may_run_programs(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.api.ask("PUT", "/api/v1/credentials/token", json={"value": "a"})
        given = {"name": "clock", "command": ["python3"], "env": {"TOKEN": "secret://token"}}
        assert (await rig.ask("POST", who="us_admin", json=given)).status_code == 201
        refused = await rig.api.ask("PUT", "/api/v1/credentials/token", who="us_dev", json={"value": "b"})
        assert refused.json()["code"] == "exec_forbidden"
        assert (await rig.api.ask("PUT", "/api/v1/credentials/token", json={"value": "b"})).status_code == 200

    tried(test)


def test_what_an_upstream_depends_on_is_looked_at_and_told(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        given = {"name": "clock", "command": ["no-such-program-here"], "cwd": "/no/such/place"}
        made = (await rig.ask("POST", who="us_admin", json=given)).json()
        assert {one["at"]: one["level"] for one in made["findings"]} == {"command": "warning", "cwd": "warning"}
        looked = (await rig.ask("GET", f"/{made['id']}/check", who="us_admin")).json()
        assert (looked["ok"], len(looked["findings"])) == (True, 2)
        assert (await rig.ask("GET", f"/{made['id']}/check")).json()["findings"] == []
        plain = await rig.make(url="http://docs.example/", headers={"A": "b"})
        assert [one["at"] for one in plain["findings"]] == ["url"]

    tried(test)


def test_starting_stopping_and_restarting_are_desired_state(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        path = f"/{(await rig.make())['id']}"
        assert (await rig.ask("POST", f"{path}/stop")).json()["state"] == "stopped"
        assert (await rig.specs())["docs"].enabled is False
        assert (await rig.ask("POST", f"{path}/start")).json()["state"] == "pending"
        assert (await rig.specs())["docs"].enabled is True
        assert (await rig.ask("POST", f"{path}/restart")).json()["restart_generation"] == 1
        assert (await rig.specs())["docs"].restart_generation == 1
        assert (await rig.ask("PATCH", path, json={"enabled": False})).json()["state"] == "disabled"

    tried(test)


def test_each_upstream_of_a_bulk_request_has_its_own_result(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        urls = ["https://a.example/", "nonsense", "http://127.0.0.1/"]
        given = [{"name": f"u{n}", "url": url, "headers": {"A": "b"}} for n, url in enumerate(urls)]
        made = (await rig.ask("POST", "/bulk", json=given)).json()
        assert [one["ok"] for one in made["results"]] == [True, False, False]
        assert [one["problem"]["code"] for one in made["results"][1:]] == ["invalid", "network_forbidden"]
        good = made["results"][0]["item"]["id"]
        changes = [{"id": good, "change": {"enabled": False}}, {"id": good, "change": {"timeout_s": 0}}]
        changed = (await rig.ask("POST", "/bulk/update", json=changes)).json()
        assert [one["ok"] for one in changed["results"]] == [True, False]
        assert [one["name"] for one in (await rig.ask("GET")).json()["items"]] == ["u0"]
        assert (await rig.ask("GET", f"/{good}")).json()["timeout_s"] is None
        assert len((await rig.api.ask("GET", "/api/v1/credentials")).json()["items"]) == 1
        removed = (await rig.ask("POST", "/bulk/delete", json=[good, good])).json()
        assert (removed["succeeded"], removed["failed"]) == (1, 1)

    tried(test)


def test_an_organization_has_only_so_many_upstreams(url: URL) -> None:
    async def run() -> None:
        vault = Vault(KeyRing([KeyEncryptionKey(b"k" * 32)]))
        async with serving(url, [upstreams_slice(vault, Bounds(most=1))], DEVELOPER) as api:
            rig = Rig(api, vault)
            await rig.make()
            refused = await rig.ask("POST", json={"name": "more", "url": "https://more.example/"})
            assert (refused.status_code, refused.json()["code"]) == (409, "conflict")

    asyncio.run(run())


def test_what_a_disabled_organization_has_is_not_published(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.make(who="us_acme")
        async with rig.api.works.write(the_system("or_acme")) as work:
            row = await work.session.get(OrganizationRow, "or_acme")
            assert row is not None
            row.enabled = False
        assert await rig.specs() == {}

    tried(test)


def test_state_and_last_error_are_what_gateways_told_last(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        path = f"/{(await rig.make())['id']}"
        failing = {"upstream": "docs", "state": "failing", "code": "upstream_unreachable", "message": "no answer"}
        await rig.told(failing, {"upstream": "acme.docs", "state": "ready"}, {"upstream": "unknown", "state": "ready"})
        shown = (await rig.ask("GET", path)).json()
        assert (shown["state"], shown["last_error"], shown["last_error_code"]) == (
            "failing", "no answer", "upstream_unreachable",
        )  # fmt: skip
        rig.api.clock.advance(10)
        await rig.told({"upstream": "docs", "state": "ready", "since": 1_000_000.0}, gateway="gw2")
        shown = (await rig.ask("GET", path)).json()
        assert (shown["state"], shown["last_error"], len(shown["gateways"])) == ("ready", None, 2)
        assert shown["since"] == "1970-01-12T13:46:40Z"
        rig.api.clock.advance(200)
        assert (await rig.ask("GET", path)).json()["state"] == "unknown"

    tried(test)


def test_records_that_make_no_sense_are_passed_over(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        path = f"/{(await rig.make())['id']}"
        await rig.told({"upstream": 7}, {}, {"upstream": "docs", "state": None, "since": "x", "message": ["a"]})
        await rig.told({"upstream": "docs", "state": "ready", "since": 1e300, "message": "a\x00b"})
        assert (await rig.ask("GET", path)).json()["state"] == "ready"

    tried(test)


def test_an_upstream_is_tried_before_it_is_saved_and_its_secret_is_gone_with_the_answer(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        given = {"name": "docs", "url": "https://docs.example/mcp", "headers": {"Authorization": TOKEN}}
        asked = await rig.ask("POST", "/test", json=given)
        assert (asked.status_code, asked.json()["state"]) == (202, "pending")
        try_id = asked.json()["id"]
        (spec,) = (await rig.specs()).values()
        assert (spec.id, spec.organization) == (f"try:{try_id}", f"try:{try_id}")
        assert [value.reveal() for _, value in spec.headers] == [TOKEN]
        async with rig.api.works.write(PLATFORM) as work:
            await try_succeeded(work, spec.id, {"tools": ["search"]})
        result = (await rig.ask("GET", f"/tests/{try_id}")).json()
        assert (result["state"], result["found"]) == ("ready", {"tools": ["search"]})
        assert await rig.specs() == {}
        assert (await rig.ask("GET", f"/tests/{try_id}", who="us_acme")).status_code == 404
        assert (await rig.ask("GET")).json()["items"] == []

    tried(test)


def test_a_try_fails_with_the_reason_or_expires(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        given = {"name": "docs", "url": "https://docs.example/mcp"}
        failing, late = [(await rig.ask("POST", "/test", json=given)).json()["id"] for _ in range(2)]
        await rig.told({"upstream": f"try:{failing}", "state": "failing", "code": "c", "message": "no such host"})
        result = (await rig.ask("GET", f"/tests/{failing}")).json()
        assert (result["state"], result["error"]) == ("failing", "no such host")
        rig.api.clock.advance(31)
        assert await rig.specs() == {}
        assert (await rig.ask("GET", f"/tests/{late}")).json()["state"] == "expired"
        async with rig.api.works.write(PLATFORM) as work:
            assert await end_old_tries(work) == 1
        assert (await rig.ask("GET", f"/tests/{late}")).json()["state"] == "expired"
        rig.api.clock.advance(4000)
        async with rig.api.works.write(PLATFORM) as work:
            assert await end_old_tries(work) == 0
        assert (await rig.ask("GET", f"/tests/{late}")).status_code == 404

    tried(test)


def test_programs_and_inside_addresses_are_not_tried(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        program = await rig.ask("POST", "/test", who="us_admin", json={"name": "x", "command": ["python3"]})
        assert (program.status_code, program.json()["code"]) == (422, "not_tried_this_way")
        inside = await rig.ask("POST", "/test", json={"name": "x", "url": "http://127.0.0.1:1/"})
        assert inside.json()["code"] == "network_forbidden"

    tried(test)


def test_what_the_file_describes_is_shown_followed_and_read_only(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        async def follow(*specs: UpstreamSpec) -> list[str]:
            async with rig.api.works.write(the_system("default")) as work:
                return await mirror(work, rig.vault, [FromFile(one, "toolyard.yaml", 3) for one in specs])

        await rig.make(name="ours")
        headers = (("Authorization", Secret(TOKEN)), ("X-Gone", Secret("")))
        clock = UpstreamSpec("clock", "mcp-stdio", command=("python3",), env=(("KEY", Secret(TOKEN)),))
        docs = UpstreamSpec("docs", "mcp-http", url="https://docs.example/", headers=headers)
        assert await follow(clock, docs, UpstreamSpec("ours", "mcp-http", url="https://x.example/")) == ["ours"]
        shown = {one["name"]: one for one in (await rig.ask("GET")).json()["items"]}
        assert {name: one["owner"] for name, one in shown.items()} == {
            "clock": "file", "docs": "file", "ours": "database",
        }  # fmt: skip
        assert "SEKRET" not in str(shown)
        specs = await rig.specs()
        assert (specs["clock"], specs["docs"]) == (clock, docs)
        path = f"/{shown['docs']['id']}"
        for method, rest in (("PATCH", ""), ("DELETE", ""), ("POST", "/stop"), ("POST", "/restart")):
            body = {"json": {"timeout_s": 3}} if method == "PATCH" else {}
            refused = await rig.ask(method, path + rest, **body)
            assert (refused.status_code, refused.json()["code"]) == (409, "owned_by_file")
            assert "toolyard.yaml, line 3" in refused.json()["title"]
        version = (await rig.ask("GET", path)).json()["version"]
        await follow(clock, docs)
        assert (await rig.ask("GET", path)).json()["version"] == version
        changed = replace(docs, timeout_s=5, headers=(("Authorization", Secret("fresh")),))
        await follow(changed)
        specs = await rig.specs()
        assert specs.keys() == {"docs", "ours"}
        assert specs["docs"] == changed
        assert len((await rig.api.ask("GET", "/api/v1/credentials")).json()["items"]) == 1

    tried(test)
