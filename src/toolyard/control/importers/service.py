"""Importing: each server of a document becomes an upstream, or has the reason why not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from toolyard.control.base.bulk import MAX_ITEMS, BulkResult, each
from toolyard.control.base.errors import Invalid, Taken
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.importers.reading import new_upstream
from toolyard.control.importers.schema import ImportedUpstream
from toolyard.control.importers.store import name_is_taken
from toolyard.control.upstreams.routes import columns, shown
from toolyard.control.upstreams.rules import Bounds
from toolyard.control.upstreams.schema import FoundOut
from toolyard.control.upstreams.service import Registry
from toolyard.kit.errors import PlatformError
from toolyard.sources.clients import ClientEntry, id_of, read_any
from toolyard.sources.server_json import described_in, entry_of, is_server_json

NOTHING: Final = "there is no MCP server in this: give a document with `mcpServers`, `servers`, or a server.json"


@dataclass(frozen=True, slots=True)
class Found:
    """A server of a document: what its upstream is to be called, and its fields, or why there are none."""

    name: str
    fields: Mapping[str, Any] | PlatformError


def servers_in(document: Mapping[str, Any]) -> list[Found]:
    """The servers in a document, in their order, each with a name of its own. Raises Invalid,
    ClientFileUnreadable."""
    described = [document] if is_server_json(document) else described_in(document)
    entries: list[ClientEntry | PlatformError]
    entries = [_entry(one) for one in described] if described else [*read_any(json.dumps(document))]
    if not entries:
        raise Invalid(NOTHING)
    if len(entries) > MAX_ITEMS:
        raise Invalid(f"at most {MAX_ITEMS} servers are taken at once")
    found: list[Found] = []
    for entry in entries:
        if isinstance(entry, PlatformError):
            found.append(Found("", entry))
        else:
            found.append(Found(id_of(entry.name, {one.name for one in found}), entry.fields))
    return found


class Importer:
    """Imports of one organization, in one piece of work."""

    def __init__(self, work: Work, vault: Vault, bounds: Bounds) -> None:
        self._work = work
        self._registry = Registry(work, vault, bounds)

    async def take_in(
        self, found: list[Found], values: Mapping[str, str], *, dry_run: bool = False
    ) -> BulkResult[ImportedUpstream]:
        """Register each, or only look at it; each has its own result."""

        async def one(server: Found) -> ImportedUpstream:
            if isinstance(server.fields, PlatformError):
                raise server.fields
            wanted = columns(new_upstream(server.name, server.fields, values))
            return await (self._looked_at(wanted) if dry_run else self._registered(wanted))

        return await each(self._work, found, one)

    async def _looked_at(self, wanted: dict[str, Any]) -> ImportedUpstream:
        findings = await self._registry.check(wanted)
        wrong = next((finding for finding in findings if finding.level == "error"), None)
        if wrong is not None:
            raise Invalid(f"{wrong.at}: {wrong.message}")
        name = str(wanted["name"])
        if await name_is_taken(self._work, name):
            raise Taken(f"there is an upstream '{name}' already")
        return ImportedUpstream(name=name, upstream=None, findings=[FoundOut.of(one) for one in findings])

    async def _registered(self, wanted: dict[str, Any]) -> ImportedUpstream:
        checked = await self._registry.register(wanted)
        (made,) = await shown(self._work, [checked.row], checked)
        return ImportedUpstream(name=made.name, upstream=made, findings=made.findings)


def _entry(description: Mapping[str, Any]) -> ClientEntry | PlatformError:
    try:
        return entry_of(description)
    except PlatformError as error:
        return error
