"""The SQL of upstreams, their states, credentials and tries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import ClassVar

from sqlalchemy import Select, select

from toolyard.control.base.pages import Sortable
from toolyard.control.base.store import Store
from toolyard.control.base.work import Work
from toolyard.control.identity.model import OrganizationRow
from toolyard.control.upstreams.model import CredentialRow, TryRow, UpstreamRow, UpstreamStateRow

WithSlug = tuple[UpstreamRow, str]


class Upstreams(Store[UpstreamRow]):
    row = UpstreamRow
    sortable: ClassVar[Sortable] = {
        "name": UpstreamRow.name,
        "kind": UpstreamRow.kind,
        "created_at": UpstreamRow.created_at,
        "updated_at": UpstreamRow.updated_at,
    }
    searched = ("name", "description")

    async def named(self, name: str) -> UpstreamRow | None:
        """The one of that name."""
        return await self.find(UpstreamRow.name == name)


class States(Store[UpstreamStateRow]):
    row = UpstreamStateRow

    async def of(self, upstream_ids: Collection[str]) -> dict[str, list[UpstreamStateRow]]:
        """What gateways told of some upstreams, by their ids."""
        found: dict[str, list[UpstreamStateRow]] = {one: [] for one in upstream_ids}
        for row in await self.every(UpstreamStateRow.upstream_id.in_(list(upstream_ids))):
            found[row.upstream_id].append(row)
        return found


class Credentials(Store[CredentialRow]):
    row = CredentialRow
    sortable: ClassVar[Sortable] = {"name": CredentialRow.name, "updated_at": CredentialRow.updated_at}
    searched = ("name", "description")

    async def named(self, names: Iterable[str]) -> dict[str, CredentialRow]:
        """Those of these names that there are."""
        return {row.name: row for row in await self.every(CredentialRow.name.in_(list(names)))}

    async def belonging_to(self, upstream_id: str) -> list[CredentialRow]:
        """Those that belong to one upstream."""
        return await self.every(CredentialRow.upstream_id == upstream_id)


class Tries(Store[TryRow]):
    row = TryRow


async def all_upstreams(work: Work, only: Collection[str] | None) -> list[WithSlug]:
    """Upstreams of all organizations that are enabled, each with its organization's slug; for work on behalf of the
    platform. `only`: some by their ids."""
    found: Select[UpstreamRow, str] = (
        select(UpstreamRow, OrganizationRow.slug)
        .join(OrganizationRow, OrganizationRow.id == UpstreamRow.organization_id)
        .where(OrganizationRow.enabled)
        .order_by(UpstreamRow.id)
    )
    if only is not None:
        found = found.where(UpstreamRow.id.in_(list(only)))
    return [(row, slug) for row, slug in await work.session.execute(found)]


async def all_credentials(work: Work) -> list[CredentialRow]:
    """Credentials of all organizations; for work on behalf of the platform."""
    return list(await work.session.scalars(select(CredentialRow)))


async def upstreams_called(work: Work, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], UpstreamRow]:
    """Upstreams of any organization by its slug and their name; for work on behalf of the platform."""
    if not wanted:
        return {}
    found = (
        select(UpstreamRow, OrganizationRow.slug)
        .join(OrganizationRow, OrganizationRow.id == UpstreamRow.organization_id)
        .where(UpstreamRow.name.in_({name for _, name in wanted}))
        .where(OrganizationRow.slug.in_({slug for slug, _ in wanted}))
    )
    return {(slug, row.name): row for row, slug in await work.session.execute(found) if (slug, row.name) in wanted}


async def states_told_by(work: Work, gateway: str, upstream_ids: Collection[str]) -> list[UpstreamStateRow]:
    """What one gateway told of upstreams of any organization; for work on behalf of the platform."""
    if not upstream_ids:
        return []
    found = select(UpstreamStateRow).where(
        UpstreamStateRow.gateway == gateway[:200], UpstreamStateRow.upstream_id.in_(list(upstream_ids))
    )
    return list(await work.session.scalars(found))


async def all_tries(work: Work) -> list[TryRow]:
    """Tries of all organizations that wait for an answer; for work on behalf of the platform."""
    return list(await work.session.scalars(select(TryRow).where(TryRow.state == "pending").order_by(TryRow.id)))


async def try_of_anybody(work: Work, try_id: str) -> TryRow | None:
    """A try of any organization; for work on behalf of the platform."""
    return await work.session.get(TryRow, try_id)


async def old_tries(work: Work, before: dt.datetime) -> list[TryRow]:
    """Tries of all organizations that were asked for before a time; for work on behalf of the platform."""
    return list(await work.session.scalars(select(TryRow).where(TryRow.expires_at < before)))
