"""A client and a scripted peer set up for one test, and the check that no connection is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.unit.net import fake_peer
from tests.unit.net.fake_peer import PATIENCE_S, FakePeer, Script
from toolyard.net.errors import (
    NetError,
)
from toolyard.net.guard import AddressPolicy
from toolyard.net.http import HttpClient
from toolyard.net.response import HttpResponse
from toolyard.net.tls import TlsPolicy

LOOPBACK = AddressPolicy(allow_loopback=True)


@contextlib.asynccontextmanager
async def client_of(url: str, max_connections: int = 4, **options: object) -> AsyncIterator[HttpClient]:
    client = HttpClient(url, policy=LOOPBACK, tls=TlsPolicy(), max_connections=max_connections, **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.aclose()


async def post(
    client: HttpClient, body: bytes = b"{}", within_s: float = PATIENCE_S, **options: object
) -> HttpResponse:
    deadline = asyncio.get_running_loop().time() + within_s
    return await client.request("POST", "/mcp", [("accept", "*/*")], body, deadline=deadline, **options)  # type: ignore[arg-type]


def run(script: Script, use: Callable[[FakePeer, HttpClient], Awaitable[None]], max_connections: int = 4) -> None:
    """Run `use` against a peer with `script`; afterwards no connection may be left."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S * 3), FakePeer(script) as peer:
            async with client_of(peer.url, max_connections) as client:
                await use(peer, client)
            assert client.status()["connections"] == 0
            await peer.all_gone()

    fake_peer.run(main())


def fails_with(
    error: type[NetError], script: Script, *, within_s: float = PATIENCE_S, max_bytes: int = 1000
) -> NetError:
    """One POST against `script` must end with `error`, and leave no connection open."""
    caught: list[NetError] = []

    async def use(peer: FakePeer, client: HttpClient) -> None:
        with pytest.raises(error) as info:
            await (await post(client, within_s=within_s)).read(max_bytes)
        caught.append(info.value)
        await peer.all_gone()
        assert client.status()["connections"] == 0

    run(script, use)
    return caught[0]
