"""From a change in the management API to what gateways are sent, in the control plane as it is composed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.control.whole import Whole, whole
from toolyard.contract.documents import assemble
from toolyard.contract.snapshot import Snapshot
from toolyard.kit.secret import Secret
from toolyard.policy.keys import verify
from toolyard.policy.peppers import load_peppers

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"


def tried(url: URL, tmp_path: Path, test: Callable[[Whole], Awaitable[None]]) -> None:
    async def run() -> None:
        async with whole(url, tmp_path / "data") as here:
            await test(here)

    asyncio.run(run())


async def published(here: Whole) -> Snapshot:
    """What a gateway makes of what is published now."""
    await here.control.publisher.publish(at_once=True)
    current = here.control.publisher.current
    assert current is not None
    documents = {digest: json.loads(text) for digest, text in current.documents.items()}
    return assemble(current.manifest, documents, lambda _place, text: Secret(text))


async def logged_in(here: Whole) -> dict[str, str]:
    """The headers of a platform administrator who has just logged in."""
    link = await here.control.set_up()
    assert link is not None
    token = link.partition("token=")[2]
    admin = {"token": token, "username": "root", "password": PASSWORD}
    assert (await here.http.post("/api/v1/auth/setup", json=admin)).status_code == 201
    login = await here.http.post("/api/v1/auth/login", json={"username": "root", "password": PASSWORD})
    return {"authorization": f"Bearer {login.json()['access_token']}"}


def test_what_is_changed_in_the_api_is_what_gateways_are_sent(url: URL, tmp_path: Path) -> None:
    async def test(here: Whole) -> None:
        upstream = {"name": "docs", "url": "https://docs.example/mcp"}
        await here.operate("POST", "/api/v1/upstreams", json=upstream)
        server = await here.operate("POST", "/api/v1/servers", json={"code": "lab", "tools": ["docs/*"]})
        key = await here.operate("POST", f"/api/v1/servers/{server['id']}/keys", json={"name": "ci"})
        snapshot = await published(here)
        assert snapshot.servers["lab"].tools == ("docs/*",)
        assert snapshot.upstreams["docs"].timeout_s == 15.0
        peppers = load_peppers(here.data_dir)
        assert verify(key["key"], snapshot.keys, peppers, here.clock.wall()) == snapshot.keys[key["id"]]
        changes: list[tuple[str, str, dict[str, Any]]] = [
            ("PATCH", f"/api/v1/servers/{server['id']}", {"enabled": False}),
            ("PATCH", "/api/v1/settings", {"default_timeout_seconds": 4, "tool.docs/search": False}),
            ("POST", f"/api/v1/keys/{key['id']}/revoke", {}),
        ]
        for method, path, body in changes:
            await here.operate(method, path, json=body)
        snapshot = await published(here)
        assert snapshot.servers["lab"].enabled is False
        assert snapshot.servers["lab"].overrides["docs/search"].enabled is False
        assert snapshot.upstreams["docs"].timeout_s == 4.0
        assert snapshot.keys[key["id"]].disabled

    tried(url, tmp_path, test)


def test_a_key_is_shown_again_to_who_confirmed_their_password_and_no_more_after_five_minutes(
    url: URL, tmp_path: Path
) -> None:
    async def test(here: Whole) -> None:
        who = await logged_in(here)
        await here.operate("PATCH", "/api/v1/platform/settings", json={"reveal_keys": True})
        server = await here.operate("POST", "/api/v1/servers", json={"code": "lab"})
        key = await here.operate("POST", f"/api/v1/servers/{server['id']}/keys", json={})
        path = f"/api/v1/keys/{key['id']}/reveal"
        assert (await here.http.post(path, headers=who)).json() == {"id": key["id"], "key": key["key"]}
        here.clock.advance(301)
        late = await here.http.post(path, headers=who)
        assert (late.status_code, late.json()["code"]) == (403, "reauthentication_required")
        proof = {"password": PASSWORD}
        assert (await here.http.post("/api/v1/auth/confirm-password", headers=who, json=proof)).status_code == 200
        again = await here.http.post(path, headers=who)
        assert again.json().get("key") == key["key"], again.text

    tried(url, tmp_path, test)
