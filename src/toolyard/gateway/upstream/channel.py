"""The port between a JSON-RPC peer and what carries its messages: a child's pipes, a WebSocket, a pair of streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from toolyard.gateway.upstream.errors import UpstreamError, UpstreamIncomplete

MAX_AT_ONCE = 256
"""Messages handed over in one turn of the loop: a flood of them leaves the loop to others now and then."""


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


Take = Callable[[bytes], None]
"""Takes the next message. Raises nothing."""

Ended = Callable[[ChannelClosed], None]


class Channel(Protocol):
    """Carries whole messages both ways. Above: `Peer`. Below: a process or a connection, with its own limits.

    `takes_at_once`: `offer` would take a message now. `offer` takes one if it can, else returns False and takes
    nothing. `send` waits until the message can be taken; `sends_whole` says that a cancelled `send` has sent nothing.
    Both raise ChannelClosed, `send` also an UpstreamError if just this message failed. `listen` is called once: from
    then on `take` gets each message in the turn of the loop in which it arrives, MAX_AT_ONCE of them in one turn, and
    `ended` is called once, after all that came before the end; what is no message is skipped and counted. `diagnosis`
    says what is known of the other side's troubles, without secrets.
    """

    @property
    def sends_whole(self) -> bool: ...
    @property
    def takes_at_once(self) -> bool: ...

    def offer(self, message: bytes) -> bool: ...
    async def send(self, message: bytes) -> None: ...
    def listen(self, take: Take, ended: Ended) -> None: ...
    async def aclose(self) -> None: ...
    def diagnosis(self) -> str: ...
