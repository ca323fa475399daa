"""The keys that sign access tokens: in a file of the data directory, for its owner only, made at the first start.

A new key is known to gateways before it signs, so that none of them refuses its tokens. A key that was replaced no
longer signs; tokens that it signed hold until they expire.
"""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.files import write_atomically
from toolyard.kit.secret_files import locked, read_or_make, read_private
from toolyard.policy.tokens import SKEW_S, SigningKey

SIGNING_FILE: Final = "signing.key"
MAX_TOKEN_S: Final = 3600
"""How long an access token may hold at most."""
LEAD_S: Final = 5.0
"""How long a new key is published before it signs."""


class SigningKeysUnreadable(PlatformError):
    """The file with the keys that sign access tokens is not what was written."""

    code: ClassVar[str] = "signing_keys_unreadable"


class _Kept(msgspec.Struct):
    kid: str
    private: str
    signs_from: float
    signs_until: float | None = None


class SigningKeys:
    """The keys in the file. Raises SigningKeysUnreadable, SecretFileExposed, SecretFileUnusable, OSError."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._path = data_dir / SIGNING_FILE
        self._clock = clock
        self._turn = threading.Lock()
        self._take(self._decoded(read_or_make(self._path, lambda: _encoded([self._fresh(0.0)]), point="signing")))

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        now = self._clock.wall()
        return next((key for signs_from, key in self._keys if signs_from <= now), self._keys[-1][1])

    def verify_keys(self) -> Mapping[str, str]:
        """The public keys by which tokens verify now, in base64, by their ids."""
        return self._public

    def rotate(self) -> str:
        """Sign with a new key soon; its id. Blocks for the disk."""
        with self._turn, locked(self._path.parent):
            now = self._clock.wall()
            kept = self._decoded(read_private(self._path) or b"")
            good = [one for one in kept if one.signs_until is None or now < one.signs_until + MAX_TOKEN_S + SKEW_S]
            fresh = self._fresh(LEAD_S)
            for one in good:
                one.signs_until = one.signs_until or fresh.signs_from
            write_atomically(self._path, _encoded([fresh, *good]), point="signing")
            self._take([fresh, *good])
            return fresh.kid

    def _fresh(self, lead_s: float) -> _Kept:
        private = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
        return _Kept(secrets.token_hex(8), private, self._clock.wall() + lead_s)

    def _take(self, kept: list[_Kept]) -> None:
        self._keys = [(one.signs_from, SigningKey(one.kid, _private(one))) for one in kept]
        self._public = {key.kid: key.public() for _, key in self._keys}

    def _decoded(self, content: bytes) -> list[_Kept]:
        try:
            kept = msgspec.json.decode(content, type=list[_Kept])
            if kept and all(_private(one) for one in kept):
                return kept
        except (msgspec.MsgspecError, ValueError):
            pass
        raise SigningKeysUnreadable(f"{self._path} does not hold what was written into it")


def _encoded(kept: list[_Kept]) -> bytes:
    return msgspec.json.encode(kept)


def _private(kept: _Kept) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(kept.private, validate=True))
