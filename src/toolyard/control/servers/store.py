"""Virtual servers in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Text, and_, cast, func, select

from toolyard.control.access.model import RoleRow, TierRow
from toolyard.control.base.store import Store
from toolyard.control.base.work import Work
from toolyard.control.identity.model import OrganizationRow
from toolyard.control.servers.errors import ServerTaken, ServerUnknown
from toolyard.control.servers.model import ServerRow
from toolyard.control.tools.model import DefinitionRow, ToolRow
from toolyard.control.upstreams.model import UpstreamRow


class ServerStore(Store[ServerRow]):
    """The virtual servers of an organization."""

    row = ServerRow
    missing = ServerUnknown
    taken = ServerTaken
    sortable = {
        "code": ServerRow.code,
        "title": ServerRow.title,
        "created_at": ServerRow.created_at,
        "updated_at": ServerRow.updated_at,
    }
    searched = ("code", "title", "description")

    def conditions(self, **wanted: Any) -> list[ColumnElement[bool]]:
        """Conditions for columns that shall have a value; None is any."""
        return [getattr(ServerRow, name) == value for name, value in wanted.items() if value is not None]

    async def named(self, column: str, names: Sequence[str]) -> set[str]:
        """Which of these `roles` or `tiers` the organization has made."""
        row = RoleRow if column == "roles" else TierRow
        found = select(row.name).where(row.organization_id == self.work.organization_id, row.name.in_(names))
        return set((await self.session.execute(found)).scalars())


async def upstreams_of(work: Work) -> list[UpstreamRow]:
    """The organization's upstreams, by name."""
    found = select(UpstreamRow).where(UpstreamRow.organization_id == work.organization_id).order_by(UpstreamRow.name)
    return list((await work.session.execute(found)).scalars())


class Seen(NamedTuple):
    """One thing that an upstream offers. `content` is its definition as JSON text; columns instead of a row, and text
    instead of values, since there may be ten thousand."""

    upstream_id: str
    kind: str
    name: str
    enabled: bool
    timeout_s: float | None
    tags: str
    content: str


async def seen_of(work: Work, upstream_ids: Sequence[str]) -> list[Seen]:
    """What these upstreams offer, in a stable order."""
    definition = and_(DefinitionRow.organization_id == ToolRow.organization_id, DefinitionRow.digest == ToolRow.digest)
    columns = (ToolRow.upstream_id, ToolRow.kind, ToolRow.name, ToolRow.enabled, ToolRow.timeout_s, ToolRow.tags)
    found = (
        select(*columns, cast(DefinitionRow.content, Text))
        .join(DefinitionRow, definition)
        .where(
            ToolRow.organization_id == work.organization_id,
            ToolRow.upstream_id.in_(upstream_ids),
            ToolRow.gone_at.is_(None),
        )
        .order_by(ToolRow.upstream_id, ToolRow.label, ToolRow.id)
    )
    return [Seen(*row) for row in await work.session.execute(found)]


async def mark_of_tools(work: Work) -> tuple[Any, ...]:
    """Something that is another value after every change of what the organization's upstreams offer."""
    marks = (func.count(), func.max(ToolRow.updated_at), func.sum(ToolRow.version))
    found = select(*marks).where(ToolRow.organization_id == work.organization_id)
    return tuple((await work.session.execute(found)).one())


async def of_all_organizations(work: Work) -> list[tuple[ServerRow, OrganizationRow]]:
    """Every virtual server, for the publisher; in a stable order."""
    both = select(ServerRow, OrganizationRow).join(OrganizationRow, OrganizationRow.id == ServerRow.organization_id)
    rows = await work.session.execute(both.order_by(ServerRow.id))
    return [(server, organization) for server, organization in rows]
