"""What a gateway reports to the control plane: a bounded queue, sent in batches over the control plane's socket.

Nothing waits for it. What does not fit is dropped and counted, the newest first, and so is what the control plane does
not want; while it is away what waits is kept and sent again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec

from toolyard.kit.backoff import Backoff
from toolyard.kit.logs import get_logger
from toolyard.net.errors import NetError
from toolyard.net.unix_http import begin_exchange

log = get_logger(__name__)

PATH: Final = "/internal/v1/records"
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
MAX_BATCH: Final = 500
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_S: Final = 0.25
ANSWER_S: Final = 30.0
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 * 1024
_TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504, 507})

Record = dict[str, Any]


class Outbox:
    """The records of one gateway process. `gateway`: as whom it sends them."""

    def __init__(self, socket: Path, gateway: str, *, batch_s: float = BATCH_S) -> None:
        self._socket = socket
        self._gateway = gateway
        self._batch_s = batch_s
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, record: Record) -> None:
        """Send a record soon. It is encoded now, so it may change afterwards."""
        try:
            encoded = msgspec.json.encode(record)
        except (UnicodeEncodeError, msgspec.MsgspecError):
            self.dropped += 1
            return
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + len(encoded) > MAX_WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting.append(encoded)
        self._waiting_bytes += len(encoded)
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(self._batch_s)
            self._news.clear()
            while self._waiting:
                await self._send_batch()

    async def _send_batch(self) -> None:
        """Send what fits into one batch, and take it out of the queue once nobody needs it any more."""
        batch: list[bytes] = []
        size = 0
        for record in self._waiting:
            size += len(record)
            if batch and (len(batch) >= MAX_BATCH or size > MAX_BATCH_BYTES):
                break
            batch.append(record)
        try:
            status = await self._post(b"[" + b",".join(batch) + b"]")
        except (NetError, TimeoutError):
            status = 503
        if status in _TRY_AGAIN:
            await asyncio.sleep(self._backoff.pause_s())
            return
        self._backoff.reset()
        for _ in batch:
            self._waiting_bytes -= len(self._waiting.popleft())
        if not 200 <= status < 300:
            self.dropped += len(batch)
            log.error("records_refused", status=status, count=len(batch))

    async def _post(self, body: bytes) -> int:
        fields = [
            ("host", "control"),
            ("content-type", "application/json"),
            ("toolyard-gateway", self._gateway),
            ("content-length", str(len(body))),
        ]
        async with asyncio.timeout(ANSWER_S):
            with await begin_exchange(self._socket, "POST", PATH, fields, body=body) as exchange:
                head = await exchange.head()
                await exchange.read(MAX_ANSWER_BYTES)
                return head.status
