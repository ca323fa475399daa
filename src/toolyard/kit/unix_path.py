"""Unix sockets at paths: private ones, and those whose path is longer than the 107 bytes an address can hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

MAX_BYTES = 100


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address to bind or connect to within the block: the path, or on Linux a short name of it through its open
    directory. Raises OSError if the directory cannot be opened or the path is too long elsewhere."""
    if len(os.fsencode(path)) <= MAX_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def bind_private(path: Path) -> socket:
    """A Unix socket that only this user can open from its first moment on; a file left at `path` is replaced. Raises
    OSError."""
    path.unlink(missing_ok=True)
    listening = socket(AF_UNIX, SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with socket_address(path) as address:
            listening.bind(address)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening
