"""Who this gateway process is, and the key with which a gateway seals what passes through its clients.

The key is a file in the data directory: states and cursors hold across a restart and in every process that shares the
directory. What a process held in memory does not, so each start has a name of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from toolyard.gateway.errors import SealKeyUnusable
from toolyard.kit.secret_files import KEY_BYTES, SecretFileExposed, SecretFileUnusable, load_key

KEY_FILE = "seal.key"


@dataclass(frozen=True, slots=True)
class Identity:
    """`owner` names this process in what clients bring back; it has no blanks and says nothing. `seal_key` is a secret
    of 32 bytes. Where a gateway has several processes, one of them `gives_names`."""

    owner: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    seal_key: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)
    gives_names: bool = True

    def key_for(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose, so that what is made for one is nothing to another."""
        return hmac.digest(self.seal_key, purpose.encode(), hashlib.sha256)


def load_seal_key(data_dir: Path) -> bytes:
    """The sealing key of a data directory, made on first use. Raises SealKeyUnusable for a file that holds none or that
    others may read, OSError."""
    path = data_dir / KEY_FILE
    try:
        return load_key(path, point="seal_key")
    except SecretFileExposed as error:
        raise SealKeyUnusable(error.message) from None
    except SecretFileUnusable as error:
        raise SealKeyUnusable(f"{error.message}; where there is none, a new one is made") from None
