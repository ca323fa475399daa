"""What the configuration file describes is shown by the API, with its place, and follows the file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.control.whole import Whole, whole
from toolyard.control.base.vault import Vault
from toolyard.control_file import write_rows
from toolyard.gateway.feed.file import load_all
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing

pytestmark = pytest.mark.slow

FIRST = """\
upstreams:
  docs: {url: "http://127.0.0.1:9/mcp", headers: {Authorization: "Bearer SEKRET-1"}}
  clock: {builtin: demo}
servers:
  lab:
    tools: ["docs/*"]
"""


async def followed(one: Whole, config: Path, text: str) -> None:
    config.write_text(text)
    vault = Vault(KeyRing([KeyEncryptionKey(b"k" * 32)]))
    loaded = load_all(config, environ={}, keys={}, revision=1)
    await write_rows(one.control.works, vault, config, loaded)


async def listed(one: Whole, what: str) -> dict[str, tuple[str, str | None, int | None]]:
    items = (await one.operate("GET", f"/api/v1/{what}"))["items"]
    return {item.get("code") or item["name"]: (item["owner"], item["file"], item["line"]) for item in items}


def test_what_the_file_describes_is_shown_with_its_place_and_goes_with_it(url: URL, tmp_path: Path) -> None:
    config = tmp_path / "toolyard.yaml"

    async def run() -> None:
        async with whole(url, tmp_path / "data") as one:
            await one.operate("POST", "/api/v1/servers", json={"code": "own", "tools": ["*"]})
            await followed(one, config, FIRST)
            where = str(config)
            assert await listed(one, "upstreams") == {"docs": ("file", where, 2), "clock": ("file", where, 3)}
            assert await listed(one, "servers") == {"lab": ("file", where, 5), "own": ("database", None, None)}
            assert "SEKRET" not in (await one.socket.get("/api/v1/upstreams")).text
            await followed(one, config, "upstreams:\n  clock: {builtin: demo}\n")
            assert await listed(one, "upstreams") == {"clock": ("file", where, 2)}
            assert await listed(one, "servers") == {"own": ("database", None, None)}

    asyncio.run(run())


def test_what_the_file_describes_is_changed_only_there(url: URL, tmp_path: Path) -> None:
    config = tmp_path / "toolyard.yaml"

    async def run() -> None:
        async with whole(url, tmp_path / "data") as one:
            await followed(one, config, FIRST)
            for what, change in {"upstreams": {"timeout_s": 5.0}, "servers": {"title": "mine"}}.items():
                item = (await one.operate("GET", f"/api/v1/{what}"))["items"][0]
                refused = await one.socket.patch(f"/api/v1/{what}/{item['id']}", json=change)
                assert (refused.status_code, refused.json()["code"]) == (409, "owned_by_file")
                assert f"{config}, line {item['line']}" in refused.json()["title"]

    asyncio.run(run())
