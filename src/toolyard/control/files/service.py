"""What can be done with files."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from toolyard.control.base.caller import Caller
from toolyard.control.base.facts import Fact
from toolyard.control.base.tables import new_id
from toolyard.control.base.work import Work, Works
from toolyard.control.files.blobs import Blobs, Written
from toolyard.control.files.errors import QuotaExceeded
from toolyard.control.files.events import FileRemoved, FileUploaded
from toolyard.control.files.model import FileRow
from toolyard.control.files.store import FileStore
from toolyard.control.files.upload import MAX_FILE_BYTES, Upload
from toolyard.control.identity.events import OrganizationRemoved
from toolyard.kit.logs import get_logger

log = get_logger(__name__)
QUOTA_BYTES: Final = 1024 * 1024 * 1024
YOUNG: Final = dt.timedelta(hours=1)
"""What is younger may belong to an upload that another process is just taking in."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How large one file may be, and all of an organization together."""

    file_bytes: int = MAX_FILE_BYTES
    organization_bytes: int = QUOTA_BYTES


class Files:
    """Uploaded files. Contents are written before their transaction begins, and removed after it has ended."""

    def __init__(self, blobs: Blobs, limits: FileLimits = FileLimits()) -> None:
        self.blobs = blobs
        self.limits = limits

    async def add(self, works: Works, caller: Caller, upload: Upload) -> FileRow:
        """Keep an upload. Raises QuotaExceeded, StorageFull."""
        file_id = new_id("fi")
        written = await self.blobs.write(caller.organization_id, file_id, upload.content)
        try:
            async with works.write(caller) as work:
                return await self._add(work, file_id, upload, written)
        except BaseException:
            await self.blobs.remove(caller.organization_id, file_id)
            raise

    async def remove(self, works: Works, caller: Caller, file_id: str) -> None:
        """Remove a file. Raises FileNotHere."""
        async with works.write(caller) as work:
            row = await FileStore(work).get(file_id)
            await FileStore(work).remove(row)
            work.announce(FileRemoved(row.id, row.name))
        await self.blobs.remove(caller.organization_id, file_id)

    async def sweep(self, works: Works) -> None:
        """Take away what earlier runs left behind. For the start of the program."""
        removed = await self.blobs.sweep(before_s=(works.now() - YOUNG).timestamp())
        if removed:
            log.info("files_swept", removed=removed)

    def heard(self, facts: tuple[Fact, ...]) -> None:
        """Forget the contents of organizations that are gone, as their rows are."""
        for fact in facts:
            if isinstance(fact, OrganizationRemoved):
                self.blobs.remove_all(fact.id)

    async def _add(self, work: Work, file_id: str, upload: Upload, written: Written) -> FileRow:
        store = FileStore(work)
        if await store.used_bytes() + written.size > self.limits.organization_bytes:
            raise QuotaExceeded
        row = FileRow(
            id=file_id,
            name=upload.name,
            media_type=upload.media_type,
            description=upload.description,
            size=written.size,
            sha256=written.sha256,
            uploaded_by=work.caller.id,
        )
        await store.add(row)
        await self.blobs.keep(row.organization_id, file_id)
        work.announce(FileUploaded(row.id, row.name, row.size, row.sha256))
        return row


async def find(work: Work, file_id: str) -> FileRow:
    """The file with that id. Raises FileNotHere."""
    return await FileStore(work).get(file_id)
