"""Names of tasks towards clients.

The gateway's own tasks have random ids that the journal knows. A task of an upstream gets a name that carries the
upstream and the upstream's id, sealed and bound to the caller and the server: nobody else can use it, and nothing has
to be remembered for it. Both are one kind of string to a client.
"""

from __future__ import annotations

import base64
import binascii
import secrets

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from toolyard.kit.ids import secret_id

MAX_UPSTREAM_ID_BYTES = 2048
_RELAYED = "r."
_NONCE_BYTES = 12


def own_id() -> str:
    """A new id of a task of the gateway's own."""
    return f"t.{secret_id()}"


class RelayedIds:
    """Wraps the ids of upstreams' tasks, with one key for all processes of a gateway."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def wrap(self, upstream_id: str, task_id: str, principal_id: str, server: str) -> str:
        """A client's name for an upstream's task."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        content = msgspec.json.encode([upstream_id, task_id])
        sealed = nonce + self._cipher.encrypt(nonce, content, _binding(principal_id, server))
        return _RELAYED + base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=")

    def unwrap(self, name: str, principal_id: str, server: str) -> tuple[str, str] | None:
        """(upstream, its id of the task), or None for a name that was not given to this caller on this server."""
        if not name.startswith(_RELAYED):
            return None
        text = name.removeprefix(_RELAYED)
        try:
            sealed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            if base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=") != text:
                return None
            content = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _binding(principal_id, server))
            return msgspec.json.decode(content, type=tuple[str, str])
        except (UnicodeEncodeError, binascii.Error, InvalidTag, ValueError, msgspec.MsgspecError):
            return None


def _binding(principal_id: str, server: str) -> bytes:
    return msgspec.json.encode([principal_id, server])
