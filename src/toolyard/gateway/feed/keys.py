"""The issued API keys of an installation: `keys.json` and `pepper` in the data directory, readable by their owner only.

`keys.json` holds ids and digests, `pepper` the secret that the digests were made with; neither is any use without
the other, and neither contains a key. Several processes may change the keys at once (the command line, a gateway): each
change is made under a lock and written atomically.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from toolyard.contract.snapshot import KeyRecord
from toolyard.kit.errors import PlatformError
from toolyard.kit.files import make_private_directory, write_atomically
from toolyard.policy.keys import Pepper, issue, rotate

KEYS_FILE = "keys.json"
PEPPER_FILE = "pepper"
_FIELDS = {field.name for field in fields(KeyRecord)}


class KeysExposed(PlatformError):
    """A file of the key store can be read by other users of this machine."""

    code = "keys_exposed"


class KeysUnreadable(PlatformError):
    """A file of the key store cannot be read or is not what was written."""

    code = "keys_unreadable"


class KeyUnknown(PlatformError):
    """There is no API key with that id."""

    code = "key_unknown"
    status = 404


class KeyStore:
    """The keys as they were last read from the data directory. `refresh` reads them again."""

    def __init__(self, data_dir: Path) -> None:
        """Raises KeysExposed, KeysUnreadable."""
        self._dir = make_private_directory(data_dir)
        self.path = data_dir / KEYS_FILE
        self.peppers: Mapping[int, bytes] = MappingProxyType(self._read_or_make_pepper())
        self.records: Mapping[str, KeyRecord] = MappingProxyType(self._read())

    def refresh(self) -> Mapping[str, KeyRecord]:
        """Read the keys again. Raises KeysExposed, KeysUnreadable, and then keeps what it had."""
        self.records = MappingProxyType(self._read())
        return self.records

    def create(
        self, server: str, name: str = "", *, now: float, expires_at: float | None = None
    ) -> tuple[str, KeyRecord]:
        """A new key for a virtual server: the key itself, which is kept nowhere, and its record."""
        plain, record = issue(server, name, self._pepper(), now=now, expires_at=expires_at)
        with self._changing() as records:
            records[record.id] = record
        return plain, record

    def revoke(self, key_id: str) -> KeyRecord:
        """Disable a key for good. Raises KeyUnknown."""
        with self._changing() as records:
            records[key_id] = replace(_get(records, key_id), disabled=True)
        return self.records[key_id]

    def rotate(self, key_id: str, *, now: float, grace_s: float) -> tuple[str, KeyRecord]:
        """A new key in the place of another, which is accepted for `grace_s` seconds more. Raises KeyUnknown."""
        with self._changing() as records:
            plain, fresh, old = rotate(_get(records, key_id), self._pepper(), now=now, grace_s=grace_s)
            records[old.id] = old
            records[fresh.id] = fresh
        return plain, fresh

    def _pepper(self) -> Pepper:
        version = max(self.peppers)
        return Pepper(version, self.peppers[version])

    @contextmanager
    def _changing(self) -> Iterator[dict[str, KeyRecord]]:
        """The records as they are on disk now, to be changed; written when the block ends without an error."""
        with locked(self._dir):
            records = self._read()
            yield records
            content = {"version": 1, "keys": [asdict(record) for record in records.values()]}
            write_atomically(self.path, json.dumps(content, indent=1).encode() + b"\n", point="keys")
            self.records = MappingProxyType(records)

    def _read(self) -> dict[str, KeyRecord]:
        content = _read_private(self.path)
        if content is None:
            return {}
        try:
            entries = json.loads(content)["keys"]
            return {entry["id"]: _record(entry) for entry in entries}
        except (ValueError, TypeError, KeyError, RecursionError):
            raise KeysUnreadable(f"{self.path} is not a file of API keys; restore it from a backup") from None

    def _read_or_make_pepper(self) -> dict[int, bytes]:
        path = self._dir / PEPPER_FILE
        with locked(self._dir):
            content = _read_private(path)
            if content is None and self.path.exists():
                raise KeysUnreadable(f"{path} is missing, without which no key in {self.path} can be verified")
            if content is None:
                content = f"1 {secrets.token_hex(32)}\n".encode()
                write_atomically(path, content, point="pepper")
        try:
            pairs = (line.split() for line in content.decode("ascii").splitlines() if line.strip())
            peppers = {int(version): bytes.fromhex(value) for version, value in pairs}
        except ValueError:
            peppers = {}
        if not peppers or any(len(value) < 32 for value in peppers.values()):
            raise KeysUnreadable(f"{path} does not hold what was written into it; restore it from a backup")
        return peppers


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Within the block, no other process is in such a block for the same directory."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _get(records: Mapping[str, KeyRecord], key_id: str) -> KeyRecord:
    record = records.get(key_id)
    if record is None:
        raise KeyUnknown(f"there is no API key '{key_id}'", key_id=key_id)
    return record


def _record(entry: dict[str, Any]) -> KeyRecord:
    record = KeyRecord(**{name: value for name, value in entry.items() if name in _FIELDS})
    if not all(isinstance(text, str) for text in (record.id, record.server, record.digest)):
        raise TypeError("id, server and digest are texts")
    return record


def _read_private(path: Path) -> bytes | None:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysUnreadable(f"{path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise KeysExposed(f"{path} can be read by other users; mend it with: chmod 600 {path}")
    return content
