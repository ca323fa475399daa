"""The port between a JSON-RPC peer and what carries its messages: a child's pipes, a WebSocket, a pair of streams."""

from __future__ import annotations

from typing import Protocol

from toolyard.gateway.upstream.errors import UpstreamError, UpstreamIncomplete


class ChannelClosed(Exception):
    """The channel has ended. `reason` is for people and free of secrets; `failure` is what pending calls get;
    `may_have_sent` says of a message that was just being sent whether it may have arrived."""

    def __init__(
        self, reason: str, failure: type[UpstreamError] = UpstreamIncomplete, *, may_have_sent: bool = False
    ) -> None:
        self.reason = reason
        self.failure = failure
        self.may_have_sent = may_have_sent
        super().__init__(reason)


class Channel(Protocol):
    """Carries whole messages both ways. Above: `Peer`. Below: a process or a connection, with its own limits.

    `offer` takes a message at once if it can, else returns False and takes nothing. `send` waits until the message can
    be taken; `sends_whole` says that a cancelled `send` has sent nothing. `receive` gives the next message; what is no
    message is skipped and counted. Each raises ChannelClosed, `receive` only after all that came before the end; `send`
    raises an UpstreamError if just this message failed. `diagnosis` says what is known of the other side's troubles,
    without secrets. Only one task may receive.
    """

    @property
    def sends_whole(self) -> bool: ...

    def offer(self, message: bytes) -> bool: ...
    async def send(self, message: bytes) -> None: ...
    async def receive(self) -> bytes: ...
    async def aclose(self) -> None: ...
    def diagnosis(self) -> str: ...
