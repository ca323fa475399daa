"""What the configuration file describes, as rows that nobody can change here.

The file stays the owner: rows follow it at the start and at every change of it. What is already in the database under
the same code is left alone, since the file's is what gateways serve; the caller is told of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolyard.contract.snapshot import RateLimit, ServerSpec
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.servers.errors import ServerTaken
from toolyard.control.servers.events import ServerChanged, ServerCreated, ServerRemoved
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.service import FILE
from toolyard.control.servers.store import ServerStore


@dataclass(frozen=True, slots=True)
class FromFile:
    """One virtual server of the configuration file, and where it is described."""

    spec: ServerSpec
    file: str
    line: int | None


async def mirror(work: Work, described: Sequence[FromFile]) -> list[str]:
    """Make the rows of the file those that it describes now; the codes that the database has already. A server that the
    file describes no more goes, and its keys with it. For work of the platform in the organization that the file
    describes."""
    store, clashes = ServerStore(work), []
    known = {row.code: row for row in await store.every()}
    wanted = {one.spec.code for one in described}
    for row in known.values():
        if row.owner == FILE and row.code not in wanted:
            await store.remove(row)
            work.announce(ServerRemoved(row.id, row.code))
    for one in described:
        taken = {row.title for row in known.values() if row.code != one.spec.code}
        followed = await _follow(work, known.get(one.spec.code), _columns(one, taken))
        if followed is None:
            clashes.append(one.spec.code)
        else:
            known[followed.code] = followed
    return sorted(clashes)


async def _follow(work: Work, row: ServerRow | None, columns: dict[str, Any]) -> ServerRow | None:
    """The row with these columns; None if somebody else has the code."""
    if row is None:
        return await _add(work, columns)
    if row.owner != FILE:
        return None
    changed = [name for name, value in columns.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, columns[name])
    if changed:
        await ServerStore(work).changed(row)
    if set(changed) - {"file", "line"}:
        work.announce(ServerChanged(row.id, row.code, sorted(changed)))
    return row


async def _add(work: Work, columns: dict[str, Any]) -> ServerRow | None:
    row = ServerRow(**columns, id=new_id("sv"), owner=FILE, created_by=work.caller.id)
    try:
        async with work.session.begin_nested():
            await ServerStore(work).add(row)
    except ServerTaken:  # by another organization
        return None
    work.announce(ServerCreated(row.id, row.code))
    return row


def _columns(one: FromFile, taken: Iterable[str]) -> dict[str, Any]:
    spec = one.spec
    title = spec.title or spec.code
    return {
        "code": spec.code,
        "title": f"{title} ({spec.code})" if title in taken else title,
        "instructions": spec.instructions,
        "names": spec.names,
        "access": spec.access,
        "enabled": spec.enabled,
        "tools": list(spec.tools),
        "prompts": None if spec.prompts is None else list(spec.prompts),
        "resources": None if spec.resources is None else list(spec.resources),
        "per_key": _rate(spec.per_key),
        "per_server": _rate(spec.per_server),
        "file": one.file,
        "line": one.line,
    }


def _rate(limit: RateLimit | None) -> dict[str, float] | None:
    return asdict(limit) if limit is not None else None
