"""Makes a server of both eras one of a single era. Runs beside that server, in the environment of its SDK."""

from __future__ import annotations

from typing import Any

from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.responses import JSONResponse


class OneEra:
    """Refuses the requests of the other era before the application sees them.

    A modern-only server refuses `initialize`, GET and DELETE; a legacy-only one whatever names a modern revision.
    """

    def __init__(self, app: Any, era: str) -> None:
        self._app = app
        self._refuse_modern = era == "legacy"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        revision = dict(scope["headers"]).get(b"mcp-protocol-version", b"").decode()
        if (revision in MODERN_PROTOCOL_VERSIONS) != self._refuse_modern:
            await self._app(scope, receive, send)
        elif scope["method"] != "POST":
            await JSONResponse({"error": "Method Not Allowed"}, 405)(scope, receive, send)
        else:
            await JSONResponse(self._refusal(revision), 400)(scope, receive, send)

    def _refusal(self, revision: str) -> dict[str, Any]:
        if self._refuse_modern:
            error: dict[str, Any] = {
                "code": -32000,
                "message": f"Bad Request: Unsupported protocol version: {revision}",
            }
        else:
            data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": revision}
            error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
        return {"jsonrpc": "2.0", "id": None, "error": error}
