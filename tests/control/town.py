"""A management API with real logins, and people who use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.engine import URL

from toolyard.control.access.routes import access_slice
from toolyard.control.access.service import OwnAccess
from toolyard.control.app import Parts, create_app
from toolyard.control.base.database import Database
from toolyard.control.base.declared import Slice
from toolyard.control.base.facts import Fact
from toolyard.control.base.gate import Gate
from toolyard.control.base.limits import RequestLimits
from toolyard.control.base.work import Work, Works
from toolyard.control.identity.authenticator import Authenticator
from toolyard.control.identity.entrance import Entrance, LoginRules
from toolyard.control.identity.routes import identity_slice
from toolyard.control.identity.setup import setup_token
from toolyard.control.identity.signing import SigningKeys
from toolyard.kit.clock import ManualClock
from toolyard.kit.passwords import Passwords
from toolyard.policy.peppers import load_peppers

PASSWORD = "four lazy yaks sing"


class Counting(PasswordHash):
    """A cheap hash that counts what it verifies."""

    def __init__(self) -> None:
        super().__init__((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),))
        self.verified = 0

    def verify_and_update(self, password: Any, hash: Any) -> Any:  # noqa: A002  (the library's name)
        self.verified += 1
        return super().verify_and_update(password, hash)


@dataclass(slots=True)
class Town:
    """The application and its parts. `ask` asks as somebody with an access token."""

    works: Works
    clock: ManualClock
    entrance: Entrance
    hashes: Counting
    http: httpx2.AsyncClient
    socket: httpx2.AsyncClient
    data_dir: Path
    heard: list[Fact] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    registration: bool = False

    async def ask(self, method: str, path: str, who: str = "", **more: Any) -> httpx2.Response:
        """One request; `who` is somebody who has logged in, or nobody."""
        token = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return await self.http.request(method, f"/api/v1{path}", headers={**token, **more.pop("headers", {})}, **more)

    async def made(self, method: str, path: str, who: str, **more: Any) -> Any:
        """What a request that succeeds answers."""
        answer = await self.ask(method, path, who, **more)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def log_in(self, name: str, password: str = PASSWORD, **more: Any) -> httpx2.Response:
        """A login; its tokens are kept."""
        given = {"username": name, "password": password, **more}
        answer = await self.ask("POST", "/auth/login", json=given)
        if answer.status_code == 200:
            self.tokens[name] = answer.json()["access_token"]
            self.refresh_tokens[name] = answer.json()["refresh_token"]
        return answer

    async def set_up(self) -> None:
        """The first administrator, `root`, with a login."""
        given = {"token": setup_token(self.data_dir), "username": "root", "password": PASSWORD}
        assert (await self.ask("POST", "/auth/setup", json=given)).status_code == 201
        assert (await self.log_in("root")).status_code == 200

    async def person(self, name: str, *roles: str, by: str = "root", organization: str = "default") -> str:
        """Somebody new in an organization, with a login; the id."""
        given = {"username": name, "password": PASSWORD, "roles": list(roles)}
        headers = {"toolyard-organization": organization}
        made = await self.made("POST", "/users", by, json=given, headers=headers)
        assert (await self.log_in(name)).status_code == 200
        return str(made["id"])

    async def organization(self, slug: str) -> str:
        """A new organization; the id."""
        made = await self.made("POST", "/organizations", "root", json={"slug": slug, "name": slug})
        return str(made["id"])


@asynccontextmanager
async def town(url: URL, data_dir: Path, slices: Sequence[Slice] = ()) -> AsyncIterator[Town]:
    """A running application of identity, access and some more slices."""
    database, clock, hashes = Database(url), ManualClock(), Counting()
    works, passwords = Works(database, clock), Passwords(hasher=hashes)
    entrance = Entrance(
        works, passwords, SigningKeys(data_dir, clock), load_peppers(data_dir), OwnAccess(), LoginRules()
    )
    found: list[Town] = []

    async def registration_open(_work: Work) -> bool:
        return found[0].registration

    every = [identity_slice(entrance, data_dir, registration_open), access_slice(), *slices]
    gate = Gate(works, Authenticator(entrance), RequestLimits({}, clock.monotonic))
    app = create_app(Parts(gate, every, {"works": works}))
    relayed = httpx2.ASGITransport(app, raise_app_exceptions=False)
    direct = httpx2.ASGITransport(app, raise_app_exceptions=False, client=None)  # type: ignore[arg-type]
    try:
        async with (
            httpx2.AsyncClient(transport=relayed, base_url="http://127.0.0.1:8080") as http,
            httpx2.AsyncClient(transport=direct, base_url="http://127.0.0.1") as socket,
        ):
            made = Town(works, clock, entrance, hashes, http, socket, data_dir)
            found.append(made)
            works.listen(made.heard.extend)
            yield made
    finally:
        passwords.close()
        await database.aclose()


async def in_town(url: URL, data_dir: Path, test: Callable[[Town], Awaitable[None]]) -> None:
    """Run a test in a town that has its first administrator."""
    async with town(url, data_dir) as made:
        await made.set_up()
        await test(made)
