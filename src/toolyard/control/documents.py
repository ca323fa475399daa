"""The API's own documents: the OpenAPI document, and pages that show it without anything from the internet."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice

__all__ = ["documents_slice"]
_OPEN = Declared("open", "none", "none", "read", transaction=False)


def documents_slice(app: FastAPI) -> Slice:
    """Routes with the document of `app`."""
    one = Slice("documents", prefix="")

    @one.route("GET", "/api/v1/openapi.json", _OPEN, include_in_schema=False)
    async def document() -> JSONResponse:
        return JSONResponse(openapi_of(app))

    return one


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an application, with how to authenticate."""
    document = app.openapi()
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    for path in document.get("paths", {}).values():
        for operation in path.values():
            declared = operation.get("x-toolyard") if isinstance(operation, dict) else None
            if declared and declared["auth"] == "login":
                operation["security"] = [{"bearer": []}]
    return document
