"""Opens the secrets that the control plane sends, with vault keys that are read when the first one is opened."""

from __future__ import annotations

from collections.abc import Callable

from toolyard.kit.key_encryption import KeyEncryptionKeyWrong, KeyRing
from toolyard.kit.secret import Secret
from toolyard.kit.transit import Transit


class Seals:
    """What `contract.documents` calls an Unseal. The vault keys are read again when a new one has come into use."""

    def __init__(self, read: Callable[[], KeyRing]) -> None:
        """`read` may block, and raise PlatformError and OSError."""
        self._read = read
        self._transit: Transit | None = None

    def __call__(self, place: str, text: str) -> Secret:
        """The secret. Raises PlatformError, OSError."""
        if self._transit is not None:
            try:
                return self._transit.unseal(place, text)
            except KeyEncryptionKeyWrong:
                pass
        self._transit = Transit(self._read())
        return self._transit.unseal(place, text)
