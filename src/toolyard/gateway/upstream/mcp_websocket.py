"""MCP servers that are spoken to over WebSocket, of both eras: each message is one text frame."""

from __future__ import annotations

import asyncio
import random

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import UpstreamEvents
from toolyard.gateway.upstream.channel import Channel, ChannelClosed, Ended, Take
from toolyard.gateway.upstream.duplex import DuplexUpstream
from toolyard.gateway.upstream.opening import Dialling
from toolyard.gateway.upstream.reading import Reading
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.gateway.upstream.socket_failures import channel_end, opening_failure
from toolyard.kit.clock import Clock
from toolyard.net.errors import NetError
from toolyard.net.guard import policy_for_operator_url
from toolyard.net.tls import TlsPolicy
from toolyard.net.websocket import WebSocketChannel, connect_websocket

OPEN_S = 10.0
PROBE_S = 5.0
MAX_BACKOFF_S = 2.0
SUBPROTOCOL = "mcp"


class McpWebSocketUpstream(DuplexUpstream):
    """One ws:// or wss:// URL. Raises InvalidUrl, EgressDenied for a specification that cannot be used."""

    def __init__(
        self,
        spec: UpstreamSpec,
        *,
        events: UpstreamEvents,
        clock: Clock,
        era_hint: str | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._url = spec.url or ""
        self._policy = policy_for_operator_url(self._url, spec.allow_networks)
        self._tls = TlsPolicy(verify=spec.tls_verify, ca_file=spec.tls_ca_file)
        dialling = Dialling(self._connect, max_sessions=spec.max_connections, probe_timeout_s=PROBE_S)
        restarts = Restarts(clock, rng, max_backoff_s=MAX_BACKOFF_S, free_deaths=1, gives_up=False)
        super().__init__(spec, dialling, events=events, clock=clock, restarts=restarts, era_hint=era_hint)

    async def _connect(self) -> Channel:
        try:
            channel = await connect_websocket(
                self._url,
                [(name, secret.reveal()) for name, secret in self.spec.headers],
                [SUBPROTOCOL],
                policy=self._policy,
                tls=self._tls,
                deadline=asyncio.get_running_loop().time() + OPEN_S,
                max_message_bytes=self.spec.limits.response_bytes,
            )
        except NetError as error:
            raise opening_failure(self.spec.id, error) from error
        return _SocketChannel(channel, self.spec.id)


class _SocketChannel:
    """A WebSocket as a channel of messages."""

    sends_whole = False

    def __init__(self, socket: WebSocketChannel, upstream_id: str) -> None:
        self._socket = socket
        self._reading = Reading(f"socket of {upstream_id}", self._receive)

    @property
    def takes_at_once(self) -> bool:
        return self._socket.has_room

    def offer(self, message: bytes) -> bool:
        return self._socket.offer(message)

    async def send(self, message: bytes) -> None:
        try:
            await self._socket.send(message)
        except NetError as error:
            raise channel_end(error, may_have_sent=True) from error

    def listen(self, take: Take, ended: Ended) -> None:
        self._reading.start(take, ended)

    async def _receive(self) -> bytes:
        try:
            message = await self._socket.receive()
        except NetError as error:
            raise channel_end(error) from error
        if message is None:
            raise ChannelClosed("it closed the connection")
        return message

    async def aclose(self) -> None:
        try:
            await self._socket.aclose()
        finally:
            await self._reading.aclose()

    def diagnosis(self) -> str:
        return ""
