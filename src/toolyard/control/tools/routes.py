"""The API of tools, resources and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response
from fastapi.responses import PlainTextResponse

from toolyard.control.base.bulk import BulkResult, each
from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import Listed
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.tools import service
from toolyard.control.tools.model import ToolRow
from toolyard.control.tools.names import LISTED_IN
from toolyard.control.tools.schema import (
    Arguments,
    ArgumentsChecked,
    BulkChange,
    Category,
    ChangeAnswer,
    ChangedTool,
    Exported,
    Refreshed,
    RefreshWanted,
    Said,
    Stats,
    ToImport,
    Tool,
    ToolDetail,
    ToolQuery,
    UpstreamCount,
)
from toolyard.control.tools.service import Bounds
from toolyard.control.tools.store import Tools, Wanted
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.rules import Bounds as UpstreamBounds
from toolyard.control.upstreams.service import Registry


def tools_slice(vault: Vault, bounds: Bounds) -> Slice:
    """Routes of tools. The vault is for what is done to upstreams."""
    one = Slice("tools")
    _overview(one)
    _settings(one, bounds)
    _refreshing(one, vault)
    _reading(one)
    _writing(one, bounds)
    return one


def _overview(one: Slice) -> None:
    @one.get("/tools", action="tools.read", operation_id="tools_list")
    async def every(work: WorkParam, query: Annotated[ToolQuery, Query()]) -> Listed[Tool]:
        """List and search tools, resources and prompts."""
        found = await Tools(work).chosen(query, _wanted(query))
        names = await _names(work, found.rows)
        items = [Tool.of(row, names[row.upstream_id]) for row in found.rows]
        return Listed(items=items, next_cursor=found.next_cursor)

    @one.get("/tools/stats", action="tools.read", operation_id="tools_stats")
    async def stats(work: WorkParam) -> Stats:
        """Count tools, resources and prompts."""
        tools = Tools(work)
        counted = await tools.counted()
        here = [row for row in counted if not row[3]]
        names = await tools.upstream_names({row[1] for row in here})
        return Stats(
            total=sum(row[4] for row in here),
            enabled=sum(row[4] for row in here if row[2]),
            disabled=sum(row[4] for row in here if not row[2]),
            gone=sum(row[4] for row in counted if row[3]),
            by_kind={kind: sum(row[4] for row in here if row[0] == kind) for kind in LISTED_IN},
            by_upstream=[
                UpstreamCount(upstream=name, upstream_id=row_id, count=sum(row[4] for row in here if row[1] == row_id))
                for row_id, name in sorted(names.items(), key=lambda item: item[1])
            ],
        )

    @one.get("/tools/categories", action="tools.read", operation_id="tools_categories")
    async def categories(work: WorkParam) -> list[Category]:
        """List the categories that tools are in."""
        return [Category(name=name, count=count) for name, count in (await Tools(work).categories()).items()]


def _settings(one: Slice, bounds: Bounds) -> None:
    @one.get("/tools/export", action="tools.read", limit="heavy", operation_id="tools_export")
    async def export(work: WorkParam) -> Exported:
        """Export what is said of tools here, for another place."""
        rows = await Tools(work).every_said()
        names = await _names(work, rows)
        return Exported(tools=[Said.of(row, names[row.upstream_id]) for row in rows])

    @one.post("/tools/import", action="tools.write", limit="heavy", operation_id="tools_import")
    async def import_all(work: WorkParam, given: ToImport) -> BulkResult[Tool]:
        """Say of tools what was exported elsewhere, each with its own result."""

        async def say(item: Said) -> Tool:
            row = await service.find(work, item.upstream, item.kind, item.name)
            return Tool.of(await service.change(work, bounds, row.id, item.columns()), item.upstream)

        return await each(work, given.tools, say)

    @one.post("/tools/bulk", action="tools.write", operation_id="tools_bulk_update")
    async def change_all(work: WorkParam, given: BulkChange) -> BulkResult[ChangeAnswer]:
        """Change several tools in the same way (turn them on or off), each with its own result."""

        async def change_one(tool_id: str) -> ChangeAnswer:
            row = await service.change(work, bounds, tool_id, given.change.said())
            return ChangeAnswer.of(row, (await _names(work, [row]))[row.upstream_id])

        return await each(work, given.ids, change_one)


def _refreshing(one: Slice, vault: Vault) -> None:
    @one.post("/tools/refresh", action="upstreams.write", operation_id="tools_refresh")
    async def refresh(work: WorkParam, given: RefreshWanted) -> BulkResult[Refreshed]:
        """Have gateways open upstreams anew and look at what they offer; calls in flight end on the old connection."""
        registry = Registry(work, vault, UpstreamBounds())

        async def look(row: UpstreamRow) -> Refreshed:
            again = await registry.restart(row.id)
            return Refreshed(upstream=again.name, restart_generation=again.restart_generation)

        return await each(work, await service.upstreams_to_refresh(work, given.upstreams), look)


def _reading(one: Slice) -> None:
    @one.get("/tools/{tool_id}", action="tools.read", operation_id="tools_get")
    async def get(work: WorkParam, tool_id: str, response: Response) -> ToolDetail:
        """Show a tool with its definition."""
        row = await Tools(work).get(tool_id)
        tagged(response, row)
        definition = await service.definition(work, row)
        return ToolDetail.with_definition(row, (await _names(work, [row]))[row.upstream_id], definition.content)

    @one.get(
        "/tools/{tool_id}/documentation",
        action="tools.read",
        operation_id="tools_documentation",
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
    )
    async def documentation(work: WorkParam, tool_id: str) -> Response:
        """Show a tool's documentation, made of its definition, as Markdown."""
        return Response(await service.documentation(work, tool_id), media_type="text/markdown; charset=utf-8")

    @one.post("/tools/{tool_id}/validate", action="tools.read", safe=True, operation_id="tools_validate")
    async def validate(work: WorkParam, tool_id: str, given: Arguments) -> ArgumentsChecked:
        """Check whether arguments fit a tool's schema, without calling it."""
        errors = await service.check_arguments(work, tool_id, given.arguments)
        return ArgumentsChecked(valid=not errors, errors=errors)


def _writing(one: Slice, bounds: Bounds) -> None:
    @one.patch("/tools/{tool_id}", action="tools.write", operation_id="tools_update")
    async def change(
        work: WorkParam, tool_id: str, given: ChangedTool, response: Response, if_match: IfMatch = None
    ) -> ChangeAnswer:
        """Change what is said of a tool. It is in force without anything being restarted."""
        row = await service.change(work, bounds, tool_id, given.said(), if_match)
        tagged(response, row)
        return ChangeAnswer.of(row, (await _names(work, [row]))[row.upstream_id])

    @one.delete("/tools/{tool_id}", action="tools.write", operation_id="tools_forget")
    async def forget(work: WorkParam, tool_id: str, if_match: IfMatch = None) -> None:
        """Forget a tool that its upstream offers no more, with all that was said of it."""
        await service.forget(work, tool_id, if_match)


def _wanted(query: ToolQuery) -> Wanted:
    return Wanted(query.kind, query.upstream, query.enabled, query.category, query.tag, query.owner, gone=query.gone)


async def _names(work: Work, rows: Sequence[ToolRow]) -> dict[str, str]:
    return await Tools(work).upstream_names({row.upstream_id for row in rows})
