"""Files that are never half written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from toolyard.kit.faults import hit


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600, point: str = "file") -> None:
    """Replace `path` by `content`, durable when this returns: whoever reads sees the old content or the new one, also
    after a crash. A symbolic link stays and its target is replaced. Raises OSError and leaves the old content.

    Fault points: `<point>.write`, `<point>.fsync`, `<point>.replace`."""
    target = path.resolve()
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
    try:
        _write(fresh, content, mode, point)
        hit(f"{point}.replace")
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


def make_private_directory(path: Path) -> Path:
    """The directory, made with mode 0700 if it was not there."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    return path


def _write(path: Path, content: bytes, mode: int, point: str) -> None:
    hit(f"{point}.write")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        hit(f"{point}.fsync")
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
