"""The API's own documents: the OpenAPI document, and two pages that show it with nothing from the internet.

The pages' scripts come with the package `fastapi-offline`; nothing is inline, so that the content policy can forbid it.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from toolyard.control.base.declaration import DECLARED, Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.errors import NotFound
from toolyard.control.base.problems import problem_schemas

DOCUMENT: Final = "/api/v1/openapi.json"
ASSETS: Final = "/docs/assets"
_OPEN = Declared("open", "none", "none", "read", transaction=False)
_FILES: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}
_START: Final = {
    "swagger.js": f'SwaggerUIBundle({{url: "{DOCUMENT}", dom_id: "#page", deepLinking: true}});',
    "redoc.js": f'Redoc.init("{DOCUMENT}", {{hideDownloadButton: false}}, document.getElementById("page"));',
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Toolyard API</title><link rel="icon" href="{assets}/favicon.png">{style}</head>
<body><div id="page"></div><script src="{assets}/{bundle}"></script><script src="{assets}/{start}"></script></body>
</html>
"""


def documents_slice(app: FastAPI) -> Slice:
    """Routes with the document of `app` and the pages that show it."""
    one = Slice("documents", prefix="")

    @one.route("GET", DOCUMENT, _OPEN, include_in_schema=False)
    async def document() -> JSONResponse:
        return JSONResponse(openapi_of(app))

    for path in ("/docs", "/api/docs"):
        one.route("GET", path, _OPEN, include_in_schema=False, name=path)(_page("swagger-ui-bundle.js", "swagger.js"))
    for path in ("/redoc", "/api/redoc"):
        one.route("GET", path, _OPEN, include_in_schema=False, name=path)(_page("redoc.standalone.js", "redoc.js"))

    @one.route("GET", ASSETS + "/{name}", _OPEN, include_in_schema=False)
    async def asset(name: str) -> Response:
        if name in _START:
            return Response(_START[name], headers=_HEADERS, media_type="text/javascript")
        if name not in _FILES:
            raise NotFound
        return FileResponse(_static() / name, headers=_HEADERS, media_type=_FILES[name])

    return one


def _page(bundle: str, start: str) -> Any:
    style = f'<link rel="stylesheet" href="{ASSETS}/swagger-ui.css">' if bundle.startswith("swagger") else ""
    text = _PAGE.format(assets=ASSETS, style=style, bundle=bundle, start=start)

    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=_HEADERS)

    return page


@cache
def _static() -> Path:
    found = find_spec("fastapi_offline")
    if found is None or not found.submodule_search_locations:
        raise NotFound("the pages' scripts are not installed: install fastapi-offline")
    return Path(found.submodule_search_locations[0]) / "static"


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an application, with how to authenticate."""
    document = app.openapi()
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **problem_schemas()}
    schemes = components.setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    for path in document.get("paths", {}).values():
        for operation in path.values():
            declared = operation.get(DECLARED) if isinstance(operation, dict) else None
            if declared and declared["auth"] == "login":
                operation["security"] = [{"bearer": []}]
    return document
