"""The page of the management API's routes, each with what it declares; for `docs/generate.py`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute

from toolyard.control.base.database import Database, database_url
from toolyard.control.base.declaration import Declared, declared_of
from toolyard.control.base.limits import DEFAULT_LIMITS
from toolyard.control.base.work import Works
from toolyard.kit.clock import SystemClock
from toolyard.kit.key_encryption import KeyEncryptionKey, KeyRing
from toolyard.platform_control import Ground, make_control, pieces_of
from toolyard.policy.permissions import ORGANIZATION, PLATFORM
from toolyard.settings import default_settings

HEAD = """# Routes of the management API

Every route says what it asks of callers, or the program does not start. The parameters and answers are in the
[OpenAPI document](urls.md) at `/api/v1/openapi.json`, shown at `/docs`.

**Who**: `login` needs an access token (`Authorization: Bearer …`) or the console's cookie; `open` is for anybody;
`gateway` for gateways, by their socket; the operator on this machine may do everything by the socket in the data
directory. **May**: the permission that is needed, or `self` for what everybody may do with their own things.
**CSRF**: `token` needs the login's token in the header `toolyard-csrf` where the proof came by cookie. **Limit**: the
class of the rate limit; each caller and each address has as many of each class as the last table says. **Once**:
takes an `Idempotency-Key`.
"""


def routes_page() -> str:
    """All routes, the permissions they may want, and the limits."""
    with tempfile.TemporaryDirectory() as directory:
        found = list(_routes(_app(Path(directory))))
    parts = [HEAD]
    for tag in dict.fromkeys(tag for tag, _, _ in found):
        rows = [_row(route, declared) for mine, route, declared in found if mine == tag]
        parts.append(f"## {tag}\n\n" + _table(("route", "who", "may", "CSRF", "limit", "once"), rows))
    allowed = [(f"`{name}`", told) for name, told in (ORGANIZATION | PLATFORM).items()]
    parts.append("## Permissions\n\n" + _table(("permission", "what it allows"), allowed))
    limits = [(f"`{kind}`", f"{one.per_minute:g}", f"{one.burst:g}") for kind, one in DEFAULT_LIMITS.items()]
    parts.append("## Limits\n\n" + _table(("class", "requests a minute", "at once"), limits))
    return "\n".join(parts)


def _app(directory: Path) -> FastAPI:
    clock = SystemClock()
    works = Works(Database(database_url(f"sqlite:///{directory / 'none.db'}")), clock)
    ring = KeyRing([KeyEncryptionKey(bytes(32))])
    ground = Ground(works, ring, default_settings(directory), directory, "http://127.0.0.1:8000", clock)
    return make_control(ground, pieces_of(ground)).app


def _routes(app: FastAPI) -> Iterator[tuple[str, APIRoute, Declared]]:
    for route in app.router.routes:
        declared = declared_of(route)
        if isinstance(route, APIRoute) and declared is not None:
            yield str(route.tags[0]), route, declared


def _row(route: APIRoute, declared: Declared) -> tuple[str, ...]:
    path = route.path.replace(":path}", "}")
    may = "" if declared.action == "none" else f"`{declared.action}`"
    csrf = "" if declared.csrf == "none" else declared.csrf
    once = "yes" if declared.idempotent else ""
    return f"`{min(route.methods)} {path}`", declared.auth, may, csrf, declared.limit, once


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
