"""The API of upstreams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from toolyard.contract.snapshot import UpstreamKind
from toolyard.control.base.bulk import MAX_ITEMS, BulkResult, each
from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import Listed, PageQuery
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.identity.model import OrganizationRow
from toolyard.control.upstreams import tries
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.rules import Bounds
from toolyard.control.upstreams.schema import (
    ChangedUpstream,
    CheckResult,
    Given,
    NewUpstream,
    TryResult,
    Upstream,
)
from toolyard.control.upstreams.service import Checked, Registry
from toolyard.control.upstreams.states import STALE
from toolyard.control.upstreams.store import States, Tries, Upstreams


class UpstreamQuery(PageQuery):
    """Which upstreams are listed."""

    kind: UpstreamKind | None = None
    enabled: bool | None = None
    name: str | None = Field(None, max_length=63, description="The one of that name.")


class BulkChange(Given):
    """A change of one of several upstreams."""

    id: str
    change: ChangedUpstream


class UpstreamLog(Given):
    """The last lines that an upstream wrote, as one gateway told."""

    gateway: str
    lines: list[str]


def upstreams_slice(vault: Vault, bounds: Bounds) -> Slice:
    """Routes of upstreams."""
    one = Slice("upstreams")
    _reading(one, vault, bounds)
    _writing(one, vault, bounds)
    _bulk(one, vault, bounds)
    _steering(one, vault, bounds)
    _trying(one, vault, bounds)
    return one


def _reading(one: Slice, vault: Vault, bounds: Bounds) -> None:
    @one.get("/upstreams", action="upstreams.read", operation_id="upstreams_list")
    async def every(work: WorkParam, query: Annotated[UpstreamQuery, Query()]) -> Listed[Upstream]:
        """List upstreams."""
        wanted = [
            getattr(UpstreamRow, name) == value
            for name in ("kind", "enabled", "name")
            if (value := getattr(query, name)) is not None
        ]
        found = await Upstreams(work).page(query, *wanted)
        return Listed(items=await shown(work, found.rows), next_cursor=found.next_cursor)

    @one.get("/upstreams/{upstream_id}", action="upstreams.read", operation_id="upstreams_get")
    async def get(work: WorkParam, upstream_id: str, response: Response) -> Upstream:
        """Show an upstream with its state."""
        row = await Upstreams(work).get(upstream_id)
        tagged(response, row)
        return (await shown(work, [row]))[0]

    @one.get("/upstreams/{upstream_id}/check", action="upstreams.read", operation_id="upstreams_look")
    async def look(work: WorkParam, upstream_id: str) -> CheckResult:
        """Look at an upstream's configuration and what it depends on."""
        return CheckResult.of(await Registry(work, vault, bounds).look(upstream_id))

    @one.get("/upstreams/{upstream_id}/log", action="upstreams.read", operation_id="upstreams_log")
    async def log(work: WorkParam, upstream_id: str) -> list[UpstreamLog]:
        """Show the last lines that an upstream wrote, as gateways told them."""
        await Upstreams(work).get(upstream_id)
        states = (await States(work).of([upstream_id]))[upstream_id]
        return [UpstreamLog(gateway=state.gateway, lines=state.log) for state in states]


def _writing(one: Slice, vault: Vault, bounds: Bounds) -> None:
    @one.create("/upstreams", action="upstreams.write", operation_id="upstreams_create")
    async def create(work: WorkParam, given: NewUpstream, response: Response) -> Upstream:
        """Register an upstream.

        Its configuration and what it depends on are looked at first; warnings are in the answer. One that runs a
        program needs the platform permission server.exec, and runs only once it is approved."""
        return await _answer(work, await Registry(work, vault, bounds).register(columns(given)), response)

    @one.post("/upstreams/check", action="upstreams.write", safe=True, operation_id="upstreams_check")
    async def check(work: WorkParam, given: NewUpstream) -> CheckResult:
        """Look at an upstream without registering it."""
        return CheckResult.of(await Registry(work, vault, bounds).check(columns(given)))

    @one.patch("/upstreams/{upstream_id}", action="upstreams.write", operation_id="upstreams_update")
    async def change(
        work: WorkParam, upstream_id: str, given: ChangedUpstream, response: Response, if_match: IfMatch = None
    ) -> Upstream:
        """Change an upstream. Another program, or the same in other surroundings, has to be approved anew."""
        registry = Registry(work, vault, bounds)
        return await _answer(work, await registry.change(upstream_id, given.columns(), if_match), response)

    @one.delete("/upstreams/{upstream_id}", action="upstreams.write", operation_id="upstreams_delete")
    async def remove(work: WorkParam, upstream_id: str, if_match: IfMatch = None) -> None:
        """Remove an upstream, with its tools and its own credentials."""
        await Registry(work, vault, bounds).remove(upstream_id, if_match)


def _bulk(one: Slice, vault: Vault, bounds: Bounds) -> None:
    @one.post("/upstreams/bulk", action="upstreams.write", operation_id="upstreams_bulk_create")
    async def create_all(
        work: WorkParam, given: Annotated[list[NewUpstream], Field(max_length=MAX_ITEMS)]
    ) -> BulkResult[Upstream]:
        """Register several upstreams, each with its own result."""

        async def make(item: NewUpstream) -> Upstream:
            checked = await Registry(work, vault, bounds).register(columns(item))
            return (await shown(work, [checked.row], checked))[0]

        return await each(work, given, make)

    @one.post("/upstreams/bulk/update", action="upstreams.write", operation_id="upstreams_bulk_update")
    async def change_all(
        work: WorkParam, given: Annotated[list[BulkChange], Field(max_length=MAX_ITEMS)]
    ) -> BulkResult[Upstream]:
        """Change several upstreams, each with its own result."""

        async def change_one(item: BulkChange) -> Upstream:
            checked = await Registry(work, vault, bounds).change(item.id, item.change.columns(), None)
            return (await shown(work, [checked.row], checked))[0]

        return await each(work, given, change_one)

    @one.post("/upstreams/bulk/delete", action="upstreams.write", operation_id="upstreams_bulk_delete")
    async def remove_all(work: WorkParam, given: Annotated[list[str], Field(max_length=MAX_ITEMS)]) -> BulkResult[str]:
        """Remove several upstreams by their ids, each with its own result."""

        async def remove_one(upstream_id: str) -> str:
            await Registry(work, vault, bounds).remove(upstream_id, None)
            return upstream_id

        return await each(work, given, remove_one)


def _steering(one: Slice, vault: Vault, bounds: Bounds) -> None:
    @one.post("/upstreams/{upstream_id}/start", action="upstreams.write", operation_id="upstreams_start")
    async def start(work: WorkParam, upstream_id: str) -> Upstream:
        """Have an upstream started."""
        return (await shown(work, [await Registry(work, vault, bounds).start(upstream_id)]))[0]

    @one.post("/upstreams/{upstream_id}/stop", action="upstreams.write", operation_id="upstreams_stop")
    async def stop(work: WorkParam, upstream_id: str) -> Upstream:
        """Have an upstream stopped: its calls in flight end, and nothing new reaches it."""
        return (await shown(work, [await Registry(work, vault, bounds).stop(upstream_id)]))[0]

    @one.post("/upstreams/{upstream_id}/restart", action="upstreams.write", operation_id="upstreams_restart")
    async def restart(work: WorkParam, upstream_id: str) -> Upstream:
        """Have an upstream opened anew and looked at; the old connection or process ends with its last call."""
        return (await shown(work, [await Registry(work, vault, bounds).restart(upstream_id)]))[0]

    @one.post("/upstreams/{upstream_id}/approve", action="server.exec", operation_id="upstreams_approve")
    async def approve(work: WorkParam, upstream_id: str, response: Response, if_match: IfMatch = None) -> Upstream:
        """Let the program of an upstream run, exactly as it is now."""
        row = await Registry(work, vault, bounds).approve(upstream_id, if_match)
        tagged(response, row)
        return (await shown(work, [row]))[0]


def _trying(one: Slice, vault: Vault, bounds: Bounds) -> None:
    @one.post("/upstreams/test", action="upstreams.write", status_code=202, operation_id="upstreams_test")
    async def test(work: WorkParam, given: NewUpstream) -> TryResult:
        """Have gateways try an upstream before it is saved: ask for the result by the id in the answer.

        Only upstreams that are reached by URL are tried."""
        spec = await Registry(work, vault, bounds).to_try(columns(given))
        return TryResult.of(await tries.ask(work, vault, spec), work.now)

    @one.get("/upstreams/tests/{try_id}", action="upstreams.read", operation_id="upstreams_test_result")
    async def result(work: WorkParam, try_id: str) -> TryResult:
        """Show what came of a try."""
        return TryResult.of(await Tries(work).get(try_id), work.now)


def columns(given: NewUpstream) -> dict[str, object]:
    """A new upstream as columns, with the kind that was guessed."""
    return {**given.columns(), "kind": given.kind}


async def shown(work: Work, rows: Sequence[UpstreamRow], checked: Checked | None = None) -> list[Upstream]:
    """Rows as they are answered, with what gateways told of them."""
    organization = await work.session.get(OrganizationRow, work.organization_id)
    slug = organization.slug if organization else work.organization_id
    states = await States(work).of([row.id for row in rows])
    findings = checked.findings if checked else ()
    return [Upstream.of(row, slug, states[row.id], work.now - STALE, findings) for row in rows]


async def _answer(work: Work, checked: Checked, response: Response) -> Upstream:
    tagged(response, checked.row)
    return (await shown(work, [checked.row], checked))[0]
