"""The organizations of the platform. All of this is work of all organizations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from toolyard.control.base.database import EVERYBODY
from toolyard.control.base.errors import Taken
from toolyard.control.base.store import flush
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.identity.errors import DefaultOrganization, SlugReserved
from toolyard.control.identity.events import (
    OrganizationChanged,
    OrganizationCreated,
    OrganizationDisabled,
    OrganizationEnabled,
    OrganizationRemoved,
)
from toolyard.control.identity.model import DEFAULT_ORGANIZATION, OrganizationRow
from toolyard.control.identity.revocation import void_tokens
from toolyard.control.identity.store import Organizations, users_of

RESERVED: Final = frozenset({DEFAULT_ORGANIZATION, "server", "info", "health", "system", "platform"})


async def create(work: Work, slug: str, name: str, description: str) -> OrganizationRow:
    """A new organization. Raises SlugReserved, Taken."""
    if slug in RESERVED:
        raise SlugReserved(f"'{slug}' is reserved")
    if await Organizations(work).named(slug) is not None:
        raise Taken
    row = OrganizationRow(id=new_id("or"), slug=slug, name=name, description=description)
    row = await Organizations(work).add(row)
    work.announce(OrganizationCreated(row.id, slug), organization_id=row.id)
    return row


async def change(work: Work, row: OrganizationRow, given: Mapping[str, Any]) -> OrganizationRow:
    """What is given is different. Disabling it voids the access tokens of all who belong to it. Raises
    DefaultOrganization."""
    was_enabled, row.enabled = row.enabled, given.get("enabled", row.enabled)
    if row.id == DEFAULT_ORGANIZATION and not row.enabled:
        raise DefaultOrganization
    row.name, row.description = given.get("name", row.name), given.get("description", row.description)
    row.updated_at = work.now
    await flush(work)
    if was_enabled and not row.enabled:
        await void_tokens(work, *await users_of(work, row.id))
        work.announce(OrganizationDisabled(row.id), organization_id=row.id)
    elif row.enabled and not was_enabled:
        work.announce(OrganizationEnabled(row.id), organization_id=row.id)
    work.announce(OrganizationChanged(row.id), organization_id=row.id)
    return row


async def remove(work: Work, row: OrganizationRow) -> None:
    """An organization is gone with all it has; people's accounts stay. Raises DefaultOrganization."""
    if row.id == DEFAULT_ORGANIZATION:
        raise DefaultOrganization
    await void_tokens(work, *await users_of(work, row.id))
    # Written before its own facts go with it: SQLite numbers from the last fact that there is.
    work.announce(OrganizationRemoved(row.id, row.slug), organization_id=EVERYBODY)
    await flush(work)
    await work.session.delete(row)
    await flush(work)
