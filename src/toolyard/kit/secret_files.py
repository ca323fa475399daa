"""Files that hold a secret of this installation: in the data directory, made on first use, for their owner only.

Several processes may want one at the same moment (the command line, a gateway, the control plane): it is made under a
lock of its directory and written atomically, so that all of them get the same content.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolyard.kit.errors import PlatformError
from toolyard.kit.files import make_private_directory, write_atomically

KEY_BYTES = 32


class SecretFileExposed(PlatformError):
    """A file that holds a secret can be read by other users of this machine."""

    code = "secret_file_exposed"


class SecretFileUnusable(PlatformError):
    """A file that should hold a secret holds something else."""

    code = "secret_file_unusable"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Within the block, no other process is in such a block for the same directory. Not to be nested."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def read_private(path: Path) -> bytes | None:
    """What the file holds, None if there is none. Raises SecretFileExposed if others may read it, SecretFileUnusable if
    it cannot be read."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise SecretFileExposed(f"{path} can be read by other users; mend it with: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretFileUnusable(f"{path} cannot be read: {error.strerror}") from None


def read_or_make(path: Path, make: Callable[[], bytes], *, point: str) -> bytes:
    """What the file holds; where there is none, it is made with what `make` gives. `make` may raise what it wants, and
    then nothing is written. Raises SecretFileExposed, SecretFileUnusable, OSError. Fault points as of
    `write_atomically`."""
    with locked(make_private_directory(path.parent)):
        content = read_private(path)
        if content is None:
            content = make()
            write_atomically(path, content, point=point)
    return content


def load_key(path: Path, *, point: str) -> bytes:
    """The key of 32 bytes that the file holds in hexadecimal, made on first use. Raises SecretFileExposed,
    SecretFileUnusable, OSError."""
    content = read_or_make(path, lambda: secrets.token_hex(KEY_BYTES).encode(), point=point)
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretFileUnusable(f"{path} holds no key of {KEY_BYTES} bytes")
    return key
