"""Whether an upstream's address accepts a connection, tried just as the gateway does it."""

from __future__ import annotations

import asyncio

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.net.dial import dial
from toolyard.net.guard import policy_for_operator_url
from toolyard.net.tls import TlsPolicy
from toolyard.net.url import Url, parse_url

CONNECT_S = 3.0


def dial_once(spec: UpstreamSpec) -> Url:
    """Connect to the upstream's URL and hang up: its addresses judged, its certificate verified. Raises NetError."""
    url = parse_url(spec.url or "")
    asyncio.run(_dial(spec, url))
    return url


async def _dial(spec: UpstreamSpec, url: Url) -> None:
    policy = policy_for_operator_url(str(url), spec.allow_networks)
    tls = TlsPolicy(verify=spec.tls_verify, ca_file=spec.tls_ca_file)
    connection, _ = await dial(_Connection, url, policy=policy, tls=tls, timeout_s=CONNECT_S)
    connection.hang_up()
    await connection.ended


class _Connection(asyncio.Protocol):
    """A connection that is only made and ended."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport if isinstance(transport, asyncio.Transport) else None

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def hang_up(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
