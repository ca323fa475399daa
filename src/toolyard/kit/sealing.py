"""Secrets at rest: sealed for the one place where they are kept, so that they open nowhere else.

Rules. A secret is encrypted with its organization's data key (AES-256-GCM, a random nonce of 96 bits, so at most 2^32
secrets under one data key). What it is bound to is its `Place`: table, row, organization, field and version, and the
version of the data key. Moved to another row or organization, put back after a change, or cut short, it does not open,
and nothing tells the difference. Data keys are themselves encrypted: see `key_encryption`.

The text is `sealed:v1:<version of the data key>:<base64url of nonce and ciphertext>`.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from typing import NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from toolyard.kit.errors import PlatformError
from toolyard.kit.secret import Secret

KEY_BYTES = 32
_NONCE_BYTES = 12
_SEALED = re.compile(r"sealed:v1:([1-9][0-9]{0,8}):([A-Za-z0-9_-]+)", re.ASCII)


class SealBroken(PlatformError):
    """A sealed secret does not open: it was changed, moved from another place, or sealed with another key."""

    code = "seal_broken"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed secret is kept. `version` counts its changes, so that an old value cannot be put back."""

    table: str
    row: str
    organization: str
    field: str
    version: int = 1

    def __str__(self) -> str:
        return f"{self.table}.{self.field} of '{self.row}' (organization '{self.organization}', version {self.version})"


class DataKey:
    """One organization's key for its secrets, at one version. It cannot be printed or pickled."""

    __slots__ = ("_value", "cipher", "organization", "version")

    def __init__(self, organization: str, version: int, value: bytes) -> None:
        if len(value) != KEY_BYTES or version < 1:
            raise ValueError(f"a data key has {KEY_BYTES} bytes and a version from 1")
        self.organization = organization
        self.version = version
        self.cipher = AESGCM(value)
        self._value = value

    @classmethod
    def make(cls, organization: str, version: int = 1) -> DataKey:
        """A new key."""
        return cls(organization, version, secrets.token_bytes(KEY_BYTES))

    def reveal(self) -> bytes:
        """The key itself; called where it is wrapped only."""
        return self._value

    def __repr__(self) -> str:
        return f"DataKey({self.organization!r}, {self.version}, ****)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a DataKey cannot be pickled")


def seal(secret: Secret, place: Place, key: DataKey) -> str:
    """The text to keep at `place`."""
    if place.organization != key.organization:
        raise ValueError(f"the data key of '{key.organization}' is not for {place}")
    content = secret.reveal().encode("utf-8", "surrogatepass")
    return f"sealed:v1:{key.version}:{encrypt(key.cipher, content, _binding(place, key))}"


def unseal(text: str, place: Place, key: DataKey) -> Secret:
    """The secret that was sealed for `place`. Raises SealBroken, which names the place and never a value."""
    if data_key_version(text, place) != key.version or place.organization != key.organization:
        raise _broken(place)
    content = decrypt(key.cipher, text.rpartition(":")[2], _binding(place, key))
    if content is None:
        raise _broken(place)
    return Secret(content.decode("utf-8", "surrogatepass"))


def data_key_version(text: str, place: Place) -> int:
    """The version of the data key that `text` was sealed with. Raises SealBroken if it is no sealed secret."""
    found = _SEALED.fullmatch(text)
    if not found:
        raise _broken(place)
    return int(found[1])


def encrypt(cipher: AESGCM, content: bytes, binding: bytes) -> str:
    """A fresh nonce and the ciphertext, as base64url without padding."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + cipher.encrypt(nonce, content, binding)).decode("ascii").rstrip("=")


def decrypt(cipher: AESGCM, text: str, binding: bytes) -> bytes | None:
    """What `encrypt` was given; None for anything that is not exactly what it made."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=") != text:
            return None
        return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], binding)
    except (binascii.Error, InvalidTag, ValueError):
        return None


def _binding(place: Place, key: DataKey) -> bytes:
    """As JSON, since texts that are only joined could be divided elsewhere."""
    parts = ["sealed:v1", key.version, place.table, place.row, place.organization, place.field, place.version]
    return msgspec.json.encode(parts)


def _broken(place: Place) -> SealBroken:
    return SealBroken(f"the secret in {place} does not open: it was changed, moved, or sealed with another key")
