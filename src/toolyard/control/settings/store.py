"""Settings in the database: those of one organization, and those of the platform."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import func, select

from toolyard.control.base.store import flush
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work
from toolyard.control.settings.errors import TooManySettings
from toolyard.control.settings.model import PlatformSettingRow, SettingRow
from toolyard.control.tools.model import ToolRow
from toolyard.control.upstreams.model import UpstreamRow

Level = Literal["organization", "platform"]
AnySetting = SettingRow | PlatformSettingRow
MAX_SETTINGS = 2000


class SettingStore:
    """The settings of one level."""

    def __init__(self, work: Work, level: Level) -> None:
        self._work = work
        self._row: Any = SettingRow if level == "organization" else PlatformSettingRow
        self._scope = [SettingRow.organization_id == work.organization_id] if level == "organization" else []

    async def every(self, keys: Iterable[str] | None = None) -> dict[str, AnySetting]:
        """The settings that were changed, by key; all, or those of some keys."""
        statement = select(self._row).where(*self._scope).order_by(self._row.key)
        if keys is not None:
            statement = statement.where(self._row.key.in_(list(keys)))
        return {row.key: row for row in (await self._work.session.execute(statement)).scalars()}

    async def put(self, key: str, value: Any, before: AnySetting | None) -> AnySetting:
        """Write a value. Raises TooManySettings, VersionOutdated."""
        now, by = self._work.now, self._work.caller.id
        if before is not None:
            before.value, before.changed_by, before.updated_at = {"value": value}, by, now
            await flush(self._work)
            return before
        if await self._count() >= MAX_SETTINGS:
            raise TooManySettings
        row: AnySetting = self._row(id=new_id("se"), key=key, value={"value": value}, changed_by=by)
        if isinstance(row, SettingRow):
            row.organization_id = self._work.organization_id
        row.created_at = row.updated_at = now
        self._work.session.add(row)
        await flush(self._work)
        return row

    async def remove(self, row: AnySetting) -> None:
        """Forget a value."""
        await self._work.session.delete(row)
        await flush(self._work)

    async def _count(self) -> int:
        counted = select(func.count()).select_from(self._row).where(*self._scope)
        return int((await self._work.session.execute(counted)).scalar_one())


async def tool_is_offered(work: Work, upstream: str, tool: str) -> bool:
    """Whether an upstream of the organization has that tool, and both are on."""
    found = (
        select(ToolRow.id)
        .join(UpstreamRow, UpstreamRow.id == ToolRow.upstream_id)
        .where(
            ToolRow.organization_id == work.organization_id,
            UpstreamRow.organization_id == work.organization_id,
            UpstreamRow.name == upstream,
            UpstreamRow.enabled,
            ToolRow.kind == "tool",
            ToolRow.name == tool,
            ToolRow.enabled,
            ToolRow.gone_at.is_(None),
        )
    )
    return (await work.session.execute(found.limit(1))).scalar_one_or_none() is not None


async def off_everywhere(work: Work, family: str) -> list[tuple[str | None, str]]:
    """(organization, name) of everything of a family that is switched off, in all organizations; None: for all."""
    found: list[tuple[str | None, str]] = []
    for row in (await work.session.execute(select(PlatformSettingRow))).scalars():
        if row.key.startswith(family) and row.value["value"] is False:
            found.append((None, row.key.removeprefix(family)))
    own = select(SettingRow).where(SettingRow.key.startswith(family, autoescape=True))
    for setting in (await work.session.execute(own)).scalars():
        if setting.value["value"] is False:
            found.append((setting.organization_id, setting.key.removeprefix(family)))
    return found


async def said_everywhere(work: Work, key: str) -> tuple[Any, dict[str, Any]]:
    """What the platform says of a setting (None if nothing), and what organizations say, by their ids."""
    of_platform = await work.session.scalar(select(PlatformSettingRow).where(PlatformSettingRow.key == key))
    own = (await work.session.execute(select(SettingRow).where(SettingRow.key == key))).scalars()
    return of_platform.value["value"] if of_platform else None, {row.organization_id: row.value["value"] for row in own}
