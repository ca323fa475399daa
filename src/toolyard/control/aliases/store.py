"""What the founding documents' calls read of other slices' tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select

from toolyard.control.base.pages import Page, PageQuery
from toolyard.control.base.store import Store
from toolyard.control.base.work import Work
from toolyard.control.keys.model import KeyRow
from toolyard.control.servers.model import ServerRow
from toolyard.control.tools.model import ToolRow
from toolyard.control.upstreams.model import UpstreamRow


class Groups(Store[ServerRow]):
    """Virtual servers."""

    row = ServerRow


class Services(Store[UpstreamRow]):
    """Upstreams."""

    row = UpstreamRow

    async def names(self, ids: Collection[str]) -> dict[str, str]:
        """The names of upstreams by their ids."""
        return {row.id: row.name for row in await self.every(UpstreamRow.id.in_(list(ids)))}


class GroupTools(Store[ToolRow]):
    """Tools that their upstreams offer."""

    row = ToolRow

    async def listed(self, query: PageQuery) -> Page[ToolRow]:
        """One page of them."""
        return await self.page(query, ToolRow.kind == "tool", ToolRow.gone_at.is_(None))

    async def of_members(self, members: Collection[tuple[str, str]]) -> dict[tuple[str, str], ToolRow]:
        """Those that are called so, as (upstream, tool)."""
        names = {upstream for upstream, _ in members}
        upstreams = await Services(self.work).every(UpstreamRow.name.in_(names))
        by_id = {row.id: row.name for row in upstreams}
        found = await self.every(
            ToolRow.kind == "tool",
            ToolRow.upstream_id.in_(list(by_id)),
            ToolRow.name.in_({tool for _, tool in members}),
        )
        return {(by_id[row.upstream_id], row.name): row for row in found}


class Keys(Store[KeyRow]):
    """Keys of virtual servers."""

    row = KeyRow

    async def newest(self, server_id: str) -> KeyRow | None:
        """The newest key of a virtual server that still opens it."""
        good = self.scoped().where(KeyRow.revoked_at.is_(None), KeyRow.replaced_by.is_(None))
        mine = good.where(KeyRow.server_id == server_id).order_by(KeyRow.created_at.desc(), KeyRow.id.desc())
        return (await self.session.execute(mine.limit(1))).scalar_one_or_none()


async def counted(work: Work, row: type[Any], *conditions: Any) -> tuple[int, int]:
    """How many rows the organization has, and how many of them are on."""
    wanted = [row.organization_id == work.organization_id, *conditions]
    total = select(func.count()).select_from(row).where(*wanted)
    on = total.where(row.enabled.is_(True))
    return int((await work.session.execute(total)).scalar_one()), int((await work.session.execute(on)).scalar_one())
