"""The contents of files, on disk: one directory for each organization, one file for each id, for their owner only.

What is written and has no row (the program ended in between), or lost its row (an organization was removed), is swept
away at the next start.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from toolyard.control.base.errors import StorageFull
from toolyard.kit.files import make_private_directory

_CHUNK: Final = 1024 * 1024


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
        """Keep a content; durable when this returns. Raises StorageFull, and then nothing is kept."""
        path = self.path(organization_id, file_id)
        try:
            return await asyncio.to_thread(_write, path, content)
        except OSError as error:
            await self.remove(organization_id, file_id)
            raise StorageFull(f"the file could not be kept: {error.strerror}") from error

    async def remove(self, organization_id: str, file_id: str) -> None:
        """Forget a content; it need not be there."""
        await asyncio.to_thread(self.path(organization_id, file_id).unlink, missing_ok=True)

    async def sweep(self, known: Collection[tuple[str, str]], *, before_s: float) -> int:
        """Remove every content from before `before_s` (seconds since 1970) that is not among the known (organization,
        id); how many there were."""
        return await asyncio.to_thread(_sweep, self._root, frozenset(known), before_s)


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


def _sweep(root: Path, known: frozenset[tuple[str, str]], before_s: float) -> int:
    removed = 0
    for directory in root.iterdir() if root.is_dir() else ():
        for file in list(directory.iterdir()):
            if (directory.name, file.name) not in known and file.stat().st_mtime < before_s:
                file.unlink(missing_ok=True)
                removed += 1
    return removed
