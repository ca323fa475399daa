"""What other programs wrote down becomes upstreams, each with its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.control.api import Api, serving
from toolyard.control.base.caller import Caller
from toolyard.control.base.vault import Vault
from toolyard.control.importers.routes import importers_slice
from toolyard.control.upstreams.routes import upstreams_slice
from toolyard.control.upstreams.rules import Bounds
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing

pytestmark = pytest.mark.slow

PATH = "/api/v1/import"
DEVELOPER = Caller("us_dev", "user", "default", frozenset({"upstreams.read", "upstreams.write", "credentials.write"}))


def tried(url: URL, test: Callable[[Api], Awaitable[None]]) -> None:
    async def run() -> None:
        vault = Vault(KeyRing([KeyEncryptionKey(b"k" * 32)]))
        slices = [upstreams_slice(vault, Bounds()), importers_slice(vault, Bounds())]
        async with serving(url, slices, DEVELOPER) as api:
            await test(api)

    asyncio.run(run())


async def taken(api: Api, document: dict[str, Any], who: str = "us_admin", **more: Any) -> dict[str, Any]:
    answer = await api.ask("POST", PATH, who=who, json={"document": document, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def names(api: Api) -> list[str]:
    return [one["name"] for one in (await api.ask("GET", "/api/v1/upstreams")).json()["items"]]


def test_the_servers_of_a_client_are_registered_and_each_has_its_result(url: URL) -> None:
    async def test(api: Api) -> None:
        document = {
            "mcpServers": {
                "My Docs": {"url": "https://example.com/mcp", "headers": {"X-Number": 5}},
                "events": {"url": "https://example.com/sse", "type": "sse", "disabled": True, "timeout": 5000},
                "nothing": {"title": "x"},
                "wrong": {"url": "nonsense"},
            }
        }
        done = await taken(api, document)
        assert (done["succeeded"], done["failed"]) == (2, 2)
        docs, events = (one["item"]["upstream"] for one in done["results"][:2])
        assert (docs["name"], docs["kind"]) == ("my-docs", "mcp-http")
        assert (events["kind"], events["enabled"], events["timeout_s"]) == ("mcp-sse", False, 5)
        assert [one["problem"]["code"] for one in done["results"][2:]] == ["invalid", "invalid"]
        again = await taken(api, document)
        assert [one["problem"]["code"] for one in again["results"][:2]] == ["name_taken", "name_taken"]
        assert sorted(await names(api)) == ["events", "my-docs"]

    tried(url, test)


def test_a_program_is_only_taken_in_from_who_may_run_programs(url: URL) -> None:
    async def test(api: Api) -> None:
        document = {"mcpServers": {"files": {"command": "ls", "args": ["-l"]}, "docs": {"url": "https://example.com/"}}}
        refused, good = (await taken(api, document, who="us_dev"))["results"]
        assert (refused["problem"]["code"], good["ok"]) == ("exec_forbidden", True)
        assert await names(api) == ["docs"]
        (made, _) = (await taken(api, document))["results"]
        assert made["item"]["upstream"]["command"] == ["ls", "-l"]
        assert made["item"]["upstream"]["state"] == "unapproved"

    tried(url, test)


def test_inputs_and_variables_get_their_values_from_who_imports_and_are_kept_as_secrets(url: URL) -> None:
    async def test(api: Api) -> None:
        document = {
            "servers": {"hub": {"url": "https://example.com/", "headers": {"Authorization": "Bearer ${input:token}"}}},
            "inputs": [{"id": "token", "type": "promptString", "password": True}],
        }
        (missing,) = (await taken(api, document))["results"]
        assert "'token'" in missing["problem"]["title"]
        (made,) = (await taken(api, document, values={"token": "s3cret"}))["results"]
        assert "s3cret" not in str(made)
        assert made["item"]["upstream"]["headers"]["Authorization"].startswith("secret://")

    tried(url, test)


def test_a_dry_run_tells_what_would_be_and_registers_nothing(url: URL) -> None:
    async def test(api: Api) -> None:
        document = {"mcpServers": {"docs": {"url": "https://example.com/"}, "wrong": {"url": "nonsense"}}}
        good, wrong = (await taken(api, document, dry_run=True))["results"]
        assert (good["item"]["name"], good["item"]["upstream"]) == ("docs", None)
        assert wrong["problem"]["code"] == "invalid"
        assert await names(api) == []
        await taken(api, document)
        assert (await taken(api, document, dry_run=True))["results"][0]["problem"]["code"] == "name_taken"

    tried(url, test)


def test_a_server_json_is_reached_by_url_or_started_from_its_package(url: URL) -> None:
    async def test(api: Api) -> None:
        remote = {
            "name": "io.github.acme/docs", "description": "Documents", "version": "1.0.0",
            "remotes": [{"type": "streamable-http", "url": "https://example.com/mcp"}],
        }  # fmt: skip
        (made,) = (await taken(api, remote))["results"]
        assert (made["item"]["name"], made["item"]["upstream"]["description"]) == ("docs", "Documents")
        package = {
            "registryType": "npm",
            "identifier": "@acme/files",
            "version": "2.1.0",
            "transport": {"type": "stdio"},
        }
        listed = {
            "servers": [
                {"server": {"name": "acme/files", "packages": [package]}},
                {"server": {"name": "acme/none", "packages": []}},
            ]
        }
        files, none = (await taken(api, listed))["results"]
        assert files["item"]["upstream"]["command"] == ["npx", "-y", "@acme/files@2.1.0"]
        assert none["problem"]["code"] == "server_json_unusable"

    tried(url, test)


def test_what_names_no_server_is_refused(url: URL) -> None:
    async def test(api: Api) -> None:
        for document in ({}, {"mcpServers": {}}, {"servers": []}, {"mcpServers": "x"}):
            answer = await api.ask("POST", PATH, json={"document": document})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid")

    tried(url, test)
