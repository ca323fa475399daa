"""List results from the catalog, in a stable order, encoded once for each catalog, with signed cursors."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Literal

import msgspec

from toolyard.contract.catalog import ServerCatalog
from toolyard.contract.definitions import Json
from toolyard.gateway.errors import CursorInvalid

PAGE_SIZE = 1000
ListMethod = Literal["tools/list", "resources/list", "resources/templates/list", "prompts/list"]
Shape = Callable[[str, str, Json], Json]

_MEMBERS: dict[str, str] = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


class Lists:
    """Pages of the four lists. `shape(revision, method, definition)` makes a definition fit for a revision."""

    def __init__(self, key: bytes, shape: Shape) -> None:
        self._key = key
        self._shape = shape
        self._last: dict[str, tuple[ServerCatalog, dict[tuple[str, str, int], Json]]] = {}

    def page(self, server: ServerCatalog, method: str, params: Json, revision: str) -> Json:
        """One page of a list. Raises CursorInvalid."""
        offset = self._offset(server, method, params)
        pages = self._pages(server)
        key = (method, revision, offset)
        page = pages.get(key)
        if page is None:
            page = pages[key] = self._make(server, method, revision, offset)
        return dict(page)

    def _pages(self, server: ServerCatalog) -> dict[tuple[str, str, int], Json]:
        held = self._last.get(server.spec.code)
        if held is None or held[0] is not server:
            held = self._last[server.spec.code] = (server, {})
        return held[1]

    def _make(self, server: ServerCatalog, method: str, revision: str, offset: int) -> Json:
        definitions = _definitions(server, method)
        chosen = definitions[offset : offset + PAGE_SIZE]
        chosen = [self._shape(revision, method, definition) for definition in chosen]
        page: Json = {_MEMBERS[method]: msgspec.Raw(msgspec.json.encode(chosen))}
        if offset + PAGE_SIZE < len(definitions):
            page["nextCursor"] = self._cursor(server, method, offset + PAGE_SIZE)
        return page

    def _offset(self, server: ServerCatalog, method: str, params: Json) -> int:
        cursor = params.get("cursor")
        if cursor is None:
            return 0
        try:
            offset = int(base64.urlsafe_b64decode(cursor.encode("ascii"))[16:])
        except (AttributeError, UnicodeEncodeError, binascii.Error, ValueError) as error:
            raise CursorInvalid from error
        if not hmac.compare_digest(cursor, self._cursor(server, method, offset)):
            raise CursorInvalid
        return offset

    def _cursor(self, server: ServerCatalog, method: str, offset: int) -> str:
        raw = self._signature(server, method, offset) + str(offset).encode("ascii")
        return base64.urlsafe_b64encode(raw).decode("ascii")

    def _signature(self, server: ServerCatalog, method: str, offset: int) -> bytes:
        names = msgspec.json.encode([_name(d) for d in _definitions(server, method)])
        content = b"\0".join([server.spec.code.encode(), method.encode(), str(offset).encode(), names])
        return hmac.new(self._key, content, hashlib.sha256).digest()[:16]


def _definitions(server: ServerCatalog, method: str) -> list[Json]:
    if method == "tools/list":
        return [b.definition for b in server.tools.values()]
    if method == "prompts/list":
        return [b.definition for b in server.prompts.values()]
    if method == "resources/list":
        return [b.definition for b in server.resources.values()]
    return [b.definition for b in server.templates]


def _name(definition: Json) -> object:
    return definition.get("uri") or definition.get("uriTemplate") or definition.get("name")
