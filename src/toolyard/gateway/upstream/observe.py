"""Reads all definitions of an upstream, whatever it speaks, within fixed bounds.

An upstream can send an endless list, the same cursor for ever, or nonsense between good entries. None of it may cost
more than the bounds below, and one bad entry never hides its neighbours: it is dropped, and a warning says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolyard.contract.definitions import Era, Json, Observation
from toolyard.gateway.upstream.errors import UpstreamInvalid, UpstreamTimedOut
from toolyard.kit.clock import Clock
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.header_parameters import ANNOTATION, InvalidToolHeaders, header_parameters
from toolyard.protocol.strict_json import encode

Send = Callable[[str, Json], Awaitable[Json]]

MAX_ENTRIES = 2_000
MAX_PAGES = 100
MAX_BYTES = 16 * 1024 * 1024
MAX_SECONDS = 30.0
MAX_WARNINGS = 50
ENTRIES_PER_TURN = 100
_HEADER_MARK = b'"%s"' % ANNOTATION.encode()
METHOD_NOT_FOUND = -32601


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of list: its method, the member that holds the entries, the member that tells entries apart."""

    method: str
    member: str
    key: str


TOOLS = Listing("tools/list", "tools", "name")
RESOURCES = Listing("resources/list", "resources", "uri")
TEMPLATES = Listing("resources/templates/list", "resourceTemplates", "uriTemplate")
PROMPTS = Listing("prompts/list", "prompts", "name")


async def observe_all(  # noqa: PLR0913 (all that an observation says)
    upstream_id: str,
    send: Send,
    *,
    era: Era,
    revision: str,
    server_info: Mapping[str, Any],
    capabilities: Mapping[str, Any],
    instructions: str | None,
    clock: Clock,
    over_http: bool = False,
) -> Observation:
    """List everything that `capabilities` promise, all pages. `send` does one request and returns its result; over
    HTTP, tools whose `x-mcp-header` annotations are invalid are dropped. Raises what `send` raises, UpstreamInvalid,
    UpstreamTimedOut."""
    reader = _Reader(send, over_http=over_http)
    found: dict[str, tuple[Json, ...]] = {}
    try:
        async with asyncio.timeout(MAX_SECONDS):
            for listing in _promised(capabilities):
                found[listing.member] = await reader.read(listing)
    except TimeoutError:
        if reader.bytes == 0:
            raise UpstreamTimedOut(f"Upstream {upstream_id!r} did not list its definitions in time.") from None
        found[reader.reading] = tuple(reader.entries.values())
        reader.warn(f"listing took longer than {MAX_SECONDS:.0f} s; what came later is missing")
    return Observation(
        upstream_id=upstream_id,
        era=era,
        revision=revision,
        server_info=server_info,
        capabilities=capabilities,
        instructions=instructions,
        tools=found.get("tools", ()),
        resources=found.get("resources", ()),
        resource_templates=found.get("resourceTemplates", ()),
        prompts=found.get("prompts", ()),
        observed_at=clock.wall(),
        ttl_ms=min(reader.ttls_ms, default=0) if era == "modern" else 0,
        warnings=tuple(reader.warnings),
    )


def _promised(capabilities: Mapping[str, Any]) -> list[Listing]:
    listings = [TOOLS] if isinstance(capabilities.get("tools"), dict) else []
    if isinstance(capabilities.get("resources"), dict):
        listings += [RESOURCES, TEMPLATES]
    if isinstance(capabilities.get("prompts"), dict):
        listings.append(PROMPTS)
    return listings


@dataclass(slots=True)
class _Reader:
    """The state of one observation; the bounds hold over all its lists together, but for the entries of each list."""

    send: Send
    over_http: bool
    pages: int = 0
    bytes: int = 0
    has_headers: bool = False
    """Whether the page has a tool that may be dropped for its headers; that is seen in its text, at once for all."""
    reading: str = ""
    entries: dict[str, Json] = field(default_factory=dict)
    ttls_ms: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)

    async def read(self, listing: Listing) -> tuple[Json, ...]:
        self.reading, self.entries = listing.member, {}
        cursors: set[str] = set()
        params: Json = {}
        while True:
            page = await self._page(listing, params)
            if page is None or await self._take(listing, page):
                break
            cursor = page.get("nextCursor")
            if cursor is None:
                break
            if not isinstance(cursor, str) or cursor in cursors:
                self.warn(f"{listing.method}: the cursor repeats or is not a string; what follows is missing")
                break
            cursors.add(cursor)
            params = {"cursor": cursor}
        return tuple(self.entries.values())

    async def _page(self, listing: Listing, params: Json) -> Json | None:
        """One page, or None when there is none to take."""
        if self.pages >= MAX_PAGES:
            self.warn(f"{listing.method}: more than {MAX_PAGES} pages in all; what follows is missing")
            return None
        self.pages += 1
        try:
            page = await self.send(listing.method, params)
        except RelayedError as error:
            if error.rpc_code != METHOD_NOT_FOUND:
                if listing is TOOLS:
                    raise
                self.warn(f"{listing.method}: answered with error {error.rpc_code}")
            return None
        text = encode(page)
        self.bytes += len(text)
        self.has_headers = self.over_http and _HEADER_MARK in text
        if self.bytes > MAX_BYTES:
            self.warn(f"{listing.method}: more than {MAX_BYTES >> 20} MiB in all; what follows is missing")
            return None
        ttl_ms = page.get("ttlMs")
        self.ttls_ms.append(ttl_ms if type(ttl_ms) is int and ttl_ms > 0 else 0)
        return page

    async def _take(self, listing: Listing, page: Json) -> bool:
        """Keep the good entries of one page; true when the list is full. Others have their turn between entries."""
        entries = page.get(listing.member)
        if not isinstance(entries, list):
            raise UpstreamInvalid(f"The answer to {listing.method} has no list {listing.member!r}.")
        for place, entry in enumerate(entries, 1):
            if place % ENTRIES_PER_TURN == 0:
                await asyncio.sleep(0)
            if len(self.entries) >= MAX_ENTRIES:
                self.warn(f"{listing.method}: more than {MAX_ENTRIES} entries; what follows is missing")
                return True
            fault = self._fault(listing, entry)
            if fault is None:
                self.entries[entry[listing.key]] = entry
            else:
                self.warn(f"{listing.method}: {_label(listing, entry)} dropped: {fault}")
        return False

    def _fault(self, listing: Listing, entry: Any) -> str | None:
        if not isinstance(entry, dict):
            return "not an object"
        if not isinstance(entry.get("name"), str) or not entry["name"]:
            return "it has no name"
        key = entry.get(listing.key)
        if not isinstance(key, str) or not key:
            return f"it has no {listing.key}"
        if key in self.entries:
            return f"its {listing.key} occurs twice"
        return self._tool_fault(entry) if listing is TOOLS else None

    def _tool_fault(self, tool: Json) -> str | None:
        schema = tool.get("inputSchema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            return "its inputSchema is not a schema of an object"
        if not isinstance(tool.get("outputSchema", {}), dict):
            return "its outputSchema is not an object"
        if self.has_headers:
            try:
                header_parameters(schema)
            except InvalidToolHeaders as error:
                return f"its x-mcp-header annotations are invalid: {error}"
        return None


def _label(listing: Listing, entry: Any) -> str:
    key = entry.get(listing.key) if isinstance(entry, dict) else None
    return ascii(key[:80]) if isinstance(key, str) else "an entry"
