"""Virtual servers through the API."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import UniqueConstraint, select
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.contract.snapshot import Override, RateLimit, ServerSpec
from toolyard.control.access.model import RoleRow, TierRow
from toolyard.control.base.caller import Caller, the_system
from toolyard.control.base.facts import Fact
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.model import OrganizationRow
from toolyard.control.servers.events import ServerChanged, ServerCreated, ServerRemoved
from toolyard.control.servers.mirror import FromFile, mirror
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.routes import servers_slice
from toolyard.control.servers.specs import Described, server_specs
from toolyard.control.settings.service import RunTimeSettings
from toolyard.control.tools.model import DefinitionRow, ToolRow
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.policy.permissions import BUILT_IN

PATH = "/api/v1/servers"
SETTINGS = RunTimeSettings()
URL_ = "https://tools.example.com"
OTHER = Caller("us_other", "user", "or_other", BUILT_IN["organization_admin"])
MEMBER = Caller("us_member", "user", "default", BUILT_IN["member"])


def tried(url: URL, test: Callable[[Api], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving(url, [servers_slice(URL_)], OTHER, MEMBER) as api:
            async with api.works.write(the_system("")) as work:
                now = work.now
                work.session.add(OrganizationRow(id="or_other", slug="other", name="O", created_at=now, updated_at=now))
            await test(api)

    asyncio.run(run())


async def made(api: Api, code: str = "lab", **fields: Any) -> dict[str, Any]:
    answer = await api.ask("POST", PATH, json={"code": code, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_server_is_made_with_its_url_and_is_found_again(url: URL) -> None:
    async def test(api: Api) -> None:
        heard: list[Fact] = []
        api.works.listen(heard.extend)
        server = await made(api, tools=["docs/*", "!docs/delete"], per_key={"per_minute": 60})
        assert server["url"] == f"{URL_}/mcp/lab"
        assert (server["title"], server["owner"], server["access"]) == ("lab", "database", "key")
        assert server["per_key"] == {"per_minute": 60, "burst": 60}
        assert (server["created_by"], server["enabled"]) == ("us_admin", True)
        again = await api.ask("GET", f"{PATH}/{server['id']}")
        assert again.json() == server
        assert heard == [ServerCreated(server["id"], "lab")]

    tried(url, test)


def test_the_server_called_default_is_at_mcp_itself_and_is_the_first_organizations(url: URL) -> None:
    async def test(api: Api) -> None:
        assert (await made(api, "default"))["url"] == f"{URL_}/mcp"
        refused = await api.ask("POST", PATH, who="us_other", json={"code": "default"})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")

    tried(url, test)


WRONG: list[dict[str, Any]] = [
    {"code": "server"},
    {"code": "Lab"},
    {"code": "lab", "tools": ["docs"]},
    {"code": "lab", "tools": ["!docs/*"]},
    {"code": "lab", "chosen": ["docs"]},
    {"code": "lab", "access": "open"},
    {"code": "lab", "owner": "file"},
    {"code": "lab", "organization_id": "or_other"},
    {"code": "lab", "overrides": {"docs/a": {"name": "a b"}}},
    {"code": "lab", "title": "a\u0000b"},
    {"code": "lab", "per_key": {"per_minute": 0}},
    {"code": "lab", "roles": ["nobodys"]},
    {"code": "lab", "tiers": ["gold"]},
]


def test_a_server_that_cannot_be_is_refused_with_the_reason(url: URL) -> None:
    async def test(api: Api) -> None:
        for fields in WRONG:
            assert (await api.ask("POST", PATH, json=fields)).status_code == 422, fields
        assert (await api.ask("GET", PATH)).json()["items"] == []

    tried(url, test)


def test_a_server_may_be_for_some_roles_and_tiers_that_the_organization_has(url: URL) -> None:
    async def test(api: Api) -> None:
        async with api.works.write(the_system("default")) as work:
            common = {"organization_id": "default", "created_at": work.now, "updated_at": work.now}
            work.session.add(TierRow(id="ti_gold", name="gold", **common))
            work.session.add(RoleRow(id="ro_own", name="analyst", **common))
        people = {"roles": ["analyst", "viewer"], "tiers": ["gold"]}
        await made(api, **people)
        spec = (await specs(api))["lab"].spec
        assert (spec.roles, spec.tiers) == (("analyst", "viewer"), ("gold",))
        refused = await api.ask("POST", PATH, who="us_other", json={"code": "theirs", **people})
        assert (refused.status_code, refused.json()["code"]) == (422, "role_or_tier_unknown")

    tried(url, test)


def test_titles_are_unique_and_what_lists_are_filtered_by_has_an_index() -> None:
    table = ServerRow.__table__
    assert {"ix_servers_enabled", "ix_servers_created_by"} <= {str(one.name) for one in table.indexes}
    assert ("organization_id", "title") in {
        tuple(column.name for column in one.columns) for one in table.constraints if isinstance(one, UniqueConstraint)
    }


def test_a_code_is_taken_on_the_whole_platform_and_a_title_in_its_organization(url: URL) -> None:
    async def test(api: Api) -> None:
        await made(api, "lab", title="Lab")
        for who, body in (("us_other", {"code": "lab"}), ("us_admin", {"code": "other", "title": "Lab"})):
            refused = await api.ask("POST", PATH, who=who, json=body)
            assert (refused.status_code, refused.json()["code"]) == (409, "server_taken")
        assert (await api.ask("POST", PATH, who="us_other", json={"code": "x", "title": "Lab"})).status_code == 201

    tried(url, test)


def test_what_belongs_to_another_organization_is_as_if_it_were_not_there(url: URL) -> None:
    async def test(api: Api) -> None:
        server = await made(api)
        assert (await api.ask("GET", PATH, who="us_other")).json()["items"] == []
        for method, more in (("GET", {}), ("PATCH", {"json": {"title": "x"}}), ("DELETE", {})):
            theirs = await api.ask(method, f"{PATH}/{server['id']}", who="us_other", **more)
            unknown = await api.ask(method, f"{PATH}/sv_unknown", who="us_other", **more)
            assert (theirs.status_code, theirs.json()) == (unknown.status_code, unknown.json())
            assert theirs.json()["code"] == "server_not_found"
        everything = {"operation": "delete", "ids": [server["id"]]}
        assert (await api.ask("POST", f"{PATH}/bulk", who="us_other", json=everything)).json()["failed"] == 1
        assert (await api.ask("GET", f"{PATH}/{server['id']}")).status_code == 200

    tried(url, test)


def test_a_member_sees_servers_and_changes_none(url: URL) -> None:
    async def test(api: Api) -> None:
        server = await made(api)
        assert (await api.ask("GET", PATH, who="us_member")).json()["items"] == [server]
        for method, path in (("POST", PATH), ("PATCH", f"{PATH}/{server['id']}"), ("DELETE", f"{PATH}/{server['id']}")):
            assert (await api.ask(method, path, who="us_member", json={})).json()["code"] == "forbidden"

    tried(url, test)


def test_a_change_changes_what_it_names_and_says_so(url: URL) -> None:
    async def test(api: Api) -> None:
        heard: list[Fact] = []
        server = await made(api, tools=["docs/*"], instructions="Be kind.", prompts=["docs/*"])
        api.works.listen(heard.extend)
        overrides = {"docs/search": {"name": "find", "annotations": {"readOnlyHint": True}}}
        wanted = {"enabled": False, "instructions": None, "overrides": overrides, "roles": ["developer"]}
        changed = (await api.ask("PATCH", f"{PATH}/{server['id']}", json=wanted)).json()
        assert {**server, **wanted, "updated_at": changed["updated_at"]} == changed
        assert heard == [ServerChanged(server["id"], "lab", ["enabled", "instructions", "overrides", "roles"])]
        await api.ask("PATCH", f"{PATH}/{server['id']}", json=wanted)
        assert len(heard) == 1

    tried(url, test)


UNCHANGEABLE: list[dict[str, Any]] = [{"code": "new"}, {"title": None}, {"enabled": None}, {"created_by": "me"}]


def test_what_cannot_be_changed_is_refused(url: URL) -> None:
    async def test(api: Api) -> None:
        server = await made(api)
        for fields in UNCHANGEABLE:
            assert (await api.ask("PATCH", f"{PATH}/{server['id']}", json=fields)).status_code == 422, fields

    tried(url, test)


def test_nobody_overwrites_a_server_that_was_changed_meanwhile(url: URL) -> None:
    async def test(api: Api) -> None:
        answer = await api.ask("POST", PATH, json={"code": "lab"})
        path, seen = f"{PATH}/{answer.json()['id']}", {"if-match": answer.headers["etag"]}
        first = await api.ask("PATCH", path, json={"title": "A"}, headers=seen)
        assert first.headers["etag"] != answer.headers["etag"]
        for method in ("PATCH", "DELETE"):
            late = await api.ask(method, path, json={"title": "B"}, headers=seen)
            assert (late.status_code, late.json()["code"]) == (412, "version_outdated")

    tried(url, test)


def test_a_removed_server_is_gone_and_its_code_is_free(url: URL) -> None:
    async def test(api: Api) -> None:
        heard: list[Fact] = []
        server = await made(api)
        api.works.listen(heard.extend)
        assert (await api.ask("DELETE", f"{PATH}/{server['id']}")).status_code == 204
        assert (await api.ask("GET", f"{PATH}/{server['id']}")).status_code == 404
        assert heard == [ServerRemoved(server["id"], "lab")]
        await made(api)

    tried(url, test)


def test_several_servers_are_switched_off_and_each_has_its_result(url: URL) -> None:
    async def test(api: Api) -> None:
        ids = [(await made(api, code))["id"] for code in ("a", "b")]
        wanted = {"operation": "disable", "ids": [ids[0], "sv_unknown", ids[1]]}
        result = (await api.ask("POST", f"{PATH}/bulk", json=wanted)).json()
        assert [one["ok"] for one in result["results"]] == [True, False, True]
        assert result["results"][1]["problem"]["code"] == "server_not_found"
        assert (await api.ask("GET", PATH, params={"enabled": True})).json()["items"] == []
        assert (await api.ask("POST", f"{PATH}/bulk", json={**wanted, "ids": ids * 2})).status_code == 422

    tried(url, test)


def test_servers_are_found_by_text_and_code_and_ordered(url: URL) -> None:
    async def test(api: Api) -> None:
        for code, title in (("a", "Zebra"), ("b", "Apple"), ("c", "Mango")):
            await made(api, code, title=title)

        async def codes(**params: Any) -> list[str]:
            return [one["code"] for one in (await api.ask("GET", PATH, params=params)).json()["items"]]

        assert await codes(sort="title") == ["b", "c", "a"]
        assert await codes(sort="-code") == ["c", "b", "a"]
        assert await codes(q="ang") == ["c"]
        assert await codes(code="b") == ["b"]
        assert (await api.ask("GET", PATH, params={"colour": "red"})).status_code == 422

    tried(url, test)


def test_there_is_something_to_copy_for_every_client(url: URL) -> None:
    async def test(api: Api) -> None:
        server = await made(api)
        found = (await api.ask("GET", f"{PATH}/{server['id']}/connection", params={"name": "tools"})).json()
        assert found["header"] == "Authorization: Bearer YOUR-KEY"
        assert found["addresses"] == {
            "streamable_http": f"{URL_}/mcp/lab",
            "sse": f"{URL_}/sse/lab",
            "websocket": "wss://tools.example.com/ws/mcp/lab",
            "stdio": ["toolyard", "stdio", "--server", "lab"],
        }
        texts = {one["client"]: one["text"] for one in found["clients"]}
        headers = {"Authorization": "Bearer YOUR-KEY"}
        assert json.loads(texts["cursor"]) == {"mcpServers": {"tools": {"url": f"{URL_}/mcp/lab", "headers": headers}}}
        vscode = {"type": "http", "url": f"{URL_}/mcp/lab", "headers": headers}
        assert json.loads(texts["vscode"]) == {"servers": {"tools": vscode}}
        assert json.loads(texts["claude-desktop"])["mcpServers"]["tools"] == {
            "command": "toolyard",
            "args": ["stdio", "--server", "lab"],
            "env": {"TOOLYARD_URL": URL_, "TOOLYARD_KEY": "YOUR-KEY"},
        }
        lines = {one["client"]: shlex.split(one["line"]) for one in found["commands"]}
        assert lines["claude-code"] == [
            "claude", "mcp", "add", "--transport", "http", "tools", f"{URL_}/mcp/lab",
            "--header", "Authorization: Bearer YOUR-KEY",
        ]  # fmt: skip
        assert json.loads(lines["vscode"][2]) == {"name": "tools", **vscode}
        assert (await api.ask("GET", f"{PATH}/{server['id']}/connection", who="us_other")).status_code == 404

    tried(url, test)


def seen(work: Work, upstream: str, kind: str, name: str, **fields: Any) -> None:
    content = {"name": name, "description": f"What {name} does.", "inputSchema": {"type": "object"}}
    digest = f"{kind}-{upstream}-{name}"
    common = {"organization_id": work.organization_id, "created_at": work.now, "updated_at": work.now}
    work.session.add(DefinitionRow(id=new_id("de"), digest=digest, kind=kind, content=content, **common))
    work.session.add(
        ToolRow(
            id=new_id("to"), upstream_id=f"up_{upstream}", kind=kind, name=name, key=digest, label=name,
            digest=digest, first_seen_at=work.now, changed_at=work.now, **common, **fields,
        )
    )  # fmt: skip


async def with_upstreams(api: Api) -> None:
    async with api.works.write(the_system("default")) as work:
        common = {"organization_id": "default", "created_at": work.now, "updated_at": work.now}
        for name, timeout_s in (("docs", 9), ("web", 9), ("fresh", None)):
            url = f"http://127.0.0.1:9/{name}"
            row = UpstreamRow(id=f"up_{name}", name=name, kind="mcp-http", url=url, timeout_s=timeout_s, **common)
            work.session.add(row)
        await work.session.flush()
        for name in ("search", "delete", "read"):
            seen(work, "docs", "tool", name)
        seen(work, "docs", "tool", "lost", gone_at=work.now)
        seen(work, "docs", "prompt", "ask")
        seen(work, "web", "tool", "fetch", tags=",safe,", timeout_s=3)
        seen(work, "web", "tool", "post", enabled=False)


async def offered(api: Api, server: dict[str, Any], **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await api.ask("GET", f"{PATH}/{server['id']}/tools", params=params)).json()
    return found


def test_the_tools_of_a_server_are_those_that_its_clients_see(url: URL) -> None:
    async def test(api: Api) -> None:
        await with_upstreams(api)
        overrides = {"docs/search": {"name": "find", "description": "Finds."}, "docs/read": {"enabled": False}}
        server = await made(
            api, tools=["docs/*", "!docs/delete", "tag:safe", "gone/*", "fresh/*"],
            chosen=["web/post", "web/never"], overrides=overrides,
        )  # fmt: skip
        found = await offered(api, server)
        assert [(one["name"], one["upstream"], one["tool"], one["timeout_s"]) for one in found["items"]] == [
            ("find", "docs", "search", 9.0),
            ("web__fetch", "web", "fetch", 3.0),
        ]
        assert found["items"][0]["description"] == "Finds."
        assert found["items"][0]["input_schema"] == {"type": "object"}
        assert found["switched_off"] == ["docs__read", "web__post"]
        assert found["missing"] == ["gone/*", "web/never"]
        assert found["unseen"] == ["fresh"]
        assert (found["total"], found["prompts"], found["resources"]) == (2, 1, 0)

    tried(url, test)


def test_the_tools_of_a_server_come_in_pages_and_are_found_by_text(url: URL) -> None:
    async def test(api: Api) -> None:
        await with_upstreams(api)
        server = await made(api, tools=["*"], names="plain")
        names, cursor = [], None
        while True:
            page = await offered(api, server, limit=2, **({"cursor": cursor} if cursor else {}))
            names += [one["name"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert names == ["delete", "fetch", "read", "search"]
        assert [one["name"] for one in (await offered(api, server, q="WHAT SEARCH"))["items"]] == ["search"]

    tried(url, test)


def test_a_change_of_what_an_upstream_offers_is_seen_at_once(url: URL) -> None:
    async def test(api: Api) -> None:
        await with_upstreams(api)
        server = await made(api, tools=["web/*"])
        assert [one["tool"] for one in (await offered(api, server))["items"]] == ["fetch"]
        api.clock.advance(1)
        async with api.works.write(the_system("default")) as work:
            found = select(ToolRow).where(ToolRow.upstream_id == "up_web")
            for row in (await work.session.execute(found)).scalars():
                row.enabled = not row.enabled
        assert [one["tool"] for one in (await offered(api, server))["items"]] == ["post"]

    tried(url, test)


def test_a_server_offers_nothing_of_another_organization(url: URL) -> None:
    async def test(api: Api) -> None:
        await with_upstreams(api)
        theirs = (await api.ask("POST", PATH, who="us_other", json={"code": "b", "tools": ["*"]})).json()
        found = await api.ask("GET", f"{PATH}/{theirs['id']}/tools", who="us_other")
        assert (found.json()["items"], found.json()["unseen"]) == ([], [])

    tried(url, test)


async def specs(api: Api) -> dict[str, Described]:
    async with api.works.read(the_system("")) as work:
        return {one.spec.code: one for one in await server_specs(work)}


def test_gateways_know_all_that_was_said_of_a_server(url: URL) -> None:
    async def test(api: Api) -> None:
        overrides = {"docs/search": {"name": "find", "timeout_s": 5}}
        await made(
            api, title="Lab", tools=["docs/*", "!docs/delete"], chosen=["web/a[1]*"], prompts=[], resources=["docs/*"],
            overrides=overrides, per_key={"per_minute": 60, "burst": 5}, names="plain", roles=["developer"],
        )  # fmt: skip
        assert (await specs(api))["lab"] == Described(
            ServerSpec(
                code="lab",
                title="Lab",
                tools=("docs/*", "!docs/delete", "web/a[[]1][*]"),
                names="plain",
                organization="default",
                overrides={"docs/search": Override(name="find", timeout_s=5)},
                prompts=(),
                resources=("docs/*",),
                roles=("developer",),
                per_key=RateLimit(60, 5),
            ),
            "database",
        )

    tried(url, test)


def test_a_tool_that_is_switched_off_is_off_at_every_server_of_the_organization(url: URL) -> None:
    async def test(api: Api) -> None:
        await made(api, "a", tools=["*"], overrides={"docs/search": {"title": "Find"}})
        await api.ask("POST", PATH, who="us_other", json={"code": "b", "tools": ["*"]})
        async with api.works.write(the_system("default")) as work:
            await SETTINGS.put(work, "organization", {"tool.docs/search": False})
            await SETTINGS.put(work, "platform", {"tool.docs/all": False})
        found = await specs(api)
        assert found["a"].spec.overrides == {
            "docs/all": Override(enabled=False),
            "docs/search": Override(title="Find", enabled=False),
        }
        assert found["b"].spec.overrides == {"docs/all": Override(enabled=False)}

    tried(url, test)


def test_the_servers_of_a_disabled_organization_are_off(url: URL) -> None:
    async def test(api: Api) -> None:
        await made(api)
        async with api.works.write(the_system("")) as work:
            (await work.session.get_one(OrganizationRow, "default")).enabled = False
        assert (await specs(api))["lab"].spec.enabled is False

    tried(url, test)


def test_what_the_file_describes_can_only_be_changed_there(url: URL) -> None:
    async def test(api: Api) -> None:
        async with api.works.write(the_system("default")) as work:
            row = ServerRow(
                id=new_id("sv"), organization_id="default", code="lab", title="lab", owner="file",
                file="toolyard.yaml", line=7, created_at=work.now, updated_at=work.now,
            )  # fmt: skip
            work.session.add(row)
        for method in ("PATCH", "DELETE"):
            refused = await api.ask(method, f"{PATH}/{row.id}", json={"title": "x"})
            assert (refused.status_code, refused.json()["code"]) == (409, "owned_by_file")
            assert "toolyard.yaml, line 7" in refused.json()["title"]

    tried(url, test)


async def mirrored(api: Api, *specs_: ServerSpec) -> list[str]:
    async with api.works.write(the_system("default")) as work:
        described = [FromFile(spec, "toolyard.yaml", 7 + n) for n, spec in enumerate(specs_)]
        return await mirror(work, described)


def test_what_the_file_describes_is_listed_and_follows_the_file(url: URL) -> None:
    async def test(api: Api) -> None:
        heard: list[Fact] = []
        api.works.listen(heard.extend)
        lab = ServerSpec("lab", tools=("docs/*",), access="open", per_key=RateLimit(60, 5), instructions="Be kind.")
        assert await mirrored(api, lab, ServerSpec("old")) == []
        listed = {one["code"]: one for one in (await api.ask("GET", PATH, params={"owner": "file"})).json()["items"]}
        assert set(listed) == {"lab", "old"}
        assert (listed["lab"]["file"], listed["lab"]["line"], listed["lab"]["access"]) == ("toolyard.yaml", 7, "open")
        assert listed["lab"]["per_key"] == {"per_minute": 60, "burst": 5}
        found = (await specs(api))["lab"]
        assert (replace(found.spec, title=None), found.owner) == (lab, "file")
        heard.clear()
        await mirrored(api, ServerSpec("new"), replace(lab, enabled=False))
        assert [(type(one), one.code) for one in heard] == [  # type: ignore[attr-defined]
            (ServerRemoved, "old"), (ServerCreated, "new"), (ServerChanged, "lab"),
        ]  # fmt: skip
        heard.clear()
        await mirrored(api, replace(lab, enabled=False), ServerSpec("new"))
        assert heard == []

    tried(url, test)


def test_a_server_of_the_database_is_not_taken_away_by_the_file(url: URL) -> None:
    async def test(api: Api) -> None:
        ours = await made(api, "lab", title="Lab")
        theirs = (await api.ask("POST", PATH, who="us_other", json={"code": "theirs"})).json()
        described = [ServerSpec("lab"), ServerSpec("theirs"), ServerSpec("free", title="Lab")]
        assert await mirrored(api, *described) == ["lab", "theirs"]
        assert (await api.ask("GET", f"{PATH}/{ours['id']}")).json() == ours
        assert (await api.ask("GET", f"{PATH}/{theirs['id']}", who="us_other")).json() == theirs
        assert [one["title"] for one in (await api.ask("GET", PATH, params={"code": "free"})).json()["items"]] == [
            "Lab (free)"
        ]

    tried(url, test)
