"""The whole control plane, as it is composed for real, inside the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy.engine import URL

from toolyard.control.base.database import Database
from toolyard.control.base.work import Works
from toolyard.kit.clock import ManualClock
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing
from toolyard.platform_control import Control, Ground, make_control, pieces_of
from toolyard.settings import default_settings

PUBLIC_URL = "http://toolyard.test"
OPERATOR = {"toolyard-operator": "1"}


@dataclass(slots=True)
class Whole:
    """A control plane, somebody who comes through a gateway (`http`) and the operator at its socket (`socket`)."""

    control: Control
    clock: ManualClock
    data_dir: Path
    http: httpx2.AsyncClient
    socket: httpx2.AsyncClient

    async def operate(self, method: str, path: str, **more: Any) -> Any:
        """What the operator's request answers, which has to succeed."""
        answer = await self.socket.request(method, path, **more)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


@asynccontextmanager
async def whole(url: URL, data_dir: Path, *, aliases: bool = True) -> AsyncIterator[Whole]:
    """A control plane on a migrated database. `aliases`: with the founding documents' own paths."""
    data_dir.mkdir(mode=0o700, exist_ok=True)
    clock = ManualClock()
    database = Database(url)
    ring = KeyRing([KeyEncryptionKey(b"k" * 32)])
    settings = default_settings(data_dir)
    settings = replace(settings, control=replace(settings.control, aliases=aliases))
    ground = Ground(Works(database, clock), ring, settings, data_dir, PUBLIC_URL, clock)
    control = make_control(ground, pieces_of(ground))
    relayed = {"toolyard-client-address": "192.0.2.7", "toolyard-client-scheme": "http"}
    try:
        async with (
            httpx2.AsyncClient(transport=_Socket(control.app), base_url=PUBLIC_URL, headers=relayed) as http,
            httpx2.AsyncClient(transport=_Socket(control.app), base_url=PUBLIC_URL, headers=OPERATOR) as socket,
        ):
            yield Whole(control, clock, data_dir, http, socket)
    finally:
        await database.aclose()


class _Socket(httpx2.ASGITransport):
    """The control plane's socket: connections to it have no address."""

    def __init__(self, app: Any) -> None:
        async def without_address(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": None}, receive, send)

        super().__init__(without_address, raise_app_exceptions=False)
