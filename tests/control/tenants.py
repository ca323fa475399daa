"""Two organizations, A and B, with one object of each kind and somebody of each sort, all made through the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession

from tests.control.whole import OPERATOR, Whole, whole

PASSWORD: Final = "four lazy yaks sing"
ROLES: Final = ("admin_a", "member_a", "viewer_a", "admin_b", "platform", "nobody")
MARKS: Final = {"A": "alpha", "B": "bravo"}
"""What is in the names of all that an organization has."""
_PEOPLE: Final = {
    "admin_a": ("A", "organization_admin"),
    "member_a": ("A", "member"),
    "viewer_a": ("A", "viewer"),
    "admin_b": ("B", "organization_admin"),
}
_TOOL: Final = {"name": "search", "inputSchema": {"type": "object"}}


@dataclass(slots=True)
class Tenants:
    """The control plane with both organizations. `ids`: of each organization's objects, by what routes call them."""

    plane: Whole
    ids: dict[str, dict[str, str]] = field(default_factory=lambda: {"A": {}, "B": {}})
    tokens: dict[str, str] = field(default_factory=dict)

    async def ask(self, role: str, method: str, path: str, **more: Any) -> Any:
        """One request. The platform's administrator works in organization A."""
        address = {"toolyard-client-address": f"192.0.2.{ROLES.index(role) + 1}"}
        headers = {**address, **more.pop("headers", {})}
        if role != "nobody":
            headers["authorization"] = f"Bearer {self.tokens[role]}"
        if role == "platform":
            headers.setdefault("toolyard-organization", self.ids["A"]["organization_id"])
        return await self.plane.http.request(method, path, headers=headers, **more)

    async def made(self, role: str, method: str, path: str, **more: Any) -> Any:
        """What a request that has to succeed answers."""
        answer = await self.ask(role, method, f"/api/v1{path}", **more)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()

    async def log_in(self, role: str, username: str) -> None:
        """Have that role played by somebody."""
        given = {"username": username, "password": PASSWORD}
        answer = await self.plane.http.post("/api/v1/auth/login", json=given)
        assert answer.status_code == 200, answer.text
        self.tokens[role] = answer.json()["access_token"]

    async def people(self) -> None:
        """Both organizations, and everybody with a login."""
        operate = self.plane.operate
        for name, mark in MARKS.items():
            made = await operate("POST", "/api/v1/organizations", json={"slug": mark, "name": mark})
            self.ids[name]["organization_id"] = made["id"]
        for role, (name, held) in _PEOPLE.items():
            given = {"username": f"{MARKS[name]}-{role}", "password": PASSWORD, "roles": [held]}
            headers = {**OPERATOR, "toolyard-organization": MARKS[name]}
            made = await operate("POST", "/api/v1/users", json=given, headers=headers)
            self.ids[name][role] = made["id"]
            await self.log_in(role, given["username"])
        root = {"username": "root", "password": PASSWORD, "platform_admin": True}
        await operate("POST", "/api/v1/platform/users", json=root)
        await self.log_in("platform", "root")
        on = {"reveal_keys": True, "registration": True}
        await operate("PATCH", "/api/v1/platform/settings", json=on)

    async def objects(self, name: str) -> None:
        """One object of each kind in an organization."""
        admin, mark, ids = f"admin_{name.lower()}", MARKS[name], self.ids[name]
        await self._who_may(admin, mark, ids)
        await self._what_is_served(admin, mark, ids)
        upload = {"file": (f"{mark}.txt", b"text", "text/plain")}
        ids["file_id"] = (await self.made(admin, "POST", "/system/upload", files=upload))["id"]
        await self.made(admin, "PUT", f"/settings/service.{mark}", json={"value": True})
        logins = await self.made(admin, "GET", "/auth/logins")
        ids["login_id"] = logins[0]["id"]

    async def _who_may(self, admin: str, mark: str, ids: dict[str, str]) -> None:
        async def make(kind: str, path: str, **given: Any) -> None:
            ids[kind] = (await self.made(admin, "POST", path, json=given))["id"]

        await make("user_id", "/users", username=f"{mark}-ben", password=PASSWORD)
        await make("service_id", "/service-accounts", name=f"{mark}-ci")
        await make("secret_id", f"/service-accounts/{ids['service_id']}/secrets", name=f"{mark}-secret")
        await make("role_id", "/roles", name=f"{mark}-role", permissions=["tools.read"])
        await make("tier_id", "/tiers", name=f"{mark}-tier", per_minute=60)
        await make("grant_id", "/grants", user_id=ids["user_id"], permission="tools.read")

    async def _what_is_served(self, admin: str, mark: str, ids: dict[str, str]) -> None:
        async def make(kind: str, path: str, **given: Any) -> Any:
            made = await self.made(admin, "POST", path, json=given)
            ids[kind] = made["id"]
            return made

        await self.made(admin, "PUT", f"/credentials/{mark}-token", json={"value": f"{mark}-value"})
        ids["name"], ids["upstream"] = f"{mark}-token", f"{mark}-docs"
        ids["reference"] = f"secret://{mark}-token"
        url = "https://example.com/mcp"
        upstream = await make("upstream_id", "/upstreams", name=f"{mark}-docs", url=url)
        program = {"name": f"{mark}-program", "kind": "mcp-stdio", "command": ["python3", "-V"]}
        headers = {**OPERATOR, "toolyard-organization": mark}
        exec_made = await self.plane.operate("POST", "/api/v1/upstreams", json=program, headers=headers)
        ids["program_id"] = exec_made["id"]
        await make("try_id", "/upstreams/test", name=f"{mark}-try", url=url)
        await self._seen(upstream["gateway_id"])
        listed = await self.made(admin, "GET", "/tools")
        ids["tool_id"] = listed["items"][0]["id"]
        await make("server_id", "/servers", code=f"{mark}-desk", title=f"{mark} desk", tools=[f"{mark}-docs/*"])
        await make("key_id", f"/servers/{ids['server_id']}/keys", name=f"{mark}-key")

    async def _seen(self, gateway_id: str) -> None:
        """A gateway tells what an upstream offers."""
        lists: dict[str, list[Any]] = {"tools": [_TOOL], "resources": [], "resource_templates": [], "prompts": []}
        told = {
            "kind": "observation", "at": 1.0, "upstream": gateway_id, "digest": "d", "era": "modern",
            "revision": "2026-07-28", "server_info": {"name": "docs"}, "capabilities": {}, "instructions": "",
            "observed_at": 1.0, "warnings": [], **lists,
        }  # fmt: skip
        answer = await self.plane.socket.post("/internal/v1/records", json=[{**told, "gateway": "gw1"}])
        assert answer.status_code == 204, answer.text


@asynccontextmanager
async def tenants(url: URL, data_dir: Path, *, undone: bool = True) -> AsyncIterator[Tenants]:
    """Both organizations, on a migrated database. `undone`: from here on every request is answered as ever, and leaves
    nothing behind."""
    async with whole(url, data_dir) as plane:
        plane.control.app.state.gate.limits.limits = {}
        made = Tenants(plane)
        await made.people()
        for name in MARKS:
            await made.objects(name)
        if undone:
            _undo_everything(plane)
        yield made


def _undo_everything(plane: Whole) -> None:
    database = plane.control.works.database
    writing = database.writing

    @asynccontextmanager
    async def undone(organization_id: str) -> AsyncIterator[AsyncSession]:
        async with writing(organization_id) as session:

            async def undo() -> None:
                await session.flush()
                session.expunge_all()  # what is answered is read of rows that are as they were written
                await session.rollback()

            session.commit = undo  # type: ignore[method-assign]
            yield session

    database.writing = undone  # type: ignore[method-assign]
