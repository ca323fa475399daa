"""The digest of a snapshot: the same for the same content, and nothing secret can be read from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from toolyard.contract.snapshot import KeyRecord, ServerSpec, UpstreamSpec
from toolyard.kit.secret import Secret


def snapshot_digest(
    upstreams: Mapping[str, UpstreamSpec], servers: Mapping[str, ServerSpec], keys: Mapping[str, KeyRecord]
) -> str:
    """SHA-256 over the canonical JSON of everything, in hexadecimal; secrets take part as hashes of their own."""
    content = [_plain(dict(upstreams)), _plain(dict(servers)), _plain(dict(keys))]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return hashlib.sha256(b"toolyard secret\x00" + value.reveal().encode("utf-8", "surrogatepass")).hexdigest()
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
