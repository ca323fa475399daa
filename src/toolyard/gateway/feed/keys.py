"""The issued API keys of an installation: `keys.json` and `pepper` in the data directory, readable by their owner only.

`keys.json` holds ids and digests, `pepper` the secret that the digests were made with; neither is any use without
the other, and neither contains a key. Several processes may change the keys at once (the command line, a gateway): each
change is made under a lock and written atomically.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from toolyard.contract.snapshot import KeyRecord
from toolyard.kit.errors import PlatformError
from toolyard.kit.files import make_private_directory, write_atomically
from toolyard.kit.secret_files import SecretFileExposed, SecretFileUnusable, locked, read_private
from toolyard.policy.keys import issue, rotate
from toolyard.policy.peppers import KeysExposed, KeysUnreadable, load_peppers, newest

KEYS_FILE = "keys.json"
_FIELDS = {field.name for field in fields(KeyRecord)}


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
        peppers = load_peppers(data_dir, needed_by=str(self.path) if self.path.exists() else None)
        self.peppers: Mapping[int, bytes] = MappingProxyType(dict(peppers))
        self.records: Mapping[str, KeyRecord] = MappingProxyType(self._read())

    def refresh(self) -> Mapping[str, KeyRecord]:
        """Read the keys again. Raises KeysExposed, KeysUnreadable, and then keeps what it had."""
        self.records = MappingProxyType(self._read())
        return self.records

    def create(
        self, server: str, name: str = "", *, now: float, expires_at: float | None = None
    ) -> tuple[str, KeyRecord]:
        """A new key for a virtual server: the key itself, which is kept nowhere, and its record."""
        plain, record = issue(server, name, newest(self.peppers), now=now, expires_at=expires_at)
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
            plain, fresh, old = rotate(_get(records, key_id), newest(self.peppers), now=now, grace_s=grace_s)
            records[old.id] = old
            records[fresh.id] = fresh
        return plain, fresh

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


def _get(records: Mapping[str, KeyRecord], key_id: str) -> KeyRecord:
    record = records.get(key_id)
    if record is None:
        raise KeyUnknown(f"there is no API key '{key_id}'", key_id=key_id)
    return record


def _record(entry: dict[str, Any]) -> KeyRecord:
    try:
        return msgspec.convert({name: value for name, value in entry.items() if name in _FIELDS}, KeyRecord)
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from None


def _read_private(path: Path) -> bytes | None:
    try:
        return read_private(path)
    except SecretFileExposed as error:
        raise KeysExposed(error.message) from None
    except SecretFileUnusable as error:
        raise KeysUnreadable(error.message) from None
