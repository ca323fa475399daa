"""The SQL of tools and their definitions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sqlalchemy import func, or_, select

from toolyard.control.base.errors import NotFound
from toolyard.control.base.pages import Page, PageQuery, Sortable
from toolyard.control.base.store import Store
from toolyard.control.base.work import Work
from toolyard.control.identity.model import MemberRow, OrganizationRow
from toolyard.control.tools.model import DefinitionRow, ObservedRow, ToolRow
from toolyard.control.upstreams.model import UpstreamRow

One = TypeVar("One")
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tools are looked for; None is any. `upstream`: its name or id."""

    kind: str | None = None
    upstream: str | None = None
    enabled: bool | None = None
    category: str | None = None
    tag: str | None = None
    owner: str | None = None
    gone: bool = False


class Tools(Store[ToolRow]):
    row = ToolRow
    sortable: ClassVar[Sortable] = {
        "name": ToolRow.label,
        "changed_at": ToolRow.changed_at,
        "first_seen_at": ToolRow.first_seen_at,
        "updated_at": ToolRow.updated_at,
    }
    searched = ("name", "title", "description")

    async def chosen(self, query: PageQuery, wanted: Wanted) -> Page[ToolRow]:
        """One page of those that are looked for. Raises Invalid."""
        given = [(name, getattr(wanted, name)) for name in ("kind", "enabled", "category", "owner")]
        conditions = [getattr(ToolRow, name) == value for name, value in given if value is not None]
        conditions.append(ToolRow.gone_at.is_not(None) if wanted.gone else ToolRow.gone_at.is_(None))
        if wanted.upstream is not None:
            upstream_id = await self.upstream_named(wanted.upstream) or wanted.upstream
            conditions.append(ToolRow.upstream_id == upstream_id)
        if wanted.tag is not None:
            conditions.append(ToolRow.tags.icontains(f",{wanted.tag},", autoescape=True))
        return await self.page(query, *conditions)

    async def known_of(self, upstream_id: str) -> dict[str, ToolRow]:
        """All that was ever seen of an upstream, by key."""
        return {row.key: row for row in await self.every(ToolRow.upstream_id == upstream_id)}

    async def categories(self) -> dict[str, int]:
        """How many tools there are in each category."""
        found = (
            select(ToolRow.category, func.count())
            .where(ToolRow.organization_id == self.work.organization_id, ToolRow.gone_at.is_(None))
            .group_by(ToolRow.category)
            .order_by(ToolRow.category)
        )
        return {row[0]: row[1] for row in await self.session.execute(found)}

    async def counted(self) -> list[tuple[str, str, bool, bool, int]]:
        """How many there are by kind and upstream: (kind, upstream id, enabled, gone, count)."""
        gone = ToolRow.gone_at.is_not(None)
        found = (
            select(ToolRow.kind, ToolRow.upstream_id, ToolRow.enabled, gone, func.count())
            .where(ToolRow.organization_id == self.work.organization_id)
            .group_by(ToolRow.kind, ToolRow.upstream_id, ToolRow.enabled, gone)
        )
        return [
            (kind, upstream, on, bool(away), n) for kind, upstream, on, away, n in await self.session.execute(found)
        ]

    async def upstream_names(self, upstream_ids: Collection[str]) -> dict[str, str]:
        """The names of upstreams by their ids."""
        found = select(UpstreamRow.id, UpstreamRow.name).where(
            UpstreamRow.organization_id == self.work.organization_id, UpstreamRow.id.in_(list(upstream_ids))
        )
        return {row[0]: row[1] for row in await self.session.execute(found)}

    async def upstream_named(self, name: str) -> str | None:
        """The id of the upstream of that name."""
        found = select(UpstreamRow.id).where(
            UpstreamRow.organization_id == self.work.organization_id, UpstreamRow.name == name
        )
        return (await self.session.execute(found)).scalar_one_or_none()

    async def upstream_of(self, row: ToolRow) -> UpstreamRow:
        """The upstream that a tool is of."""
        mine = select(UpstreamRow).where(UpstreamRow.organization_id == self.work.organization_id)
        return (await self.session.execute(mine.where(UpstreamRow.id == row.upstream_id))).scalar_one()

    async def upstreams(self) -> list[UpstreamRow]:
        """The organization's upstreams."""
        mine = select(UpstreamRow).where(UpstreamRow.organization_id == self.work.organization_id)
        return list(await self.session.scalars(mine.order_by(UpstreamRow.id)))

    async def every_said(self) -> list[ToolRow]:
        """Those of which anything is said here."""
        rows = await self.every()
        return [row for row in rows if not row.enabled or row.timeout_s or row.tags or row.category or row.settings]

    async def has_member(self, user_id: str) -> bool:
        """Whether somebody belongs to the organization."""
        found = select(MemberRow.id).where(
            MemberRow.organization_id == self.work.organization_id, MemberRow.user_id == user_id
        )
        return (await self.session.execute(found)).first() is not None


class Definitions(Store[DefinitionRow]):
    row = DefinitionRow

    async def of(self, row: ToolRow) -> DefinitionRow:
        """What the upstream said of a tool. Raises NotFound."""
        found = await self.find(DefinitionRow.digest == row.digest)
        if found is None:
            raise NotFound
        return found

    async def known(self, digests: Sequence[str]) -> set[str]:
        """Those of these that are kept already."""
        known: set[str] = set()
        mine = select(DefinitionRow.digest).where(DefinitionRow.organization_id == self.work.organization_id)
        for some in _parts(digests):
            known.update(await self.session.scalars(mine.where(DefinitionRow.digest.in_(some))))
        return known


class Observed(Store[ObservedRow]):
    row = ObservedRow

    async def of(self, upstream_id: str) -> ObservedRow | None:
        """What an upstream was seen to offer the last time."""
        return await self.find(ObservedRow.upstream_id == upstream_id)


async def hold(work: Work) -> None:
    """Let nobody else take in what upstreams of this organization offer until this work ends."""
    mine = select(OrganizationRow.id).where(OrganizationRow.id == work.organization_id)
    await work.session.execute(mine.with_for_update(key_share=True))


async def ruled(work: Work, only: Collection[str] | None) -> list[tuple[str, str, bool, float | None, str]]:
    """Of all organizations' tools those of which something is said that gateways must know: (upstream id, name,
    enabled, timeout, tags); for work on behalf of the platform."""
    found = select(ToolRow.upstream_id, ToolRow.name, ToolRow.enabled, ToolRow.timeout_s, ToolRow.tags).where(
        ToolRow.kind == "tool", or_(ToolRow.enabled.is_(False), ToolRow.timeout_s.is_not(None), ToolRow.tags != "")
    )
    if only is not None:
        found = found.where(ToolRow.upstream_id.in_(list(only)))
    rows: Any = await work.session.execute(found.order_by(ToolRow.id))
    return [tuple(row) for row in rows]


def _parts(items: Sequence[One]) -> Iterator[Sequence[One]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
