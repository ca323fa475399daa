"""Groups, as the founding documents call virtual servers."""

from __future__ import annotations

from typing import Final

from fastapi import Request, Response

from toolyard.control.aliases import service
from toolyard.control.aliases.schema import ApiKey, Done, DonePage, Effective, Group, GroupChange, GroupCreate, NewGroup
from toolyard.control.aliases.schema import ServerUrl as Url
from toolyard.control.aliases.store import Groups
from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import CallerParam, Gate, WorkParam
from toolyard.control.base.idempotency import SHOWN_ONCE
from toolyard.control.base.pages import MAX_LIMIT, PageParams
from toolyard.control.keys.service import ApiKeys
from toolyard.control.servers import service as servers
from toolyard.control.servers.schema import url_of

READ, WRITE = "servers.read", "servers.write"
_CREATES: Final = Declared("login", WRITE, "token", "write", idempotent=True)
_REMOVES: Final = Declared("login", WRITE, "token", "write")
_REVEALS: Final = Declared("login", "keys.reveal", "token", "write", transaction=False)
"""Showing a key is recorded, so it writes although it is a GET."""


def add_group_routes(one: Slice, keys: ApiKeys, public_url: str) -> None:
    """The routes of groups and their keys."""
    _add_groups(one, keys, public_url)
    _add_keys(one, keys)


def _add_groups(one: Slice, keys: ApiKeys, public_url: str) -> None:
    @one.get("/groups", action=READ, include_in_schema=False)
    async def every(work: WorkParam, query: PageParams) -> DonePage[list[Group]]:
        """List groups."""
        asked = query if "limit" in query.model_fields_set else query.model_copy(update={"limit": MAX_LIMIT})
        page = await Groups(work).page(asked)
        groups = [Group.of(row, public_url) for row in page.rows]
        return DonePage(data=groups, message="The groups", next_cursor=page.next_cursor)

    @one.route("POST", "/groups", _CREATES, include_in_schema=False)
    async def create(work: WorkParam, given: GroupCreate, response: Response) -> Done[NewGroup]:
        """Make a group with a key."""
        row, plain = await service.create_group(work, keys, given)
        _once(response)
        made = NewGroup(**Group.of(row, public_url).model_dump(), api_key=plain)
        return Done(data=made, message="The group was made; its key is shown this once")

    @one.get("/groups/{server_id}", action=READ, include_in_schema=False)
    async def get(work: WorkParam, server_id: str) -> Done[Group]:
        """Get a group."""
        return Done(data=Group.of(await servers.find(work, server_id), public_url), message="The group")

    @one.put("/groups/{server_id}", action=WRITE, include_in_schema=False)
    async def change(work: WorkParam, server_id: str, given: GroupChange) -> Effective[Group]:
        """Change a group."""
        row = await service.change_group(work, server_id, given)
        return Effective(data=Group.of(row, public_url), message="The group was changed")

    @one.route("DELETE", "/groups/{server_id}", _REMOVES, include_in_schema=False)
    async def remove(work: WorkParam, server_id: str) -> Done[None]:
        """Remove a group and its keys."""
        await servers.remove(work, server_id)
        return Done(data=None, message="The group was removed")

    @one.get("/groups/{server_id}/server-url", action=READ, include_in_schema=False)
    async def server_url(work: WorkParam, server_id: str) -> Done[Url]:
        """Where clients reach a group."""
        row = await servers.find(work, server_id)
        return Done(data=Url(server_url=url_of(row, public_url)), message="Where clients reach the group")


def _add_keys(one: Slice, keys: ApiKeys) -> None:
    @one.route("GET", "/groups/{server_id}/api-key", _REVEALS, include_in_schema=False)
    async def reveal(request: Request, caller: CallerParam, server_id: str, response: Response) -> Done[ApiKey]:
        """Show a group's key, where that is switched on."""
        gate: Gate = request.app.state.gate
        async with gate.works.write(caller) as work:
            plain = await service.group_key(work, keys, server_id)
        _once(response)
        return Done(data=ApiKey(api_key=plain), message="The key of the group")

    @one.post("/groups/{server_id}/regenerate-key", action=service.KEYS_WRITE, include_in_schema=False)
    async def regenerate(work: WorkParam, server_id: str, response: Response) -> Done[ApiKey]:
        """Put another key in the place of a group's key."""
        plain = await service.regenerate_key(work, keys, server_id)
        _once(response)
        return Done(data=ApiKey(api_key=plain), message="The group has another key; the old one opens nothing")


def _once(response: Response) -> None:
    response.headers[SHOWN_ONCE] = "1"
    response.headers["cache-control"] = "no-store"
