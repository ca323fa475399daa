"""Virtual servers over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import Field

from toolyard.control.base.bulk import BulkResult, each
from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.pages import Listed
from toolyard.control.servers import service
from toolyard.control.servers.connection import ServerConnection, connection_of
from toolyard.control.servers.offer import Offers
from toolyard.control.servers.schema import (
    BulkDone,
    BulkServers,
    NewServer,
    OfferedTool,
    OfferedTools,
    Server,
    ServerChange,
    ServersQuery,
    ToolsQuery,
)
from toolyard.control.servers.store import ServerStore

READ, WRITE = "servers.read", "servers.write"
EntryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$", description="What clients shall call the server.")]


def servers_slice(public_url: str) -> Slice:
    """Routes for virtual servers. `public_url`: where clients reach the gateway."""
    one = Slice("servers")
    _telling(one, public_url)

    @one.create("/servers", action=WRITE, operation_id="servers_create")
    async def create(work: WorkParam, server: NewServer, response: Response) -> Server:
        """Make a virtual server.

        It offers what its patterns name, at a URL of its own, to who has one of its keys."""
        row = await service.create(work, server)
        tagged(response, row)
        response.headers["location"] = f"/api/v1/servers/{row.id}"
        return Server.of(row, public_url)

    @one.get("/servers", action=READ, operation_id="servers_list")
    async def every(work: WorkParam, query: Annotated[ServersQuery, Query()]) -> Listed[Server]:
        """List virtual servers."""
        store = ServerStore(work)
        wanted = store.conditions(enabled=query.enabled, owner=query.owner, code=query.code)
        page = await store.page(query, *wanted)
        return Listed(items=[Server.of(row, public_url) for row in page.rows], next_cursor=page.next_cursor)

    @one.post("/servers/bulk", action=WRITE, operation_id="servers_bulk")
    async def bulk(work: WorkParam, wanted: BulkServers) -> BulkResult[BulkDone]:
        """Enable, disable or delete several virtual servers."""

        async def do(server_id: str) -> BulkDone:
            if wanted.operation == "delete":
                row = await service.remove(work, server_id)
            else:
                row = await service.find(work, server_id)
                await service.put(work, row, {"enabled": wanted.operation == "enable"})
            return BulkDone(id=row.id, code=row.code)

        return await each(work, wanted.ids, do)

    @one.get("/servers/{server_id}", action=READ, operation_id="servers_get")
    async def get(work: WorkParam, server_id: str, response: Response) -> Server:
        """Get a virtual server."""
        row = await service.find(work, server_id)
        tagged(response, row)
        return Server.of(row, public_url)

    @one.patch("/servers/{server_id}", action=WRITE, operation_id="servers_update")
    async def change(
        work: WorkParam, server_id: str, server: ServerChange, response: Response, if_match: IfMatch = None
    ) -> Server:
        """Change a virtual server.

        In force within a second, without a failed call of what has not changed."""
        row = await service.change(work, server_id, server, if_match)
        tagged(response, row)
        return Server.of(row, public_url)

    @one.delete("/servers/{server_id}", action=WRITE, operation_id="servers_delete")
    async def remove(work: WorkParam, server_id: str, if_match: IfMatch = None) -> None:
        """Delete a virtual server and its keys."""
        await service.remove(work, server_id, if_match)

    return one


def _telling(one: Slice, public_url: str) -> None:
    """The routes that tell what clients see of a server."""
    offers = Offers()

    @one.get("/servers/{server_id}/connection", action=READ, operation_id="servers_connection")
    async def connection(work: WorkParam, server_id: str, name: Annotated[EntryName, Query()] = "") -> ServerConnection:
        """Get a server's addresses, and what to copy into each client."""
        row = await service.find(work, server_id)
        return connection_of(row, public_url, name or row.code)

    @one.get("/servers/{server_id}/tools", action=READ, heavy=True, operation_id="servers_tools")
    async def tools(work: WorkParam, server_id: str, query: Annotated[ToolsQuery, Query()]) -> OfferedTools:
        """List the tools that a virtual server offers, as its clients see them."""
        offer = await offers.of(work, await service.find(work, server_id))
        found = offer.found(query.q)
        after = [tool for tool in found if query.cursor is None or tool.exposed_name > query.cursor]
        page = after[: query.limit]
        return OfferedTools(
            items=[OfferedTool.of(tool) for tool in page],
            next_cursor=page[-1].exposed_name if len(after) > len(page) else None,
            total=len(found),
            prompts=len(offer.server.prompts),
            resources=len(offer.server.resources) + len(offer.server.templates),
            switched_off=sorted(offer.server.disabled_tools),
            missing=list(offer.missing),
            unseen=list(offer.server.unobserved),
            collisions=list(offer.server.collisions),
        )
