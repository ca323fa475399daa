"""The vault keys of an installation: they encrypt the data keys of its organizations, and nothing else.

A vault key's id is made of the key, so a key that is not the right one is known by its id. The newest key wraps; older
ones stay readable until every data key is wrapped anew (`is_current`), which can be interrupted and taken up again.
A check value, kept beside the wrapped keys, tells at the start whether the right key is there, before anything is
written with a wrong one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import NoReturn

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from toolyard.kit.errors import PlatformError
from toolyard.kit.sealing import KEY_BYTES, DataKey, SealBroken, decrypt, encrypt

TRANSIT = "snapshots"
_WRAPPED = re.compile(r"wrapped:v1:([0-9a-f]{12}):([A-Za-z0-9_-]+)", re.ASCII)
_CHECK = re.compile(r"check:v1:([0-9a-f]{12}):([A-Za-z0-9_-]+)", re.ASCII)
_CHECKED = b"this is the vault key of this database"


class KeyEncryptionKeyMissing(PlatformError):
    """The vault key, with which the secrets in the database were sealed, is not there."""

    code = "vault_key_missing"


class KeyEncryptionKeyWrong(PlatformError):
    """The vault key is not the one with which the secrets in the database were sealed."""

    code = "vault_key_wrong"


class KeyEncryptionKey:
    """One vault key. It cannot be printed or pickled."""

    __slots__ = ("cipher", "id", "transit")

    def __init__(self, value: bytes) -> None:
        if len(value) != KEY_BYTES:
            raise ValueError(f"a vault key has {KEY_BYTES} bytes")
        self.id = hmac.digest(value, b"toolyard: id of a vault key", hashlib.sha256)[:6].hex()
        self.cipher = AESGCM(value)
        self.transit = DataKey(TRANSIT, 1, hmac.digest(value, b"toolyard: secrets on their way", hashlib.sha256))
        """What seals secrets on their way to gateways, which have the vault key by another way (kit/transit.py)."""

    def __repr__(self) -> str:
        return f"KeyEncryptionKey({self.id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyEncryptionKey cannot be pickled")


class KeyRing:
    """The vault keys that are there: the first wraps and seals, all of them unwrap and open."""

    def __init__(self, keys: Sequence[KeyEncryptionKey]) -> None:
        self.current = keys[0]
        self._keys = {key.id: key for key in keys}

    def wrap(self, key: DataKey) -> str:
        """A data key as it may be kept: `wrapped:v1:<id of the vault key>:<base64url>`."""
        binding = _binding(self.current, key.organization, key.version)
        return f"wrapped:v1:{self.current.id}:{encrypt(self.current.cipher, key.reveal(), binding)}"

    def unwrap(self, text: str, organization: str, version: int) -> DataKey:
        """The data key that was wrapped for this organization at this version. Raises KeyEncryptionKeyWrong if none of
        the keys here wrapped it, SealBroken if it was changed or moved."""
        what = f"the data key of organization '{organization}', version {version}"
        found = _WRAPPED.fullmatch(text)
        if not found:
            raise SealBroken(f"{what}, is not what was written")
        key = self._key(found[1], what)
        value = decrypt(key.cipher, found[2], _binding(key, organization, version))
        if value is None:
            raise SealBroken(f"{what}, does not open: it was changed or moved")
        return DataKey(organization, version, value)

    def transit(self, key_id: str) -> DataKey:
        """What the vault key of that id seals with on the way to gateways. Raises KeyEncryptionKeyWrong."""
        return self._key(key_id, "a snapshot").transit

    def is_current(self, text: str) -> bool:
        """Whether a data key is wrapped with the newest vault key; else it is to be unwrapped and wrapped anew."""
        return text.startswith(f"wrapped:v1:{self.current.id}:")

    def check_value(self) -> str:
        """What to keep beside the wrapped keys, for `verify` at the next start."""
        return f"check:v1:{self.current.id}:{encrypt(self.current.cipher, _CHECKED, b'check:v1')}"

    def verify(self, check: str) -> None:
        """Nothing, if the key that made this check value is here. Raises KeyEncryptionKeyWrong, SealBroken."""
        found = _CHECK.fullmatch(check)
        if not found:
            raise SealBroken("the check value of the vault key is not what was written")
        key = self._key(found[1], "this database")
        if decrypt(key.cipher, found[2], b"check:v1") != _CHECKED:
            raise SealBroken("the check value of the vault key was changed")

    def _key(self, key_id: str, what: str) -> KeyEncryptionKey:
        key = self._keys.get(key_id)
        if key is None:
            here = ", ".join(self._keys)
            raise KeyEncryptionKeyWrong(f"{what} needs the vault key {key_id}, and what is here is {here}")
        return key


def _binding(key: KeyEncryptionKey, organization: str, version: int) -> bytes:
    return msgspec.json.encode(["wrapped:v1", key.id, organization, version])
