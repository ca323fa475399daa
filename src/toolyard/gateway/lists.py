"""List results from the catalog, in a stable order, encoded once for each catalog, with signed cursors.

A cursor serves the principal it was given to, at the same server, for the same list, as long as the list has the same
names: in every worker, and after a restart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a list as everybody gets it, and where the next one begins, if there is one."""

    content: Json
    next_offset: int | None


@dataclass(slots=True)
class _Kept:
    """What was made of one server's catalog."""

    server: ServerCatalog
    pages: dict[tuple[str, str, int], _Page] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)


class Lists:
    """Pages of the four lists. `shape(revision, method, definition)` makes a definition fit for a revision."""

    def __init__(self, key: bytes, shape: Shape) -> None:
        self._key = key
        self._shape = shape
        self._last: dict[str, _Kept] = {}

    def page(self, server: ServerCatalog, method: str, params: Json, revision: str, principal_id: str) -> Json:
        """One page of a list. Raises CursorInvalid."""
        kept = self._kept(server)
        offset = self._offset(kept, method, params, principal_id)
        key = (method, revision, offset)
        page = kept.pages.get(key)
        if page is None:
            page = kept.pages[key] = self._make(server, method, revision, offset)
        if page.next_offset is None:
            return dict(page.content)
        return {**page.content, "nextCursor": self._cursor(kept, method, page.next_offset, principal_id)}

    def _kept(self, server: ServerCatalog) -> _Kept:
        kept = self._last.get(server.spec.code)
        if kept is None or kept.server is not server:
            kept = self._last[server.spec.code] = _Kept(server)
        return kept

    def _make(self, server: ServerCatalog, method: str, revision: str, offset: int) -> _Page:
        definitions = _definitions(server, method)
        chosen = definitions[offset : offset + PAGE_SIZE]
        chosen = [self._shape(revision, method, definition) for definition in chosen]
        more = offset + PAGE_SIZE < len(definitions)
        content: Json = {_MEMBERS[method]: msgspec.Raw(msgspec.json.encode(chosen))}
        return _Page(content, offset + PAGE_SIZE if more else None)

    def _offset(self, kept: _Kept, method: str, params: Json, principal_id: str) -> int:
        cursor = params.get("cursor")
        if cursor is None:
            return 0
        try:
            offset = int(base64.urlsafe_b64decode(cursor.encode("ascii"))[16:])
        except (AttributeError, UnicodeEncodeError, binascii.Error, ValueError) as error:
            raise CursorInvalid from error
        if not hmac.compare_digest(cursor, self._cursor(kept, method, offset, principal_id)):
            raise CursorInvalid
        return offset

    def _cursor(self, kept: _Kept, method: str, offset: int, principal_id: str) -> str:
        raw = self._signature(kept, method, offset, principal_id) + str(offset).encode("ascii")
        return base64.urlsafe_b64encode(raw).decode("ascii")

    def _signature(self, kept: _Kept, method: str, offset: int, principal_id: str) -> bytes:
        digest = kept.digests.get(method)
        if digest is None:
            names = [_name(d) for d in _definitions(kept.server, method)]
            digest = kept.digests[method] = hashlib.sha256(msgspec.json.encode(names)).digest()
        content = msgspec.json.encode([kept.server.spec.code, method, offset, principal_id])
        return hmac.new(self._key, digest + content, hashlib.sha256).digest()[:16]


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
