"""MCP servers are found where somebody looks who may, and become upstreams if that is wanted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from tests.gateway.rig import running
from toolyard.control.base.caller import Caller
from toolyard.control.base.vault import Vault
from toolyard.control.discovery.routes import discovery_slice
from toolyard.control.discovery.service import Discovery
from toolyard.control.settings.routes import settings_slice
from toolyard.control.settings.service import RunTimeSettings
from toolyard.control.upstreams.routes import upstreams_slice
from toolyard.control.upstreams.rules import Bounds
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing
from toolyard.policy.permissions import ALL

pytestmark = pytest.mark.slow

PATH = "/api/v1/discovery"
DEVELOPER = Caller("us_dev", "user", "default", frozenset({"discovery.run", "upstreams.read"}))
OPERATOR = Caller("operator", "operator", "default", ALL, platform=True)


def tried(url: URL, home: Path, test: Callable[[Api], Awaitable[None]]) -> None:
    async def run() -> None:
        vault, settings = Vault(KeyRing([KeyEncryptionKey(b"k" * 32)])), RunTimeSettings()
        discovery = Discovery(vault, Bounds(), settings, home)
        slices = [upstreams_slice(vault, Bounds()), discovery_slice(discovery), settings_slice(settings)]
        async with serving(url, slices, DEVELOPER, OPERATOR) as api:
            await test(api)

    asyncio.run(run())


async def looked(api: Api, who: str = "us_admin", **wanted: Any) -> dict[str, Any]:
    answer = await api.ask("POST", PATH, who=who, json=wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@asynccontextmanager
async def answering(answer: Callable[[str, str, Any], tuple[str, bytes] | None]) -> AsyncIterator[int]:
    """A server that answers each request with (content type, body), or 404; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.decode().split(" ", 2)
                fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                kind, content = answer(method, path, json.loads(body) if body else None) or ("", b"")
                status = b"200 OK" if kind else b"404 Not Found"
                length = b"" if kind == "text/event-stream" else b"content-length: %d\r\n" % len(content)
                writer.write(b"HTTP/1.1 %s\r\ncontent-type: %s\r\n%s\r\n%s" % (status, kind.encode(), length, content))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def old_server(method: str, path: str, message: Any) -> tuple[str, bytes] | None:
    """A server of an older revision, which answers with an event stream."""
    if (method, path) != ("POST", "/mcp"):
        return None
    if message["method"] != "initialize":
        return "application/json", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'
    info = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "old", "version": "3"}}
    told = json.dumps({"jsonrpc": "2.0", "id": 1, "result": info})
    return "text/event-stream", f"event: message\ndata: {told}\n\n".encode()


def sse_server(method: str, path: str, _message: Any) -> tuple[str, bytes] | None:
    """A server of 2024-11-05."""
    return ("text/event-stream", b"event: endpoint\ndata: /m\n\n") if (method, path) == ("GET", "/sse") else None


def nothing(_method: str, _path: str, _message: Any) -> tuple[str, bytes] | None:
    return "text/html", b"<p>Hello"


def test_servers_of_every_age_are_found_on_loopback_with_their_health(url: URL, tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        async with (
            running() as rig,
            answering(old_server) as old,
            answering(sse_server) as sse,
            answering(nothing) as page,
        ):
            done = await looked(api, loopback=True, ports=[rig.port, old, sse, page])
        assert done["tried"] == 4
        modern, older, oldest = done["found"]
        assert (modern["kind"], modern["revision"], modern["health"]) == ("mcp-http", "2026-07-28", "ready")
        assert modern["url"] == f"http://127.0.0.1:{rig.port}/mcp"
        assert (older["name"], older["version"], older["revision"]) == ("old", "3", "2025-06-18")
        assert (oldest["kind"], oldest["url"]) == ("mcp-sse", f"http://127.0.0.1:{sse}/sse")
        assert done["configured"] == 0
        assert (await api.ask("GET", "/api/v1/upstreams")).json()["items"] == []

    tried(url, tmp_path, test)


def test_what_was_found_becomes_upstreams_if_that_is_wanted(url: URL, tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        async with answering(old_server) as old, answering(sse_server) as sse:
            places = [f"http://127.0.0.1:{old}/mcp", f"127.0.0.1:{sse}"]
            done = await looked(api, hosts=places, configure=True)
            again = await looked(api, hosts=places, configure=True)
        assert done["configured"] == 2
        made = {one["id"]: one for one in (await api.ask("GET", "/api/v1/upstreams")).json()["items"]}
        assert {one["upstream_id"] for one in done["found"]} == set(made)
        assert {one["kind"] for one in made.values()} == {"mcp-http", "mcp-sse"}
        assert {one["not_configured"]["code"] for one in again["found"]} == {"name_taken"}

    tried(url, tmp_path, test)


@pytest.mark.parametrize(
    "wanted",
    [
        {"loopback": True},
        {"hosts": ["127.0.0.1:9"]},
        {"hosts": ["localhost:9"]},
        {"hosts": ["10.0.0.1"]},
        {"hosts": ["http://169.254.169.254/latest"]},
        {"registry": "http://[::1]:9/"},
    ],
)
def test_who_may_not_reach_the_inside_cannot_look_there(url: URL, tmp_path: Path, wanted: dict[str, Any]) -> None:
    async def test(api: Api) -> None:
        answer = await api.ask("POST", PATH, who="us_dev", json=wanted)
        assert (answer.status_code, answer.json()["code"]) == (403, "network_forbidden")

    tried(url, tmp_path, test)


def test_nobody_looks_without_the_permission_or_where_it_is_switched_off(url: URL, tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        assert (await api.ask("POST", PATH, who="us_viewer", json={})).status_code == 403
        files = await api.ask("POST", PATH, json={"clients": True})
        assert (files.status_code, files.json()["code"]) == (403, "forbidden")
        await api.ask("PUT", "/api/v1/settings/discovery", json={"value": False})
        off = await api.ask("POST", PATH, json={})
        assert (off.status_code, off.json()["code"]) == (403, "discovery_off")

    tried(url, tmp_path, test)


def test_the_operator_finds_what_clients_of_this_machine_use(url: URL, tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        async with answering(old_server) as old:
            servers = {
                "here": {"url": f"http://127.0.0.1:{old}/mcp"},
                "secret": {"url": f"http://127.0.0.1:{old}/other", "headers": {"Authorization": "Bearer x"}},
                "gone": {"url": "http://127.0.0.1:9/mcp"},
                "files": {"command": "ls", "args": ["-l"]},
            }
            (tmp_path / ".cursor").mkdir()
            (tmp_path / ".cursor/mcp.json").write_text(json.dumps({"mcpServers": servers}))
            (tmp_path / ".claude.json").write_text("no JSON")
            done = await looked(api, "operator", clients=True, configure=True)
        health = {one["name"]: one["health"] for one in done["found"]}
        assert health == {"here": "ready", "secret": "untried", "gone": "failing", "files": "untried"}
        assert "Bearer" not in json.dumps(done)
        assert done["configured"] == 3
        by_name = {one["name"]: one for one in (await api.ask("GET", "/api/v1/upstreams")).json()["items"]}
        assert by_name["files"]["state"] == "unapproved"
        assert "gone" not in by_name

    tried(url, tmp_path, test)


def test_a_registry_is_read_and_searched(url: URL, tmp_path: Path) -> None:
    asked: list[str] = []

    def registry(_method: str, path: str, _message: Any) -> tuple[str, bytes] | None:
        asked.append(path)
        remote = {"type": "streamable-http", "url": "https://example.com/mcp"}
        listed = [
            {"server": {"name": "io.github.acme/docs", "version": "2", "remotes": [remote]}},
            {"server": {"name": "io.github.acme/none", "packages": []}},
            "nonsense",
        ]
        return "application/json", json.dumps({"servers": listed}).encode()

    async def test(api: Api) -> None:
        async with answering(registry) as port:
            done = await looked(api, registry=f"http://127.0.0.1:{port}", q="acme docs")
        (docs,) = done["found"]
        assert (docs["name"], docs["version"], docs["health"]) == ("docs", "2", "untried")
        assert asked == ["/v0/servers?limit=100&search=acme%20docs"]
        async with answering(nothing) as port:
            answer = await api.ask("POST", PATH, json={"registry": f"http://127.0.0.1:{port}"})
        assert (answer.status_code, answer.json()["code"]) == (422, "registry_unusable")

    tried(url, tmp_path, test)
