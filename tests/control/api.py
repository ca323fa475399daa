"""A management API inside the test's own loop, and somebody who asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from sqlalchemy.engine import URL

from toolyard.control.app import Parts, create_app
from toolyard.control.base.caller import NOBODY, Caller
from toolyard.control.base.database import Database
from toolyard.control.base.declaration import Declared, LimitClass
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import Gate
from toolyard.control.base.limits import DEFAULT_LIMITS, ClassLimit, RequestLimits
from toolyard.control.base.work import Works
from toolyard.kit.clock import ManualClock
from toolyard.policy.permissions import ALL


class KnownCallers:
    """Takes the caller that a header names, for tests of everything but logins."""

    def __init__(self, *callers: Caller) -> None:
        self.callers = {one.id: one for one in callers}

    async def caller(self, request: Request, declared: Declared) -> Caller:
        return self.callers.get(request.headers.get("x-test-caller", ""), NOBODY)

    def csrf_holds(self, request: Request, caller: Caller) -> bool:
        return request.headers.get("toolyard-csrf") == "good"


ADMIN = Caller("us_admin", "user", "default", ALL, platform=True, name="admin")
VIEWER = Caller("us_viewer", "user", "default", frozenset({"upstreams.read"}), name="viewer")


@dataclass(slots=True)
class Api:
    """A running application with its parts."""

    app: FastAPI
    works: Works
    clock: ManualClock
    http: httpx2.AsyncClient

    async def ask(self, method: str, path: str, *, who: str = "us_admin", **more: Any) -> httpx2.Response:
        """One request, by a known caller."""
        headers = {"x-test-caller": who, **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)


@asynccontextmanager
async def serving(
    url: URL,
    slices: Sequence[Slice],
    *callers: Caller,
    state: dict[str, Any] | None = None,
    limits: Mapping[LimitClass, ClassLimit] = DEFAULT_LIMITS,
) -> AsyncIterator[Api]:
    """An application of some slices on a database."""
    database, clock = Database(url), ManualClock()
    works = Works(database, clock)
    gate = Gate(works, KnownCallers(ADMIN, VIEWER, *callers), RequestLimits(limits, clock.monotonic))
    app = create_app(Parts(gate, slices, {"works": works, **(state or {})}))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://toolyard.test") as http:
            yield Api(app, works, clock, http)
    finally:
        await database.aclose()
