"""API keys: making, reading and verifying them. Pure: no files, no clock of its own, no look-up but the mapping given.

A key is `mcp_key_<id>_<secret>_<checksum>`: a public id (12 of base32), a secret (43 of base62, 256 bits) and a CRC32
(6 of base62) over all before it, so that a typo or a scanner's guess costs no look-up. What is stored is the
HMAC-SHA256 of the whole key under a versioned pepper, never the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from toolyard.contract.snapshot import KeyRecord

Reason = Literal["malformed", "unknown", "wrong", "disabled", "not_yet_valid", "expired", "retired"]

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(r"(mcp_key_([a-z2-7]{12})_([0-9A-Za-z]{43}))_([0-9A-Za-z]{6})", re.ASCII)
_NO_PEPPER = bytes(32)
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key that is well formed and whose checksum is right; nothing says yet that it was ever issued."""

    id: str
    text: str

    def __repr__(self) -> str:
        return f"ParsedKey(id={self.id!r}, text=****)"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a key is not accepted; for the log, never for the caller."""

    reason: Reason
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Pepper:
    """The installation's secret for key digests, at one version."""

    version: int
    value: bytes

    def __repr__(self) -> str:
        return f"Pepper(version={self.version}, value=****)"


def issue(
    server: str,
    name: str,
    pepper: Pepper,
    *,
    now: float,
    expires_at: float | None = None,
    not_before: float | None = None,
) -> tuple[str, KeyRecord]:
    """A new key for `server`: the key itself, to be shown once, and the record to keep."""
    key_id = "".join(secrets.choice(_BASE32) for _ in range(12))
    body = f"mcp_key_{key_id}_{_base62(secrets.randbits(256), 43)}"
    plain = f"{body}_{_checksum(body)}"
    record = KeyRecord(
        id=key_id, server=server, digest=_digest(plain, pepper.value), pepper_version=pepper.version, name=name,
        created_at=now, expires_at=expires_at, not_before=not_before, last4=plain[-4:],
    )  # fmt: skip
    return plain, record


def rotate(record: KeyRecord, pepper: Pepper, *, now: float, grace_s: float) -> tuple[str, KeyRecord, KeyRecord]:
    """(new key, its record, the old record, which is accepted for `grace_s` seconds more). The new key may do what the
    old one may."""
    plain, made = issue(record.server, record.name, pepper, now=now)
    fresh = replace(
        record, id=made.id, digest=made.digest, pepper_version=made.pepper_version, last4=made.last4,
        created_at=now, disabled=False, retires_at=None,
    )  # fmt: skip
    retires_at = now + grace_s if record.retires_at is None else min(record.retires_at, now + grace_s)
    return plain, fresh, replace(record, retires_at=retires_at)


def parse(text: str) -> ParsedKey | None:
    """The key if its form and checksum are right, else None. Nothing is trimmed, folded or corrected."""
    found = _KEY.fullmatch(text)
    if not found or not hmac.compare_digest(_checksum(found[1]), found[4]):
        return None
    return ParsedKey(found[2], text)


def verify(
    text: str, records: Mapping[str, KeyRecord], peppers: Mapping[int, bytes], now: float
) -> KeyRecord | Refused:
    """The record of a key that is valid at `now` (seconds since 1970), or why it is refused. Unknown ids cost the same
    HMAC as known ones. The state of a record is looked at only after the secret proved right."""
    key = parse(text)
    if key is None:
        return Refused("malformed")
    record = records.get(key.id)
    pepper = peppers.get(record.pepper_version) if record else None
    expected = record.digest if record and pepper else _NO_DIGEST
    matches = hmac.compare_digest(_digest(text, pepper or _NO_PEPPER), expected)
    if record is None:
        return Refused("unknown", key.id)
    if not matches or pepper is None:
        return Refused("wrong", key.id)
    reason = refusal(record, now)
    return Refused(reason, key.id) if reason else record


def refusal(record: KeyRecord, now: float) -> Reason | None:
    """Why a record's key is not accepted at `now`, or None."""
    if record.disabled:
        return "disabled"
    if record.not_before is not None and now < record.not_before:
        return "not_yet_valid"
    if record.expires_at is not None and now >= record.expires_at:
        return "expired"
    if record.retires_at is not None and now >= record.retires_at:
        return "retired"
    return None


def _digest(plain: str, pepper: bytes) -> str:
    return hmac.new(pepper, plain.encode("ascii"), hashlib.sha256).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), 6)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
