"""Secrets on their way from the control plane to gateways: sealed for their place in the snapshot.

The text is `<id of the vault key>|<sealed text>`. Both ends have the vault key by another way (a file, the environment,
a command); the feed itself carries nothing that opens anything.
"""

from __future__ import annotations

from toolyard.kit.key_encryption import TRANSIT, KeyRing
from toolyard.kit.sealing import Place, SealBroken, seal, unseal
from toolyard.kit.secret import Secret


class Transit:
    """Seals at one end, opens at the other."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def seal(self, place: str, secret: Secret) -> str:
        """The text that goes into the document at `place`."""
        key = self._ring.current
        return f"{key.id}|{seal(secret, _at(place), key.transit)}"

    def unseal(self, place: str, text: str) -> Secret:
        """The secret that was sealed for `place`. Raises KeyEncryptionKeyWrong if it was sealed with a vault key that
        is not here, SealBroken."""
        key_id, bar, sealed = text.partition("|")
        if not bar:
            raise SealBroken(f"what is in {place} is not sealed")
        return unseal(sealed, _at(place), self._ring.transit(key_id))


def _at(place: str) -> Place:
    return Place("snapshot", place, TRANSIT, "value")
