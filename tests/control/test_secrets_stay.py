"""What is secret is nowhere to be read: not in answers, logs, facts or files (book SEC-01, SEC-03)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from tests.control.matrix import answer_to, asked
from tests.control.tenants import Tenants, tenants
from toolyard.control.base import migrate

pytestmark = pytest.mark.slow

MARK: Final = "SEKRET"
REVEALS: Final = "/groups/{server_id}/api-key"
"""Shows a key again, which the platform has switched on here."""
URL_OF_MCP: Final = "https://example.com/mcp"


async def _give_secrets(tenants: Tenants) -> list[str]:
    """Secrets in every place that takes them; they, and those that were made and shown once."""
    admin, ids = "admin_a", tenants.ids["A"]

    async def made(method: str, path: str, **given: Any) -> Any:
        return await tenants.made(admin, method, path, json=given)

    await made("PUT", "/credentials/canary", value=f"{MARK}-credential", description="about it")
    headers = {"Authorization": f"Bearer {MARK}-header", "x-other": "secret://canary"}
    upstream = await made("POST", "/upstreams", name="canary", url=URL_OF_MCP, headers=headers)
    ids["upstream_id"] = upstream["id"]
    changed = {"headers": {"Authorization": f"Bearer {MARK}-changed"}}
    await made("PATCH", f"/upstreams/{upstream['id']}", **changed)
    program = {"name": "canary-program", "command": ["python3", "-V"], "env": {"TOKEN": f"{MARK}-variable"}}
    ids["program_id"] = (await tenants.made("platform", "POST", "/upstreams", json=program))["id"]
    tried = await made("POST", "/upstreams/test", name="tried", url=URL_OF_MCP, headers={"x-key": f"{MARK}-tried"})
    ids["try_id"] = tried["id"]
    person = await made("POST", "/users", username="canary", password=f"{MARK} of a person")
    ids["user_id"] = person["id"]
    login = await tenants.plane.http.post(
        "/api/v1/auth/login", json={"username": "canary", "password": f"{MARK} of a person"}
    )
    once = {"idempotency-key": "one"}
    secret = await tenants.made(admin, "POST", f"/service-accounts/{ids['service_id']}/secrets", json={"name": "ci"},
                                headers=once)  # fmt: skip
    key = await tenants.made(
        admin, "POST", f"/servers/{ids['server_id']}/keys", json={}, headers={"idempotency-key": "two"}
    )
    rotated = await made("POST", f"/keys/{key['id']}/rotate")
    shown = [secret["client_secret"], key["key"], rotated["key"]]
    return [MARK, *shown, login.json()["access_token"], login.json()["refresh_token"]]


async def _refused(tenants: Tenants) -> list[str]:
    """What is answered to secrets in requests that cannot be taken."""
    wrong = {"name": "CANARY!", "url": f"https://user:{MARK}@example.com/?token={MARK}", "headers": {"x y": MARK}}
    asked = [
        ("POST", "/upstreams", wrong),
        ("PUT", "/credentials/Not%20A%20Name", {"value": MARK}),
        ("PUT", "/credentials/canary", {"value": {"of": MARK}}),
        ("POST", "/users", {"username": "eve", "password": MARK.lower()[:3], "roles": 3}),
        ("POST", "/auth/login", {"username": "eve", "password": [MARK]}),
        ("POST", "/auth/refresh", {"refresh_token": {"of": MARK}}),
    ]
    answers = [await tenants.ask("admin_a", method, f"/api/v1{path}", json=given) for method, path, given in asked]
    assert all(answer.status_code >= 400 for answer in answers)
    return [answer.text for answer in answers]


def _kept(url: URL) -> str:
    """Everything that is in the database's tables."""
    with migrate.connected(url) as connection:
        if not migrate.sync_url(url).drivername.startswith("sqlite"):
            connection.execute(text("SELECT set_config('toolyard.organization', '*', true)"))
        rows = [connection.execute(table.select()).all() for table in migrate.our_tables()]
    assert sum(len(found) for found in rows) > 50
    return repr(rows)


def test_a_secret_that_was_given_or_shown_once_is_nowhere_to_be_read(
    url: URL, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def test() -> tuple[list[str], str]:
        async with tenants(url, tmp_path / "data", undone=False) as made:
            secrets = await _give_secrets(made)
            read = [one for one in asked() if one.method == "GET" and one.role in ("admin_a", "platform")]
            shown = [one for one in read if one.whose != "B" and one.route != REVEALS]
            answers = [(await answer_to(made, one)).text for one in shown]
            assert len(answers) > 80
            return secrets, "\n".join([*answers, *await _refused(made)])

    secrets, answers = asyncio.run(test())
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret not in answers
        assert secret not in caplog.text
        assert secret not in _kept(url)
        assert secret.encode() not in files
