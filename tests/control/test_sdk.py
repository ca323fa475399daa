"""The Python client against the whole control plane."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.control.whole import PUBLIC_URL, whole
from toolyard.sdk import ApiError, AsyncClient, Options, Upload

pytestmark = pytest.mark.slow

PASSWORD = "four lazy yaks sing"


def test_somebody_with_a_password_manages_upstreams_servers_and_keys(url: URL, tmp_path: Path) -> None:
    async def run() -> None:
        async with whole(url, tmp_path / "data") as plane:
            options = Options(transport=plane.http._transport)
            admin = {"username": "ana", "password": PASSWORD, "platform_admin": True}
            await plane.operate("POST", "/api/v1/platform/users", json=admin)
            asking = AsyncClient(PUBLIC_URL, username="ana", password=PASSWORD, organization="default", options=options)
            for number in range(3):
                await asking.upstreams.create({"name": f"docs{number}", "url": "http://127.0.0.1:9/mcp"})
            assert [one["name"] async for one in asking.upstreams.all(limit=2)] == ["docs0", "docs1", "docs2"]
            server = await asking.servers.create({"code": "lab", "tools": ["docs0/*"]})
            key = await asking.keys.create(server["id"], {"name": "ci"})
            assert key["key"].startswith("mcp_key_")
            assert (await asking.keys.revoke(key["id"]))["state"] == "revoked"
            read = await asking.call("servers_get", path={"server_id": server["id"]})
            await asking.servers.update(server["id"], {"title": "Lab"}, if_match=read.etag)
            with pytest.raises(ApiError) as refused:
                await asking.servers.update(server["id"], {"title": "Labor"}, if_match=read.etag)
            assert refused.value.status == 412
            kept = await asking.files.upload(Upload("a.txt", b"abc", "text/plain"))
            assert await asking.files.download(kept["id"]) == b"abc"
            assert (await asking.auth.me())["username"] == "ana"

    asyncio.run(run())
