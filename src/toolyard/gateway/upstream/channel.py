"""The port between a JSON-RPC peer and what carries its messages: a child's pipes, a WebSocket, a pair of streams."""

from __future__ import annotations

from typing import Protocol

from toolyard.gateway.upstream.errors import UpstreamError, UpstreamIncomplete


class ChannelClosed(Exception):
    """The channel has ended. `reason` is for people and free of secrets; `failure` is what pending calls get."""

    def __init__(self, reason: str, failure: type[UpstreamError] = UpstreamIncomplete) -> None:
        self.reason = reason
        self.failure = failure
        super().__init__(reason)


class Channel(Protocol):
    """Carries whole messages both ways. Above: `Peer`. Below: a process or a connection, with its own limits.

    `offer` takes a message at once if it can, else returns False and takes nothing. `send` waits until the message can
    be taken; a cancelled `send` has sent nothing or everything, never a part. `receive` gives the next message; what is
    no message is skipped and counted. Both raise ChannelClosed, `receive` only after all that came before the end.
    `diagnosis` says what is known of the other side's troubles, without secrets. Only one task may receive.
    """

    def offer(self, message: bytes) -> bool: ...
    async def send(self, message: bytes) -> None: ...
    async def receive(self) -> bytes: ...
    async def aclose(self) -> None: ...
    def diagnosis(self) -> str: ...
