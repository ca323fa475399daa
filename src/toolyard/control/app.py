"""The management API as one application: every slice's routes behind one gate, every error as a problem."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from toolyard import __version__
from toolyard.control.base import problems
from toolyard.control.base.declared import Slice, check_declared, mount
from toolyard.control.base.gate import Gate
from toolyard.control.documents import documents_slice
from toolyard.policy.permissions import ALL

ABOUT = """Manage upstreams, tools, virtual servers, keys and people of Toolyard.

Log in at `POST /api/v1/auth/login` and send the access token as `Authorization: Bearer …`. Errors are problem details
(RFC 9457) with a stable `code`. Lists come in pages: ask again with `cursor`. Creations take an `Idempotency-Key`."""

Running = Callable[[], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of. `state` is what routes find at `request.app.state`; `running` is open while it
    serves."""

    gate: Gate
    slices: Sequence[Slice]
    state: dict[str, Any]
    running: Running | None = None


def create_app(parts: Parts) -> FastAPI:
    """The application. Raises RouteUndeclared if a route does not say who may use it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if parts.running is None:
            yield
            return
        async with parts.running():
            yield

    app = FastAPI(
        title="Toolyard",
        version=__version__,
        description=ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.gate = parts.gate
    for name, value in parts.state.items():
        setattr(app.state, name, value)
    problems.install(app)
    mount(app, [*parts.slices, documents_slice(app)])
    check_declared(app, ALL)
    return app
