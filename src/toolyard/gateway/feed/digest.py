"""The digest of a snapshot: the same for the same content, and nothing secret can be read from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Final

from toolyard.contract.snapshot import KeyRecord, ServerSpec, UpstreamSpec
from toolyard.kit.secret import Secret

_NOTHING: Final[Mapping[str, str]] = {}


def snapshot_digest(
    upstreams: Mapping[str, UpstreamSpec],
    servers: Mapping[str, ServerSpec],
    keys: Mapping[str, KeyRecord],
    verify_keys: Mapping[str, str] = _NOTHING,
    revoked: Set[str] = frozenset(),
) -> str:
    """SHA-256 over the canonical JSON of everything, in hexadecimal; secrets take part as hashes of their own. What is
    as it is by default takes no part, so a digest stays the same when there is more that can be said."""
    content = [_plain(dict(upstreams)), _plain(dict(servers)), _plain(dict(keys))]
    if verify_keys or revoked:
        content.append([dict(verify_keys), sorted(revoked)])
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return hashlib.sha256(b"toolyard secret\x00" + value.reveal().encode("utf-8", "surrogatepass")).hexdigest()
    if is_dataclass(value):
        members = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: _plain(member) for field, member in members if not _is_default(field, member)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _is_default(field: Field[Any], value: Any) -> bool:
    if field.default_factory is not MISSING:
        return bool(value == field.default_factory())
    return field.default is not MISSING and type(value) is type(field.default) and value == field.default
