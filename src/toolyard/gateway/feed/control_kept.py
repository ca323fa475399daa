"""What the control plane sent last: kept in the data directory as it came, so that a gateway starts without it.

Secrets in it are still sealed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from toolyard.contract.definitions import Json
from toolyard.contract.documents import Manifest, Unseal, assemble, digest_of
from toolyard.contract.snapshot import Snapshot
from toolyard.kit.files import write_atomically

FILE: Final = "control.json"


@dataclass(frozen=True, slots=True)
class Received:
    """A manifest and its documents by their digests, as the control plane sent them."""

    manifest: Manifest
    documents: Mapping[str, Json]

    def snapshot(
        self, unseal: Unseal, without_owners: frozenset[str], before: tuple[Manifest, Snapshot] | None = None
    ) -> Snapshot:
        """What it describes; what has not changed since `before` is taken over. Raises DocumentBroken."""
        return assemble(self.manifest, self.documents, unseal, without_owners=without_owners, before=before)


def save_received(data_dir: Path, received: Received) -> None:
    """Keep it, whole or not at all, for this user alone. Raises OSError."""
    content = {"version": 1, "manifest": received.manifest, "documents": received.documents}
    write_atomically(data_dir / FILE, msgspec.json.encode(content), point="control_kept")


def load_received(data_dir: Path) -> Received | None:
    """What was kept; None if there is nothing, or not what was written."""
    try:
        content = msgspec.json.decode((data_dir / FILE).read_bytes(), type=_Content)
    except (OSError, msgspec.MsgspecError):
        return None
    whole = all(digest_of(document) == digest for digest, document in content.documents.items())
    return Received(content.manifest, content.documents) if whole else None


class _Content(msgspec.Struct, frozen=True):
    manifest: Manifest
    documents: dict[str, dict[str, Any]]
