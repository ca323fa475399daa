"""Who a worker is, what it owns, and session ids that tell only the workers where a session lives."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

MAX_WORKERS: Final = 64
_RANDOM_BYTES: Final = 24
_TAG_BYTES: Final = 8
_ID_BYTES: Final = _RANDOM_BYTES + 1 + _TAG_BYTES


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `count` processes of a gateway. `incarnation` is another one after each start."""

    index: int
    count: int
    incarnation: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def owner(self) -> str:
        """The name under which this process owns things: `index-incarnation`."""
        return f"{self.index}-{self.incarnation}"

    def keeps(self, upstream_id: str) -> bool:
        """Whether this worker holds the sessions and processes of an upstream."""
        return keeper_of(upstream_id, self.count) == self.index


def keeper_of(upstream_id: str, count: int) -> int:
    """The index of the worker that keeps an upstream: the highest random weight, the same in every worker."""
    return max(range(count), key=lambda index: hashlib.sha256(f"{index}\0{upstream_id}".encode()).digest())


def index_in(owner: str) -> int | None:
    """The index in an owner's name; None if it is none."""
    index, dash, _ = owner.partition("-")
    return int(index) if dash and index.isascii() and index.isdigit() else None


class SessionIds:
    """Makes ids of sessions and finds the worker of one. An id is random to everybody without `key`, which all workers
    share: the index is masked by a keyed digest of the random part, and a tag shows that a worker made it."""

    def __init__(self, key: bytes, worker: Worker) -> None:
        self._key = key
        self._worker = worker

    def new(self) -> str:
        """An id of a session that lives in this worker."""
        random = secrets.token_bytes(_RANDOM_BYTES)
        index = self._worker.index
        masked = bytes((index ^ self._mask(random),))
        return base64.urlsafe_b64encode(random + masked + self._tag(random, index)).decode("ascii")

    def index_of(self, session_id: str) -> int | None:
        """The index of the worker that made an id; None for what no worker of this gateway made."""
        try:
            raw = base64.b64decode(session_id.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        if len(raw) != _ID_BYTES:
            return None
        random, masked, shown = raw[:_RANDOM_BYTES], raw[_RANDOM_BYTES], raw[_RANDOM_BYTES + 1 :]
        index = masked ^ self._mask(random)
        return index if hmac.compare_digest(self._tag(random, index), shown) and index < self._worker.count else None

    def _mask(self, random: bytes) -> int:
        return self._digest(b"mask", random)[0]

    def _tag(self, random: bytes, index: int) -> bytes:
        return self._digest(b"tag", random + bytes((index,)))[:_TAG_BYTES]

    def _digest(self, purpose: bytes, content: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + content, "sha256")
