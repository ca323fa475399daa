"""The seal around an upstream's `requestState` (2026-07-28, basic/patterns/mrtr).

The state passes through the client, which is not trusted with it: it is encrypted and bound to the caller, the call and
a time, so that it serves nobody else, no other call, and not for ever. Every round has its own nonce.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from toolyard.contract.definitions import Json
from toolyard.gateway.errors import StateRefused
from toolyard.kit.clock import Clock

LIFETIME_S = 600.0
_NONCE_BYTES = 12
_NOT_PART_OF_THE_CALL = frozenset({"_meta", "inputResponses", "requestState"})


class StateSeal:
    """Seals and opens states with one key of 32 bytes."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._cipher = AESGCM(key)
        self._clock = clock

    def seal(self, state: str, binding: bytes) -> str:
        """Wrap an upstream's state for the client."""
        content = msgspec.json.encode([state, self._clock.wall() + LIFETIME_S])
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, content, binding)).decode("ascii")

    def open(self, sealed: str, binding: bytes) -> str:
        """The upstream's state. Raises StateRefused for a state that is forged, foreign, of another call or too old."""
        try:
            raw = base64.urlsafe_b64decode(sealed.encode("ascii"))
            if base64.urlsafe_b64encode(raw).decode("ascii") != sealed:
                raise StateRefused
            content = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], binding)
            state, expires_at = msgspec.json.decode(content, type=tuple[str, float])
        except (UnicodeEncodeError, binascii.Error, InvalidTag, ValueError, msgspec.MsgspecError) as error:
            raise StateRefused from error
        if self._clock.wall() > expires_at:
            raise StateRefused
        return state


def binding_of(principal_id: str, server: str, method: str, params: Json) -> bytes:
    """What a state is bound to: the caller and everything of the call but its envelope."""
    content = {k: v for k, v in params.items() if k not in _NOT_PART_OF_THE_CALL}
    text = msgspec.json.encode([principal_id, server, method, content], order="deterministic")
    return hashlib.sha256(text).digest()
