"""The contents of files, on disk: one directory for each organization, one file for each id, for their owner only.

A content has another name until its row is about to be committed, so what an interrupted upload left behind is known by
its name, and swept away at a later start. Nothing that has its own name is ever swept, whatever the database says: it
may be the wrong one, or restored from a backup.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from toolyard.control.base.errors import StorageFull
from toolyard.kit.files import make_private_directory

_CHUNK: Final = 1024 * 1024
_ARRIVING: Final = ".arriving"
_GONE: Final = ".gone"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    size: int
    sha256: str


class Blobs:
    """The contents below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, organization_id: str, file_id: str) -> Path:
        """Where a content is."""
        return self._root / organization_id / file_id

    async def write(self, organization_id: str, file_id: str, content: BinaryIO) -> Written:
        """Write a content, not yet for good; durable when this returns. Raises StorageFull, and then nothing is
        left."""
        path = self._arriving(organization_id, file_id)
        try:
            return await asyncio.to_thread(_write, path, content)
        except OSError as error:
            await self.remove(organization_id, file_id)
            raise StorageFull(f"the file could not be kept: {error.strerror}") from error

    async def keep(self, organization_id: str, file_id: str) -> None:
        """Keep a content for good."""
        arriving = self._arriving(organization_id, file_id)
        await asyncio.to_thread(arriving.replace, self.path(organization_id, file_id))

    async def remove(self, organization_id: str, file_id: str) -> None:
        """Forget a content; it need not be there."""
        for path in (self.path(organization_id, file_id), self._arriving(organization_id, file_id)):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def remove_all(self, organization_id: str) -> None:
        """Forget the contents of an organization: at once for everybody, on the disk at the next sweep."""
        directory = self._root / organization_id
        if directory.is_dir():
            directory.rename(self._root / f"{organization_id}{_GONE}")

    async def sweep(self, *, before_s: float) -> int:
        """Take away what was forgotten, and what uploads that began before `before_s` (seconds since 1970) have left
        behind; how many there were."""
        return await asyncio.to_thread(_sweep, self._root, before_s)

    def _arriving(self, organization_id: str, file_id: str) -> Path:
        return self._root / organization_id / f"{file_id}{_ARRIVING}"


def _write(path: Path, content: BinaryIO) -> Written:
    make_private_directory(path.parent.parent)
    make_private_directory(path.parent)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
        file.flush()
        os.fsync(descriptor)
    return Written(size, digest.hexdigest())


def _sweep(root: Path, before_s: float) -> int:
    gone = list(root.glob(f"*{_GONE}"))
    for directory in gone:
        shutil.rmtree(directory, ignore_errors=True)
    left = [one for one in root.glob(f"*/*{_ARRIVING}") if one.stat().st_mtime < before_s]
    for file in left:
        file.unlink(missing_ok=True)
    return len(gone) + len(left)
