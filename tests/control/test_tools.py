"""Tools, resources and prompts through the management API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.contract.definitions import Observation
from toolyard.contract.snapshot import ToolRule, UpstreamSpec
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.tables import new_id
from toolyard.control.base.vault import Vault
from toolyard.control.identity.model import MemberRow, OrganizationRow, UserRow
from toolyard.control.tools.observing import record_observation
from toolyard.control.tools.routes import tools_slice
from toolyard.control.tools.service import Bounds, tool_rules
from toolyard.control.upstreams.mirror import FromFile, mirror
from toolyard.control.upstreams.routes import upstreams_slice
from toolyard.control.upstreams.rules import Bounds as UpstreamBounds
from toolyard.control.upstreams.specs import upstream_specs
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing

pytestmark = pytest.mark.slow

PATH = "/api/v1/tools"
MAY = frozenset({"tools.read", "tools.write", "upstreams.read", "upstreams.write"})
DEVELOPER = Caller("us_dev", "user", "default", MAY)
ACME = Caller("us_acme", "user", "or_acme", MAY)
PLATFORM = Caller("system", "system", "", platform=True)
SEARCH = {
    "name": "search",
    "title": "Search",
    "description": "Finds documents.\n| <b>quickly</b>",
    "inputSchema": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for", "minLength": 2},
            "limit": {"type": "integer", "default": 10},
            "filters": {"type": "array", "items": {"type": "object", "properties": {"field": {"type": "string"}}}},
        },
        "required": ["query"],
    },
    "annotations": {"readOnlyHint": True},
}
FETCH = {"name": "fetch", "inputSchema": {"type": "object"}}
READ_ME = {"uri": "file:///readme", "name": "readme", "mimeType": "text/plain"}
GREET = {"name": "greet", "arguments": [{"name": "who", "required": True}]}


def record(upstream: str, **listed: list[dict[str, Any]]) -> dict[str, Any]:
    """What a gateway reports."""
    lists = {name: tuple(listed.get(name, ())) for name in ("tools", "resources", "resource_templates", "prompts")}
    seen = Observation(upstream, "modern", "2026-07-28", {"name": "docs"}, {}, "Use me.", **lists, observed_at=1e9)
    return {
        "kind": "observation", "at": 1e9, "gateway": "gw1", "upstream": upstream, "digest": seen.digest(),
        "era": "modern",
        "revision": "2026-07-28", "server_info": {"name": "docs"}, "capabilities": {}, "instructions": "Use me.",
        "observed_at": 1e9, "warnings": [], **{name: list(entries) for name, entries in lists.items()},
    }  # fmt: skip


@dataclass(slots=True)
class Rig:
    api: Api
    vault: Vault

    async def ask(self, method: str, path: str = "", *, who: str = "us_dev", **more: Any) -> Any:
        return await self.api.ask(method, PATH + path, who=who, **more)

    async def seen(self, upstream: str = "docs", **listed: list[dict[str, Any]]) -> None:
        self.api.clock.advance(1)
        async with self.api.works.write(PLATFORM) as work:
            await record_observation(work, record(upstream, **listed))

    async def listed(self, who: str = "us_dev", **params: Any) -> dict[str, Any]:
        answer = await self.ask("GET", who=who, params=params)
        assert answer.status_code == 200, answer.text
        return {one["name"]: one for one in answer.json()["items"]}

    async def rules(self) -> list[dict[str, ToolRule]]:
        async with self.api.works.read(PLATFORM) as work:
            return list((await tool_rules(work)).values())


Tried = Callable[[Callable[[Rig], Awaitable[None]]], None]


@pytest.fixture
def tried(url: URL) -> Tried:
    """Runs a test with two organizations, each with an upstream `docs`, and a third upstream."""

    def run(test: Callable[[Rig], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            vault = Vault(KeyRing([KeyEncryptionKey(b"k" * 32)]))
            slices = [upstreams_slice(vault, UpstreamBounds()), tools_slice(vault, Bounds())]
            async with serving(url, slices, DEVELOPER, ACME) as api:
                async with api.works.write(the_system("default")) as work:
                    other = OrganizationRow(id="or_acme", slug="acme", name="Acme")
                    user = UserRow(id="us_dev", username="dev")
                    for row in (other, user):
                        row.created_at = row.updated_at = work.now
                        work.session.add(row)
                    await work.session.flush()
                    member = MemberRow(id=new_id("me"), user_id="us_dev", organization_id="default")
                    member.created_at = member.updated_at = work.now
                    work.session.add(member)
                for who, name in (("us_dev", "docs"), ("us_dev", "other"), ("us_acme", "docs")):
                    given = {"name": name, "url": "https://docs.example/"}
                    made = await api.ask("POST", "/api/v1/upstreams", who=who, json=given)
                    assert made.status_code == 201, made.text
                await test(Rig(api, vault))

        asyncio.run(all_of_it())

    return run


def test_what_upstreams_offer_is_discovered_and_listed_with_its_definition(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        template = {"uriTemplate": "file:///{path}", "name": "files"}
        await rig.seen(tools=[SEARCH, FETCH], resources=[READ_ME], resource_templates=[template], prompts=[GREET])
        found = await rig.listed(sort="name")
        assert list(found) == ["fetch", "file:///readme", "file:///{path}", "greet", "search"]
        assert [found[name]["kind"] for name in found] == ["tool", "resource", "template", "prompt", "tool"]
        assert found["search"]["upstream"] == "docs"
        assert found["fetch"]["description"] == "The tool 'fetch' of 'docs'."
        one = (await rig.ask("GET", f"/{found['search']['id']}")).json()
        assert one["input_schema"] == SEARCH["inputSchema"]
        assert json.dumps(one["definition"]) == json.dumps(SEARCH)
        assert (await rig.ask("GET", "/stats")).json()["by_kind"] == {
            "tool": 2, "resource": 1, "template": 1, "prompt": 1,
        }  # fmt: skip
        shown = (await rig.api.ask("GET", "/api/v1/upstreams", params={"name": "docs"})).json()["items"][0]
        assert shown["discovered"] == {"tools": 2, "resources": 1, "resource_templates": 1, "prompts": 1}
        assert shown["state"] == "ready"

    tried(test)


def test_lists_are_filtered_and_searched(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH, FETCH], prompts=[GREET])
        await rig.seen("other", tools=[{**FETCH, "name": "push"}])
        found = await rig.listed()
        change = {"enabled": False, "category": "web", "tags": ["Slow", "net_x"]}
        await rig.ask("PATCH", f"/{found['fetch']['id']}", json=change)
        for params, expected in (
            ({"kind": "prompt"}, {"greet"}),
            ({"upstream": "other"}, {"push"}),
            ({"upstream": found["push"]["upstream_id"]}, {"push"}),
            ({"upstream": "unknown"}, set()),
            ({"enabled": False}, {"fetch"}),
            ({"category": "web"}, {"fetch"}),
            ({"tag": "slow"}, {"fetch"}),
            ({"tag": "net%x"}, set()),
            ({"tag": "slo"}, set()),
            ({"q": "DOCUMENTS"}, {"search"}),
            ({"kind": "tool", "enabled": True}, {"search", "push"}),
        ):
            assert set(await rig.listed(**params)) == expected, params
        assert (await rig.ask("GET", "/categories")).json() == [{"name": "", "count": 3}, {"name": "web", "count": 1}]

    tried(test)


def test_other_organizations_tools_are_as_unknown_ones(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH])
        await rig.seen("acme.docs", tools=[FETCH])
        assert set(await rig.listed("us_acme")) == {"fetch"}
        ours = (await rig.listed())["search"]["id"]
        for method, rest, body in [
            ("GET", "", None), ("GET", "/documentation", None), ("PATCH", "", {"enabled": False}), ("DELETE", "", None),
            ("POST", "/validate", {"arguments": {}}),
        ]:  # fmt: skip
            more = {"json": body} if body is not None else {}
            theirs = await rig.ask(method, f"/{ours}{rest}", who="us_acme", **more)
            unknown = await rig.ask(method, f"/to_unknown{rest}", who="us_acme", **more)
            assert (theirs.status_code, theirs.json()) == (404, unknown.json())
        bulk = {"ids": [ours], "change": {"enabled": False}}
        assert (await rig.ask("POST", "/bulk", who="us_acme", json=bulk)).json()["failed"] == 1
        assert (await rig.listed())["search"]["enabled"]

    tried(test)


def test_a_change_is_effective_immediately_and_survives_what_the_upstream_does(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH, FETCH])
        tool_id = (await rig.listed())["search"]["id"]
        got = await rig.ask("GET", f"/{tool_id}")
        said = {"enabled": False, "timeout_s": 3.5, "tags": ["b", "a"], "owner": "us_dev", "config_data": {"k": [1]}}
        changed = await rig.ask("PATCH", f"/{tool_id}", json=said, headers={"if-match": got.headers["etag"]})
        assert changed.json()["effective_immediately"] is True
        assert {name: changed.json()[name] for name in said} == {**said, "tags": ["a", "b"]}
        assert await rig.rules() == [{"search": ToolRule(enabled=False, timeout_s=3.5, tags=("a", "b"))}]
        late = await rig.ask("PATCH", f"/{tool_id}", json={"enabled": True}, headers={"if-match": got.headers["etag"]})
        assert late.status_code == 412
        await rig.seen(tools=[FETCH])
        assert set(await rig.listed()) == {"fetch"}
        assert set(await rig.listed(gone=True)) == {"search"}
        await rig.seen(tools=[FETCH, {**SEARCH, "description": "Other"}])
        back = (await rig.listed())["search"]
        assert (back["id"], back["enabled"], back["description"]) == (tool_id, False, "Other")
        assert back["digest"] != got.json()["digest"]

    tried(test)


def test_what_cannot_be_said_of_a_tool_is_refused(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH])
        path = f"/{(await rig.listed())['search']['id']}"
        for wrong in (
            {"timeout_s": 0}, {"timeout_s": 601}, {"tags": ["a,b"]}, {"tags": ["t" * 65]}, {"owner": "us_stranger"},
            {"name": "other"}, {"organization_id": "or_acme"}, {"category": "a\nb"}, {"enabled": None},
        ):  # fmt: skip
            assert (await rig.ask("PATCH", path, json=wrong)).status_code == 422, wrong
        viewer = await rig.ask("PATCH", path, who="us_viewer", json={"enabled": False})
        assert viewer.status_code == 403

    tried(test)


def test_several_tools_are_turned_off_at_once(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH, FETCH])
        ids = [one["id"] for one in (await rig.listed()).values()]
        done = await rig.ask("POST", "/bulk", json={"ids": [*ids, "to_unknown"], "change": {"enabled": False}})
        assert [one["ok"] for one in done.json()["results"]] == [True, True, False]
        assert (await rig.ask("GET", "/stats")).json()["disabled"] == 2

    tried(test)


def test_only_what_is_gone_is_forgotten(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH])
        path = f"/{(await rig.listed())['search']['id']}"
        offered = await rig.ask("DELETE", path)
        assert (offered.status_code, offered.json()["code"]) == (409, "tool_still_offered")
        await rig.seen(tools=[])
        assert (await rig.ask("DELETE", path)).status_code == 204
        assert (await rig.ask("GET", path)).status_code == 404

    tried(test)


def test_documentation_is_made_of_the_definition_and_shows_strangers_texts_as_texts(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH], resources=[READ_ME], prompts=[GREET])
        found = await rig.listed()
        answer = await rig.ask("GET", f"/{found['search']['id']}/documentation")
        assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
        page = answer.text
        assert "# search" in page
        assert "| `query` | `string` | yes | What to look for; minLength `2` |" in page
        assert "| `filters[].field` | `string` | no |  |" in page
        assert "changes nothing: yes" in page
        assert r"\| \<b\>quickly\</b\>" in page
        assert '"query": "…"' in page
        assert "| `who` | yes |  |" in (await rig.ask("GET", f"/{found['greet']['id']}/documentation")).text
        assert "`text/plain`" in (await rig.ask("GET", f"/{found['file:///readme']['id']}/documentation")).text

    tried(test)


def test_arguments_are_checked_against_the_schema_without_a_call(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        elsewhere = {**FETCH, "inputSchema": {"$ref": "http://127.0.0.1:9/schema"}}
        await rig.seen(tools=[SEARCH, elsewhere], prompts=[GREET])
        found = await rig.listed()
        path = f"/{found['search']['id']}/validate"
        assert (await rig.ask("POST", path, json={"arguments": {"query": "abc"}})).json() == {
            "valid": True,
            "errors": [],
        }
        wrong = (await rig.ask("POST", path, json={"arguments": {"query": "SEKRET", "limit": "SEKRET"}})).json()
        assert [one["at"] for one in wrong["errors"]] == ["arguments.limit"]
        assert "SEKRET" not in str(wrong)
        fetched = await rig.ask("POST", f"/{found['fetch']['id']}/validate", json={"arguments": {}})
        assert (fetched.status_code, fetched.json()["code"]) == (422, "schema_unusable")
        prompt = await rig.ask("POST", f"/{found['greet']['id']}/validate", json={"arguments": {}})
        assert prompt.json()["code"] == "no_arguments"

    tried(test)


def test_what_is_said_of_tools_is_exported_and_imported(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH, FETCH])
        tool_id = (await rig.listed())["search"]["id"]
        await rig.ask("PATCH", f"/{tool_id}", json={"tags": ["a"], "category": "web", "config_data": {"k": 1}})
        exported = (await rig.ask("GET", "/export")).json()
        assert [one["name"] for one in exported["tools"]] == ["search"]
        await rig.seen("acme.docs", tools=[SEARCH])
        exported["tools"].append({**exported["tools"][0], "name": "unknown"})
        done = (await rig.ask("POST", "/import", who="us_acme", json=exported)).json()
        assert [one["ok"] for one in done["results"]] == [True, False]
        theirs = (await rig.listed("us_acme"))["search"]
        assert (theirs["tags"], theirs["category"], theirs["config_data"]) == (["a"], "web", {"k": 1})

    tried(test)


def test_a_refresh_has_gateways_look_again(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        one = (await rig.ask("POST", "/refresh", json={"upstreams": ["docs"]})).json()
        assert [made["item"]["upstream"] for made in one["results"]] == ["docs"]
        assert (await rig.ask("POST", "/refresh", json={})).json()["succeeded"] == 2
        assert (await rig.ask("POST", "/refresh", json={"upstreams": ["unknown"]})).status_code == 404
        async with rig.api.works.read(PLATFORM) as work:
            specs = {one.spec.id: one.spec for one in await upstream_specs(work, rig.vault)}
        assert [specs[name].restart_generation for name in ("docs", "other", "acme.docs")] == [2, 1, 0]

    tried(test)


def test_observations_that_make_no_sense_are_taken_as_far_as_they_do(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        async with rig.api.works.write(PLATFORM) as work:
            for wrong in ({}, {"upstream": 7}, {"upstream": "unknown"}, {"upstream": "docs", "tools": 7}):
                await record_observation(work, wrong)
        odd = {"name": "nul\x00\ud83d\ude00", "description": 7, "title": ["x"], "annotations": 7, "inputSchema": "x"}
        long = {"uri": "x:" + "y" * 9000, "name": "long"}
        await rig.seen(tools=[odd, {"name": 7}, {}, SEARCH, SEARCH], resources=[long])
        found = await rig.listed(kind="tool")
        assert len(found) == 2
        for one in found.values():
            assert (await rig.ask("GET", f"/{one['id']}/documentation")).status_code == 200
            assert (await rig.ask("GET", f"/{one['id']}")).status_code == 200

    tried(test)


def test_the_same_observation_again_changes_nothing(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        await rig.seen(tools=[SEARCH])
        before = await rig.listed()
        await rig.seen(tools=[SEARCH])
        assert await rig.listed() == before

    tried(test)


def test_tools_of_the_files_upstreams_are_steered_in_the_file_and_described_here(tried: Tried) -> None:
    async def test(rig: Rig) -> None:
        async with rig.api.works.write(the_system("default")) as work:
            given = FromFile(UpstreamSpec("files", "mcp-http", url="https://files.example/"), "toolyard.yaml", 7)
            await mirror(work, rig.vault, [given])
        await rig.seen("files", tools=[SEARCH])
        path = f"/{(await rig.listed(upstream='files'))['search']['id']}"
        for said in ({"enabled": False}, {"timeout_s": 3}, {"tags": ["a"]}):
            refused = await rig.ask("PATCH", path, json=said)
            assert (refused.status_code, refused.json()["code"]) == (409, "owned_by_file")
            assert "toolyard.yaml, line 7" in refused.json()["title"]
        assert (await rig.ask("PATCH", path, json={"category": "files"})).status_code == 200

    tried(test)
