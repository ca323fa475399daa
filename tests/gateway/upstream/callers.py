"""Callers and events for tests of upstreams: they remember what reached them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Principal


class RecordedEvents:
    """UpstreamEvents that only remember."""

    def __init__(self) -> None:
        self.changed: list[tuple[str, str]] = []
        self.updated: list[tuple[str, str | None, Json]] = []
        self.watches_lost_at: list[str] = []
        self.something = asyncio.Event()

    def lists_changed(self, upstream_id: str, kind: str) -> None:
        self.changed.append((upstream_id, kind))
        self.something.set()

    def resource_updated(self, upstream_id: str, principal_id: str | None, params: Json) -> None:
        self.updated.append((upstream_id, principal_id, params))
        self.something.set()

    def watches_lost(self, upstream_id: str) -> None:
        self.watches_lost_at.append(upstream_id)
        self.something.set()


class Caller:
    """One caller: makes calls, keeps its notifications, answers questions with `answer`."""

    def __init__(
        self,
        who: str = "key:a",
        *,
        era: str = "legacy",
        capabilities: Json | None = None,
        answer: Callable[[Mapping[str, Json], str | None], Awaitable[dict[str, Json]]] | None = None,
        **more: Any,
    ) -> None:
        self.who = who
        self.era = era
        self.capabilities = capabilities or {}
        self.notifications: list[Json] = []
        self.asked: list[tuple[dict[str, Json], str | None]] = []
        self.more = more
        self._answer = answer

    def call(self, seconds: float = 20.0, **more: Any) -> Call:
        return Call(
            principal=Principal(self.who, "key"),
            server="default",
            method="tools/call",
            params={},
            era=self.era,  # type: ignore[arg-type]
            revision="2025-11-25" if self.era == "legacy" else "2026-07-28",
            emit=self.emit,
            ask=self.ask,
            deadline=asyncio.get_running_loop().time() + seconds,
            client_capabilities=self.capabilities,
            **{"isolation": self.who, **self.more, **more},
        )

    async def emit(self, notification: Json) -> None:
        self.notifications.append(notification)

    async def ask(
        self, requests: Mapping[str, Json], *, state: str | None = None, held: bool = False
    ) -> dict[str, Json]:
        self.asked.append((dict(requests), state))
        assert self._answer is not None, "nobody should ask this caller"
        return await self._answer(requests, state)


def said(result: Json) -> Any:
    """The text of a tool result, as JSON if it is that."""
    text = result["content"][0]["text"]
    try:
        return json.loads(text)
    except ValueError:
        return text
