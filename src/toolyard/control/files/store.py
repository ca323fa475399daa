"""Files in the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from toolyard.control.base.store import Store
from toolyard.control.files.errors import FileNotHere
from toolyard.control.files.model import FileRow
from toolyard.control.identity.model import OrganizationRow


class FileStore(Store[FileRow]):
    """The files of an organization."""

    row = FileRow
    missing = FileNotHere
    sortable = {"name": FileRow.name, "size": FileRow.size, "created_at": FileRow.created_at}
    searched = ("name", "description")

    def conditions(self, **wanted: Any) -> list[Any]:
        """Conditions for columns that shall have a value; None is any."""
        return [getattr(FileRow, name) == value for name, value in wanted.items() if value is not None]

    async def used_bytes(self) -> int:
        """How much the organization keeps. Nobody else adds to it until this transaction ends."""
        mine = select(OrganizationRow.id).where(OrganizationRow.id == self.work.organization_id)
        await self.session.execute(mine.with_for_update())
        summed = select(func.coalesce(func.sum(FileRow.size), 0))
        found = summed.where(FileRow.organization_id == self.work.organization_id)
        return int((await self.session.execute(found)).scalar_one())
