"""List results from the catalog, in a stable order, encoded once for everybody who sees the same, with signed cursors.

A cursor serves the principal it was given to, at the same server, for the same list, as long as the list has the same
names: in every worker, and after a restart.

What is kept: the encoded definitions of a page, by server, by what policy allowed the caller (the decision itself is
part of the key, so a decision that shows somebody less can never find a page made for somebody else), by method,
revision and place. What differs between answers (cursors, which upstreams are stale) is added to each and not kept. A
page lives as long as the server's catalog, and the longest unused ones go when there are too many bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, NamedTuple

import msgspec

from toolyard.contract.catalog import Binding, Catalog, ResourceBinding, ServerCatalog
from toolyard.contract.definitions import Json
from toolyard.gateway.errors import CursorInvalid
from toolyard.policy.authorize import Allow

PAGE_SIZE: Final = 1000
PAGE_BYTES: Final = 3 * 1024 * 1024
"""A page with more definitions than one ends here: it fits into the 4 MiB that another gateway takes as one event."""
KEPT_BYTES: Final = 32 * 1024 * 1024
ListMethod = Literal["tools/list", "resources/list", "resources/templates/list", "prompts/list"]
Shape = Callable[[str, str, Json], Json]

_MEMBERS: dict[str, str] = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
_encode = msgspec.json.Encoder().encode


class _List(NamedTuple):
    """One list as one class of callers sees it."""

    server: str
    allowed: Allow
    method: str


class _Place(NamedTuple):
    """One page of it."""

    list: _List
    revision: str
    offset: int


@dataclass(frozen=True, slots=True)
class _Page:
    """One page as everybody gets it who may see it, and where the next one begins, if there is one."""

    server: ServerCatalog
    entries: bytes
    next_offset: int | None


class Lists:
    """Pages of the four lists. `shape(revision, method, definition)` makes a definition fit for a revision."""

    def __init__(self, key: bytes, shape: Shape, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._key = key
        self._shape = shape
        self._kept_bytes = kept_bytes
        self._pages: OrderedDict[_Place, _Page] = OrderedDict()
        self._digests: dict[_List, tuple[ServerCatalog, bytes]] = {}
        self.bytes = 0
        """How much is kept."""

    def page(
        self, server: ServerCatalog, allowed: Allow, method: str, params: Json, revision: str, principal_id: str
    ) -> Json:
        """One page of a list, for a principal who was `allowed` to use the server. Raises CursorInvalid."""
        wanted = _List(server.spec.code, allowed, method)
        offset = self._offset(server, wanted, params, principal_id)
        place = _Place(wanted, revision, offset)
        page = self._pages.get(place)
        if page is None or page.server is not server:
            page = self._make(server, place)
            self._keep(place, page)
        else:
            self._pages.move_to_end(place)
        # Spliced into the answer as it is: 8 µs for 1,000 tools of 300 bytes, where encoding them anew takes 700.
        content: Json = {_MEMBERS[method]: msgspec.Raw(page.entries)}
        if page.next_offset is not None:
            content["nextCursor"] = self._cursor(server, wanted, page.next_offset, principal_id)
        return content

    def keep_only(self, catalog: Catalog) -> None:
        """Forget what was made of catalogs that are not in force any more."""
        for place, page in tuple(self._pages.items()):
            if catalog.servers.get(place.list.server) is not page.server:
                self._forget(place)
        self._digests = {w: kept for w, kept in self._digests.items() if catalog.servers.get(w.server) is kept[0]}

    def _make(self, server: ServerCatalog, place: _Place) -> _Page:
        listed, method, offset = _listed(server, place.list), place.list.method, place.offset
        entries: list[bytes] = []
        left = PAGE_BYTES
        for binding in islice(listed, offset, offset + PAGE_SIZE):
            entry = _encode(self._shape(place.revision, method, binding.definition))
            left -= len(entry) + 1
            if left < 0 and entries:
                break
            entries.append(entry)
        end = offset + len(entries)
        return _Page(server, b"[%s]" % b",".join(entries), end if end < len(listed) else None)

    def _keep(self, place: _Place, page: _Page) -> None:
        self._forget(place)
        self._pages[place] = page
        self.bytes += len(page.entries)
        while self.bytes > self._kept_bytes:
            self._forget(next(iter(self._pages)))

    def _forget(self, place: _Place) -> None:
        page = self._pages.pop(place, None)
        if page is not None:
            self.bytes -= len(page.entries)

    def _offset(self, server: ServerCatalog, wanted: _List, params: Json, principal_id: str) -> int:
        cursor = params.get("cursor")
        if cursor is None:
            return 0
        try:
            offset = int(base64.urlsafe_b64decode(cursor.encode("ascii"))[16:])
        except (AttributeError, UnicodeEncodeError, binascii.Error, ValueError) as error:
            raise CursorInvalid from error
        if not hmac.compare_digest(cursor, self._cursor(server, wanted, offset, principal_id)):
            raise CursorInvalid
        return offset

    def _cursor(self, server: ServerCatalog, wanted: _List, offset: int, principal_id: str) -> str:
        content = _encode([wanted.server, wanted.method, offset, principal_id])
        signature = hmac.digest(self._key, self._names_digest(server, wanted) + content, "sha256")[:16]
        return base64.urlsafe_b64encode(signature + str(offset).encode("ascii")).decode("ascii")

    def _names_digest(self, server: ServerCatalog, wanted: _List) -> bytes:
        kept = self._digests.get(wanted)
        if kept is None or kept[0] is not server:
            names = [_name(b.definition) for b in _listed(server, wanted)]
            kept = self._digests[wanted] = server, hashlib.sha256(_encode(names)).digest()
        return kept[1]


def _listed(server: ServerCatalog, wanted: _List) -> Collection[Binding | ResourceBinding]:
    """What is in a list: of tools, those that the decision about a call allows."""
    method = wanted.method
    if method == "tools/list":
        tools = server.tools.values()
        return [tool for tool in tools if wanted.allowed.covers(tool)] if wanted.allowed.tools else tools
    if method == "prompts/list":
        return server.prompts.values()
    return server.resources.values() if method == "resources/list" else server.templates


def _name(definition: Json) -> object:
    return definition.get("uri") or definition.get("uriTemplate") or definition.get("name")
