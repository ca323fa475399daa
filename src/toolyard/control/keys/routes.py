"""API keys over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from toolyard.control.base.bulk import BulkResult, each
from toolyard.control.base.declared import Slice
from toolyard.control.base.etags import IfMatch, tagged
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.idempotency import SHOWN_ONCE
from toolyard.control.base.pages import Listed
from toolyard.control.base.work import Work
from toolyard.control.keys import service
from toolyard.control.keys.model import KeyRow
from toolyard.control.keys.schema import (
    BulkDone,
    BulkKeys,
    IssuedKey,
    Key,
    KeyChange,
    KeysQuery,
    NewKey,
    RevealedKey,
    Rotation,
)
from toolyard.control.keys.store import KeyStore
from toolyard.control.servers import service as servers

READ, WRITE, REVEAL = "keys.read", "keys.write", "keys.reveal"


def keys_slice(keys: service.ApiKeys) -> Slice:
    """Routes for the API keys of virtual servers."""
    one = Slice("keys")
    _making(one, keys)
    _listing(one)
    _changing(one)
    return one


def _making(one: Slice, keys: service.ApiKeys) -> None:
    """The routes that show a key."""

    @one.create("/servers/{server_id}/keys", action=WRITE, operation_id="keys_create")
    async def create(work: WorkParam, server_id: str, key: NewKey, response: Response) -> IssuedKey:
        """Make an API key for a virtual server.

        The answer shows the key, this once: what is stored cannot be turned into it."""
        row, plain = await keys.create(work, server_id, key)
        return await _issued(work, row, plain, response)

    @one.create("/keys/{key_id}/rotate", action=WRITE, operation_id="keys_rotate")
    async def rotate(work: WorkParam, key_id: str, wanted: Rotation, response: Response) -> IssuedKey:
        """Put a new API key in the place of another.

        The new one may do what the old one may; the old one is good for the grace, a day unless it is said."""
        row, plain = await keys.rotate(work, key_id, wanted)
        return await _issued(work, row, plain, response)

    @one.post("/keys/{key_id}/reveal", action=REVEAL, operation_id="keys_reveal")
    async def reveal(work: WorkParam, key_id: str, response: Response) -> RevealedKey:
        """Show an API key again.

        Only where the platform has switched that on (`reveal_keys`) before the key was made, and to who has proved
        their password within the last five minutes. That it was shown is recorded."""
        plain = await keys.reveal(work, key_id)
        _once(response)
        return RevealedKey(id=key_id, key=plain)


def _listing(one: Slice) -> None:
    @one.get("/servers/{server_id}/keys", action=READ, operation_id="servers_keys")
    async def of_server(work: WorkParam, server_id: str, query: Annotated[KeysQuery, Query()]) -> Listed[Key]:
        """List the API keys of a virtual server."""
        server = await servers.find(work, server_id)
        return await _listed(work, query.model_copy(update={"server_id": server.id}))

    @one.get("/keys", action=READ, operation_id="keys_list")
    async def every(work: WorkParam, query: Annotated[KeysQuery, Query()]) -> Listed[Key]:
        """List the organization's API keys."""
        return await _listed(work, query)

    @one.get("/keys/{key_id}", action=READ, operation_id="keys_get")
    async def get(work: WorkParam, key_id: str, response: Response) -> Key:
        """Get what is known of an API key."""
        return await _shown(work, await service.find(work, key_id), response)


def _changing(one: Slice) -> None:
    @one.post("/keys/bulk", action=WRITE, operation_id="keys_bulk")
    async def bulk(work: WorkParam, wanted: BulkKeys) -> BulkResult[BulkDone]:
        """Enable, disable, revoke or delete several API keys."""

        async def do(key_id: str) -> BulkDone:
            if wanted.operation == "revoke":
                await service.revoke(work, key_id)
            elif wanted.operation == "delete":
                await service.remove(work, key_id)
            else:
                row = await service.find(work, key_id)
                await service.put(work, row, {"disabled": wanted.operation == "disable"})
            return BulkDone(id=key_id)

        return await each(work, wanted.ids, do)

    @one.patch("/keys/{key_id}", action=WRITE, operation_id="keys_update")
    async def change(work: WorkParam, key_id: str, key: KeyChange, response: Response, if_match: IfMatch = None) -> Key:
        """Change what an API key may do, or switch it off and on."""
        return await _shown(work, await service.change(work, key_id, key, if_match), response)

    @one.post("/keys/{key_id}/revoke", action=WRITE, operation_id="keys_revoke")
    async def revoke(work: WorkParam, key_id: str, response: Response) -> Key:
        """Revoke an API key for good: within a second it opens nothing any more."""
        return await _shown(work, await service.revoke(work, key_id), response)

    @one.delete("/keys/{key_id}", action=WRITE, operation_id="keys_delete")
    async def remove(work: WorkParam, key_id: str, if_match: IfMatch = None) -> None:
        """Revoke an API key and forget it."""
        await service.remove(work, key_id, if_match)


async def _issued(work: Work, row: KeyRow, plain: str, response: Response) -> IssuedKey:
    shown = await _shown(work, row, response)
    _once(response)
    response.headers["location"] = f"/api/v1/keys/{row.id}"
    return IssuedKey(**shown.model_dump(), key=plain)


async def _shown(work: Work, row: KeyRow, response: Response) -> Key:
    tagged(response, row)
    codes = await KeyStore(work).codes([row])
    return Key.of(row, codes[row.server_id], work.now)


async def _listed(work: Work, query: KeysQuery) -> Listed[Key]:
    store = KeyStore(work)
    wanted = store.conditions(server_id=query.server_id, user_id=query.user_id, enabled=query.enabled)
    page = await store.page(query, *wanted)
    codes = await store.codes(list(page.rows))
    items = [Key.of(row, codes[row.server_id], work.now) for row in page.rows]
    return Listed(items=items, next_cursor=page.next_cursor)


def _once(response: Response) -> None:
    """Nobody keeps this answer: neither caches nor the record of what was answered to an idempotency key."""
    response.headers[SHOWN_ONCE] = "1"
    response.headers["cache-control"] = "no-store"
