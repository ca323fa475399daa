"""What the founding documents' calls do, in terms of what is here."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from toolyard.contract.server_codes import DEFAULT_CODE, server_code_problem
from toolyard.control.aliases.schema import GroupChange, GroupCreate, GroupTool, ServiceEntry, ToolUpdate
from toolyard.control.aliases.store import Groups, Keys, Services
from toolyard.control.base.errors import Forbidden
from toolyard.control.base.work import Work
from toolyard.control.importers.reading import new_upstream
from toolyard.control.keys.errors import KeyNotFound
from toolyard.control.keys.schema import NewKey, Rotation
from toolyard.control.keys.service import ApiKeys
from toolyard.control.servers import service as servers
from toolyard.control.servers.errors import ServerTaken
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.offer import Offers
from toolyard.control.servers.schema import NewServer, ServerChange
from toolyard.control.tools import service as tools
from toolyard.control.tools.model import ToolRow
from toolyard.control.upstreams.schema import NewUpstream
from toolyard.kit.logs import get_logger
from toolyard.sources.clients import CLIENTS, id_of, upstream_fields

log = get_logger(__name__)
KEYS_WRITE: Final = "keys.write"
SERVERS_WRITE: Final = "servers.write"
_FIRST_KEY: Final = NewKey.model_validate({"name": "first key"})
_AT_ONCE: Final = Rotation.model_validate({"grace_s": 0})


async def create_group(work: Work, keys: ApiKeys, wanted: GroupCreate) -> tuple[ServerRow, str]:
    """A virtual server with a code made of its name, and a key of it. Raises ServerTaken, Forbidden."""
    if not work.caller.may(KEYS_WRITE):
        raise Forbidden(f"this makes a key: it needs the permission {KEYS_WRITE}", permission=KEYS_WRITE)
    if await Groups(work).find(ServerRow.title == wanted.name):
        raise ServerTaken(f"there is a group called '{wanted.name}'")
    row = await _created(work, wanted)
    _, plain = await keys.create(work, row.id, _FIRST_KEY)
    return row, plain


async def change_group(work: Work, server_id: str, wanted: GroupChange) -> ServerRow:
    """Another name or description, on or off. Raises what `servers.change` raises."""
    said = wanted.model_dump(exclude_unset=True)
    if "name" in said:
        said["title"] = said.pop("name")
    return await servers.change(work, server_id, ServerChange.model_validate(said))


async def group_key(work: Work, keys: ApiKeys, server_id: str) -> str:
    """The newest key of a group. Raises ServerUnknown, KeyNotFound, and what `reveal` raises."""
    await servers.find(work, server_id)
    row = await Keys(work).newest(server_id)
    if row is None:
        raise KeyNotFound("this group has no key")
    return await keys.reveal(work, row.id)


async def regenerate_key(work: Work, keys: ApiKeys, server_id: str) -> str:
    """Another key for a group; its newest key opens nothing from now on. Raises ServerUnknown, TooManyKeys."""
    server = await servers.find(work, server_id)
    old = await Keys(work).newest(server_id)
    if old is None:
        _, plain = await keys.create(work, server_id, _FIRST_KEY)
    else:
        _, plain = await keys.rotate(work, old.id, _AT_ONCE)
    log.warning("group_key_regenerated", server=server.code, by=work.caller.id, replaced=old.id if old else None)
    return plain


async def update_tool(work: Work, bounds: tools.Bounds, offers: Offers, tool_id: str, wanted: ToolUpdate) -> GroupTool:
    """Change what is said of a tool, and put it into a group. Raises what `tools.change` and `servers.put` raise, and
    Forbidden."""
    said = wanted.model_dump(exclude_unset=True)
    names = {"enabled": "enabled", "timeout_seconds": "timeout_s", "config_data": "settings"}
    row = await tools.change(work, bounds, tool_id, {names[one]: said[one] for one in said if one in names})
    upstream = (await Services(work).names([row.upstream_id]))[row.upstream_id]
    group_id = said.get("group_id")
    if group_id is not None:
        await _put_into(work, offers, group_id, row, upstream, said.get("description"))
    return GroupTool.shown(row, upstream, group_id)


def wanted_service(entry: ServiceEntry) -> NewUpstream:
    """The upstream that an entry describes. Raises Invalid."""
    said: dict[str, Any] = entry.model_dump()
    fields = upstream_fields(said, CLIENTS["generic"])
    if isinstance(said.get("description"), str):
        fields["description"] = said["description"]
    return new_upstream(id_of(entry.name, ()), fields, {})


async def _put_into(
    work: Work, offers: Offers, server_id: str, row: ToolRow, upstream: str, description: str | None
) -> None:
    if not work.caller.may(SERVERS_WRITE, f"server:{server_id}"):
        raise Forbidden(f"this changes a group: it needs the permission {SERVERS_WRITE}", permission=SERVERS_WRITE)
    server = await servers.find(work, server_id)
    member = f"{upstream}/{row.name}"
    offered = {(one.namespace, one.upstream_name) for one in (await offers.of(work, server)).tools}
    fields: dict[str, Any] = {}
    if (upstream, row.name) not in offered and member not in server.chosen:
        fields["chosen"] = [*server.chosen, member]
    if description:
        fields["overrides"] = {
            **server.overrides,
            member: {**server.overrides.get(member, {}), "description": description},
        }
    if fields:
        await servers.put(work, server, fields)


async def _created(work: Work, wanted: GroupCreate) -> ServerRow:
    """The virtual server. A code that somebody else on the platform has gets something after it."""
    code = re.sub(r"[^a-z0-9_-]+", "-", wanted.name.lower()).strip("-_")[:50].rstrip("-_")
    if code and code != DEFAULT_CODE and server_code_problem(code) is None:
        try:
            async with work.session.begin_nested():
                return await _make(work, code, wanted)
        except ServerTaken:
            pass
    return await _make(work, f"{code or 'group'}-{secrets.token_hex(4)}", wanted)


async def _make(work: Work, code: str, wanted: GroupCreate) -> ServerRow:
    return await servers.create(
        work, NewServer.model_validate({"code": code, "title": wanted.name, "description": wanted.description})
    )
