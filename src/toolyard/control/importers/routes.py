"""Imports over HTTP."""

from __future__ import annotations

from toolyard.control.base.bulk import BulkResult
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.vault import Vault
from toolyard.control.importers.schema import Import, ImportedUpstream
from toolyard.control.importers.service import Importer, servers_in
from toolyard.control.upstreams.rules import Bounds


def importers_slice(vault: Vault, bounds: Bounds) -> Slice:
    """The route that takes in what other programs wrote down."""
    one = Slice("imports")

    @one.post("/import", action="upstreams.write", limit="heavy", operation_id="imports_run")
    async def take_in(work: WorkParam, given: Import) -> BulkResult[ImportedUpstream]:
        """Register the MCP servers of another program's file, each with its own result.

        Those that run a program need the platform permission server.exec."""
        found = servers_in(given.document)
        return await Importer(work, vault, bounds).take_in(found, given.values, dry_run=given.dry_run)

    return one
