"""What can be done with virtual servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from toolyard.contract.server_codes import DEFAULT_CODE
from toolyard.control.base.errors import Invalid, ReadOnlyHere
from toolyard.control.base.etags import check_match
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.model import DEFAULT_ORGANIZATION
from toolyard.control.servers.errors import RoleOrTierUnknown
from toolyard.control.servers.events import ServerChanged, ServerCreated, ServerRemoved
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.schema import NewServer, ServerChange, stored
from toolyard.control.servers.store import ServerStore
from toolyard.policy.permissions import BUILT_IN

FILE: Final = "file"


async def create(work: Work, wanted: NewServer) -> ServerRow:
    """Make a virtual server. Raises ServerTaken, RoleOrTierUnknown, Invalid."""
    if wanted.code == DEFAULT_CODE and work.organization_id != DEFAULT_ORGANIZATION:
        raise Invalid(f"'{DEFAULT_CODE}' is the server at /mcp, which only the first organization can have")
    fields = stored(wanted)
    await _check_people(work, fields)
    row = ServerRow(**{**fields, "title": wanted.title or wanted.code}, id=new_id("sv"), created_by=work.caller.id)
    await ServerStore(work).add(row)
    work.announce(ServerCreated(row.id, row.code))
    return row


async def change(work: Work, server_id: str, wanted: ServerChange, if_match: str | None = None) -> ServerRow:
    """Change some fields. Raises ServerUnknown, ReadOnlyHere, VersionOutdated, ServerTaken, RoleOrTierUnknown."""
    row = await ServerStore(work).get(server_id)
    check_match(row, if_match)
    return await put(work, row, stored(wanted, exclude_unset=True))


async def put(work: Work, row: ServerRow, fields: Mapping[str, Any]) -> ServerRow:
    """Give a row these fields; what changes nothing is no change."""
    check_ours(row)
    different = {name: value for name, value in fields.items() if getattr(row, name) != value}
    if not different:
        return row
    await _check_people(work, different)
    for name, value in different.items():
        setattr(row, name, value)
    await ServerStore(work).changed(row)
    work.announce(ServerChanged(row.id, row.code, sorted(different)))
    return row


async def remove(work: Work, server_id: str, if_match: str | None = None) -> ServerRow:
    """Remove a virtual server and its keys. Raises ServerUnknown, ReadOnlyHere, VersionOutdated."""
    row = await ServerStore(work).get(server_id)
    check_match(row, if_match)
    check_ours(row)
    await ServerStore(work).remove(row)
    work.announce(ServerRemoved(row.id, row.code))
    return row


async def find(work: Work, server_id: str) -> ServerRow:
    """The virtual server with that id. Raises ServerUnknown."""
    return await ServerStore(work).get(server_id)


def check_ours(row: ServerRow) -> None:
    """Raises ReadOnlyHere for a server that the configuration file describes."""
    if row.owner == FILE:
        where = f"{row.file}, line {row.line}"
        raise ReadOnlyHere(
            f"the virtual server '{row.code}' is described in {where}, and can only be changed there",
            file=row.file,
            line=row.line,
        )


async def _check_people(work: Work, fields: Mapping[str, Any]) -> None:
    for column, built_in in (("roles", frozenset(BUILT_IN)), ("tiers", frozenset[str]())):
        wanted = set(fields.get(column) or ()) - built_in
        unknown = wanted - await ServerStore(work).named(column, sorted(wanted)) if wanted else wanted
        if unknown:
            raise RoleOrTierUnknown(f"the organization has no {column} called {', '.join(sorted(unknown))}")
