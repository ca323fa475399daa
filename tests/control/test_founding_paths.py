"""The founding documents' own calls, as written, through the composed control plane."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute
from sqlalchemy.engine import URL

from tests.control.test_tools import record
from tests.control.whole import Whole, whole
from toolyard.contract.founding_paths import FOUNDING_PATHS
from toolyard.control.base.caller import the_system
from toolyard.control.tools.observing import record_observation

pytestmark = pytest.mark.slow

PASSWORD = "four lazy yaks sing"
SEARCH = {"name": "search", "description": "Finds documents.", "inputSchema": {"type": "object"}}
FETCH = {"name": "fetch", "inputSchema": {"type": "object"}}


class Desk:
    """Administrator and others at the API; each by name."""

    def __init__(self, one: Whole) -> None:
        self.one = one
        self.tokens: dict[str, str] = {}

    async def ask(self, method: str, path: str, who: str = "", **more: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return await self.one.http.request(method, path, headers=headers, **more)

    async def done(self, method: str, path: str, who: str = "root", **more: Any) -> Any:
        """The data of an answer in the founding shape."""
        answer = await self.ask(method, path, who, **more)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["success"] is True
        assert body["message"]
        return body["data"]

    async def arrive(self, name: str) -> None:
        answer = await self.ask("POST", "/api/v1/auth/login", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        self.tokens[name] = answer.json()["access_token"]

    async def offered(self) -> dict[str, Any]:
        """An upstream that a gateway has seen; its tools by their names."""
        await self.done("POST", "/services", json={"name": "docs", "url": "https://example.com/mcp"})
        async with self.one.control.works.write(the_system("")) as work:
            await record_observation(work, record("docs", tools=[SEARCH, FETCH]))
        return {tool["tool_name"]: tool for tool in await self.done("GET", "/tools")}


def tried(url: URL, tmp_path: Path, test: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        async with whole(url, tmp_path / "data") as one:
            desk = Desk(one)
            path = await one.control.set_up()
            assert path is not None
            made = {"token": path.partition("token=")[2], "username": "root", "password": PASSWORD}
            answer = await desk.ask("POST", "/api/v1/auth/setup", json=made)
            assert answer.status_code == 201, answer.text
            await desk.arrive("root")
            await test(desk)

    asyncio.run(run())


def test_groups_are_listed_made_changed_and_removed(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        made = await desk.done("POST", "/groups", json={"name": "Customer service", "description": "For them"})
        assert made.pop("api_key").startswith("mcp_key_")
        assert (made["name"], made["code"]) == ("Customer service", "customer-service")
        assert await desk.done("GET", "/groups") == [made]
        assert await desk.done("GET", f"/groups/{made['id']}") == made
        told = await desk.done("GET", f"/groups/{made['id']}/server-url")
        assert told == {"server_url": "http://toolyard.test/mcp/customer-service"}
        changed = await desk.done("PUT", f"/groups/{made['id']}", json={"name": "Service", "enabled": False})
        assert (changed["name"], changed["enabled"], changed["description"]) == ("Service", False, "For them")
        await desk.done("DELETE", f"/groups/{made['id']}")
        assert (await desk.ask("GET", f"/groups/{made['id']}", "root")).status_code == 404

    tried(url, tmp_path, test)


def test_a_group_has_a_code_whatever_it_is_called(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        codes = [
            (await desk.done("POST", "/groups", json={"name": name}))["code"]
            for name in ("客服", "default", "A b", "a.b")
        ]
        assert re.fullmatch(r"group-[0-9a-f]{8}", codes[0])
        assert re.fullmatch(r"default-[0-9a-f]{8}", codes[1])
        assert codes[2] == "a-b"
        assert re.fullmatch(r"a-b-[0-9a-f]{8}", codes[3])
        again = await desk.ask("POST", "/groups", "root", json={"name": "A b"})
        assert (again.status_code, again.json()["code"]) == (409, "server_taken")

    tried(url, tmp_path, test)


def test_a_groups_key_is_shown_where_that_is_switched_on_and_says_so_elsewhere(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        group = (await desk.done("POST", "/groups", json={"name": "early"}))["id"]
        refused = await desk.ask("GET", f"/groups/{group}/api-key", "root")
        assert (refused.status_code, refused.json()["code"]) == (403, "reveal_disabled")
        on = await desk.ask("PUT", "/api/v1/platform/settings/reveal_keys", "root", json={"value": True})
        assert on.status_code == 200
        proof = await desk.ask("POST", "/api/v1/auth/confirm-password", "root", json={"password": PASSWORD})
        assert proof.status_code == 200
        made = await desk.done("POST", "/groups", json={"name": "late"})
        shown = await desk.done("GET", f"/groups/{made['id']}/api-key")
        assert shown == {"api_key": made["api_key"]}
        assert (await desk.ask("GET", "/groups/sv_nobody/api-key", "root")).status_code == 404

    tried(url, tmp_path, test)


def test_a_regenerated_key_takes_the_place_of_the_old_one_at_once(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        made = await desk.done("POST", "/groups", json={"name": "g"})
        fresh = await desk.done("POST", f"/groups/{made['id']}/regenerate-key")
        assert fresh["api_key"] != made["api_key"]
        keys = (await desk.ask("GET", f"/api/v1/servers/{made['id']}/keys", "root")).json()["items"]
        assert sorted(key["state"] for key in keys) == ["active", "retired"]
        by_id = {key["id"]: key["state"] for key in keys}
        assert by_id[fresh["api_key"].split("_")[2]] == "active"

    tried(url, tmp_path, test)


def test_services_are_added_and_listed_under_all_their_names(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        wanted = {"name": "My Docs", "url": "https://example.com/mcp", "headers": {"Authorization": "Bearer x"}}
        made = await desk.done("POST", "/services", json=wanted)
        assert (made["name"], made["status"], made["kind"]) == ("my-docs", "pending", "mcp-http")
        for path in ("/services", "/api/v1/mcp/services", "/api/v1/mcps"):
            assert await desk.done("GET", path) == [made]
        nothing = await desk.ask("POST", "/services", "root", json={"name": "x"})
        assert (nothing.status_code, nothing.json()["code"]) == (422, "invalid")

    tried(url, tmp_path, test)


def test_tools_are_listed_whole_and_by_group_and_change_at_once(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        tools = await desk.offered()
        assert set(tools) == {"search", "fetch"}
        group = (await desk.done("POST", "/groups", json={"name": "g"}))["id"]
        assert await desk.done("GET", f"/tools?group_id={group}") == []
        update = {
            "group_id": group, "enabled": True, "timeout_seconds": 5, "description": "Look it up",
            "config_data": {"index": "main"},
        }  # fmt: skip
        answer = await desk.ask("PUT", f"/tools/{tools['search']['id']}", "root", json=update)
        body = answer.json()
        assert (answer.status_code, body["success"], body["effective_immediately"]) == (200, True, True)
        assert (body["data"]["timeout_seconds"], body["data"]["config_data"]) == (5, {"index": "main"})
        (shown,) = await desk.done("GET", f"/tools?group_id={group}")
        assert (shown["tool_name"], shown["group_id"]) == ("search", group)
        clients_see = (await desk.ask("GET", f"/api/v1/servers/{group}/tools", "root")).json()["items"]
        assert [tool["description"] for tool in clients_see] == ["Look it up"]

    tried(url, tmp_path, test)


def test_a_refresh_has_every_upstream_looked_at(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        await desk.offered()
        done = await desk.done("POST", "/tools/refresh")
        assert [one["item"]["upstream"] for one in done["results"]] == ["docs"]

    tried(url, tmp_path, test)


def test_the_server_says_how_it_does_and_what_speaks_mcp(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        await desk.offered()
        status = await desk.done("GET", "/server/status")
        assert status == {
            "status": "no_gateway",
            "groups": {"total": 0, "enabled": 0},
            "tools": {"total": 2, "enabled": 2},
            "services": {"total": 1, "enabled": 1},
        }
        info = await desk.done("GET", "/mcp/server/info")
        assert info["url"] == "http://toolyard.test/mcp"
        assert "2026-07-28" in info["protocol_versions"]

    tried(url, tmp_path, test)


def test_the_configuration_is_read_and_changed(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        assert (await desk.done("GET", "/api/config"))["default_timeout_seconds"] == 15.0
        changed = await desk.done("PUT", "/api/config", json={"default_timeout_seconds": 20})
        assert changed == {"default_timeout_seconds": 20.0}
        assert (await desk.done("GET", "/api/config"))["default_timeout_seconds"] == 20.0

    tried(url, tmp_path, test)


def test_an_account_is_made_by_its_owner_who_logs_in_and_uses_the_token(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        await desk.ask("PUT", "/api/v1/platform/settings/registration", "root", json={"value": True})
        wanted = {"username": "developer", "email": "dev@example.com", "password": PASSWORD}
        assert (await desk.ask("POST", "/api/v1/auth/register", json=wanted)).status_code == 201
        await desk.arrive("developer")
        assert (await desk.ask("GET", "/api/v1/auth/me", "developer")).json()["username"] == "developer"
        assert (await desk.ask("GET", "/api/v1/tools", "developer")).status_code == 200
        # What they may not see they may not see by another name either.
        assert (await desk.ask("GET", "/api/v1/mcps", "developer")).status_code == 403
        assert (await desk.ask("POST", "/groups", "developer", json={"name": "x"})).status_code == 403
        assert (await desk.ask("GET", "/api/v1/mcps")).status_code == 401

    tried(url, tmp_path, test)


def test_the_documents_are_where_they_were(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        for path in ("/docs", "/redoc", "/api/docs", "/api/redoc"):
            assert (await desk.ask("GET", path)).status_code == 200

    tried(url, tmp_path, test)


def test_a_file_is_uploaded(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        files = {"file": ("a.txt", b"hello", "text/plain")}
        answer = await desk.ask("POST", "/api/v1/system/upload", "root", files=files)
        assert (answer.status_code, answer.json()["size"]) == (201, 5)

    tried(url, tmp_path, test)


def test_every_call_of_the_table_has_its_route_and_there_are_no_others(url: URL, tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        routes = [route for route in desk.one.control.app.routes if isinstance(route, APIRoute)]
        here = {(method, route.path) for route in routes for method in route.methods or ()}
        table = {(method, row.pattern) for row in FOUNDING_PATHS if row.whose == "control" for method in row.methods}
        assert table <= here
        aliases = {(m, r.path) for r in routes if "founding" in r.tags for m in r.methods or ()}
        assert aliases == table

    tried(url, tmp_path, test)


def test_the_other_names_can_be_switched_off(url: URL, tmp_path: Path) -> None:
    async def run() -> None:
        async with whole(url, tmp_path / "data", aliases=False) as one:
            for row in FOUNDING_PATHS:
                if row.whose == "control":
                    assert (await one.socket.request(row.methods[0], row.pattern)).status_code in (404, 405)
            assert (await one.socket.get("/api/v1/servers")).status_code == 200

    asyncio.run(run())
