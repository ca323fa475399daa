"""The peppers of an installation: the secrets with which the digests of its API keys are made, one for each version.

They are in one file of the data directory, `pepper`, with a version and a value on each line; whoever verifies keys on
this machine reads the same file.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from toolyard.kit.errors import PlatformError
from toolyard.kit.secret_files import SecretFileExposed, SecretFileUnusable, read_or_make
from toolyard.policy.keys import Pepper

PEPPER_FILE = "pepper"
MIN_PEPPER_BYTES = 32


class KeysExposed(PlatformError):
    """A file of the key store can be read by other users of this machine."""

    code = "keys_exposed"


class KeysUnreadable(PlatformError):
    """A file of the key store cannot be read or is not what was written."""

    code = "keys_unreadable"


def load_peppers(data_dir: Path, *, needed_by: str | None = None) -> Mapping[int, bytes]:
    """The peppers by version. Where there are none, the first is made, unless digests exist already: `needed_by` then
    says where, since no new pepper could verify them. Raises KeysExposed, KeysUnreadable, OSError."""
    path = data_dir / PEPPER_FILE

    def make() -> bytes:
        if needed_by is not None:
            raise KeysUnreadable(f"{path} is missing, without which no key in {needed_by} can be verified")
        return f"1 {secrets.token_hex(MIN_PEPPER_BYTES)}\n".encode()

    try:
        content = read_or_make(path, make, point="pepper")
    except SecretFileExposed as error:
        raise KeysExposed(error.message) from None
    except SecretFileUnusable as error:
        raise KeysUnreadable(error.message) from None
    peppers = _parse(content)
    if not peppers or any(len(value) < MIN_PEPPER_BYTES for value in peppers.values()):
        raise KeysUnreadable(f"{path} does not hold what was written into it; restore it from a backup")
    return peppers


def newest(peppers: Mapping[int, bytes]) -> Pepper:
    """The pepper for the digests of new keys."""
    version = max(peppers)
    return Pepper(version, peppers[version])


def _parse(content: bytes) -> dict[int, bytes]:
    try:
        pairs = (line.split() for line in content.decode("ascii").splitlines() if line.strip())
        return {int(version): bytes.fromhex(value) for version, value in pairs}
    except ValueError:
        return {}
