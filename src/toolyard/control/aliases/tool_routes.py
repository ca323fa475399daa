"""Tools, at the founding documents' own paths."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import Field

from toolyard.control.aliases import service
from toolyard.control.aliases.schema import Done, DonePage, Effective, GroupTool, ToolUpdate
from toolyard.control.aliases.store import GroupTools, Services
from toolyard.control.base.bulk import BulkResult, each
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import MAX_LIMIT, PageQuery
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.servers import service as servers
from toolyard.control.servers.offer import Offers
from toolyard.control.tools.schema import Refreshed
from toolyard.control.tools.service import Bounds, upstreams_to_refresh
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.rules import Bounds as UpstreamBounds
from toolyard.control.upstreams.service import Registry


class GroupToolsQuery(PageQuery):
    """Which tools are wanted."""

    limit: int = Field(MAX_LIMIT, ge=1, le=MAX_LIMIT)
    group_id: str | None = Field(None, max_length=40, description="Only those that this group offers.")


def add_tool_routes(one: Slice, vault: Vault, bounds: Bounds) -> None:
    """The routes of tools."""
    offers = Offers()

    @one.get("/tools", action="tools.read", include_in_schema=False)
    async def every(work: WorkParam, query: Annotated[GroupToolsQuery, Query()]) -> DonePage[list[GroupTool]]:
        """List tools, all of them or those of a group."""
        if query.group_id is not None:
            return await _of_group(work, offers, query.group_id, query)
        page = await GroupTools(work).listed(query)
        names = await Services(work).names({row.upstream_id for row in page.rows})
        shown = [GroupTool.shown(row, names[row.upstream_id]) for row in page.rows]
        return DonePage(data=shown, message="The tools", next_cursor=page.next_cursor)

    @one.put("/tools/{tool_id}", action="tools.write", include_in_schema=False)
    async def change(work: WorkParam, tool_id: str, given: ToolUpdate) -> Effective[GroupTool]:
        """Change a tool."""
        changed = await service.update_tool(work, bounds, offers, tool_id, given)
        return Effective(data=changed, message="The tool was changed")

    @one.post("/tools/refresh", action="upstreams.write", include_in_schema=False)
    async def refresh(work: WorkParam) -> Done[BulkResult[Refreshed]]:
        """Have gateways look anew at what every upstream offers."""
        registry = Registry(work, vault, UpstreamBounds())

        async def look(row: UpstreamRow) -> Refreshed:
            again = await registry.restart(row.id)
            return Refreshed(upstream=again.name, restart_generation=again.restart_generation)

        done = await each(work, await upstreams_to_refresh(work, ()), look)
        return Done(data=done, message="Gateways look at what upstreams offer")


async def _of_group(work: Work, offers: Offers, server_id: str, query: GroupToolsQuery) -> DonePage[list[GroupTool]]:
    """One page of what a group offers, by the names that its clients see."""
    offer = await offers.of(work, await servers.find(work, server_id))
    after = [tool for tool in offer.found(query.q or "") if query.cursor is None or tool.exposed_name > query.cursor]
    page = after[: query.limit]
    rows = await GroupTools(work).of_members({(tool.namespace, tool.upstream_name) for tool in page})
    keys = [(tool.namespace, tool.upstream_name) for tool in page]
    shown = [GroupTool.shown(rows[key], key[0], server_id) for key in keys if key in rows]
    more = page[-1].exposed_name if len(after) > len(page) else None
    return DonePage(data=shown, message="The tools of the group", next_cursor=more)
