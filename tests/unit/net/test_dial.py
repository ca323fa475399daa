"""Dialling: what is resolved is judged, and what was judged is what is connected to (book SSRF-50, 51, 60; UPF-11)."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.net import fake_peer
from tests.unit.net.certificates import Authority
from tests.unit.net.fake_peer import PATIENCE_S, FakePeer, answer
from toolyard.net import dial
from toolyard.net.errors import ConnectTimedOut, EgressDenied, NetError, TlsRefused
from toolyard.net.guard import AddressPolicy
from toolyard.net.http import HttpClient
from toolyard.net.tls import TlsPolicy, ssl_context

pytestmark = pytest.mark.usefixtures("both_loops")

VERIFY = TlsPolicy()
ONLY_ONE = AddressPolicy(allow_networks=("127.0.0.1/32",))


class Names:
    """A resolver that gives its answers one after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


def client_of(
    url: str, names: Names, *, policy: AddressPolicy = ONLY_ONE, tls: TlsPolicy = VERIFY, timeout_s: float = 3.0
) -> HttpClient:
    return HttpClient(url, policy=policy, tls=tls, max_connections=2, resolver=names, connect_timeout_s=timeout_s)


async def get(client: HttpClient) -> bytes:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    return await (await client.request("GET", "/", [], None, deadline=deadline)).read(1000)


def test_a_name_is_resolved_once_for_a_connection_and_again_for_the_next() -> None:
    async def main() -> None:
        async with FakePeer(answer()) as peer:
            names = Names(["127.0.0.1"], ["127.0.0.2"])
            client = client_of(f"http://peer.test:{peer.port}", names)
            for _ in range(3):
                assert await get(client) == b"{}"
            assert names.asked == [("peer.test", peer.port)]
            assert peer.requests[0].headers["host"] == f"peer.test:{peer.port}"
            peer.drop_all()
            await peer.all_gone()
            with pytest.raises(EgressDenied) as info:
                await get(client)
            assert not info.value.sent
            assert "127." not in info.value.message
            assert (len(names.asked), peer.connections_seen) == (2, 1)
            await client.aclose()

    fake_peer.run(main())


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1", "169.254.169.254"],
        ["169.254.169.254", "127.0.0.1"],
        ["127.0.0.1", "::1"],
        ["127.0.0.1", "fe80::1%eth0"],
        ["::ffff:127.0.0.2"],
        ["64:ff9b::7f00:1"],
        ["10.0.0.1"],
    ],
)
def test_one_bad_answer_of_a_resolution_refuses_them_all(answers: list[str]) -> None:
    async def main() -> None:
        async with FakePeer(answer()) as peer:
            client = client_of(f"http://peer.test:{peer.port}", Names(answers))
            with pytest.raises(EgressDenied):
                await get(client)
            assert (peer.connections_seen, client.status()["connections"]) == (0, 0)
            await client.aclose()

    fake_peer.run(main())


@pytest.mark.parametrize("answers", [[], ["not an address"]])
def test_a_resolution_without_a_usable_answer_is_unreachable(answers: list[str]) -> None:
    async def main() -> None:
        client = client_of("http://peer.test", Names(answers))
        with pytest.raises(NetError, match="cannot be resolved"):
            await get(client)
        await client.aclose()

    fake_peer.run(main())


def test_the_addresses_are_tried_in_order_until_one_accepts() -> None:
    async def main() -> None:
        async with FakePeer(answer()) as peer:
            policy = AddressPolicy(allow_loopback=True)
            client = client_of(f"http://peer.test:{peer.port}", Names(["127.0.0.2", "::1", "127.0.0.1"]), policy=policy)
            assert await get(client) == b"{}"
            await client.aclose()

    fake_peer.run(main())


def test_a_literal_address_needs_no_resolver() -> None:
    async def main() -> None:
        async with FakePeer(answer()) as peer:
            names = Names([])
            client = client_of(peer.url, names)
            assert await get(client) == b"{}"
            assert names.asked == []
            await client.aclose()

    fake_peer.run(main())


def test_the_peer_of_a_new_connection_is_judged_once_more() -> None:
    async def main() -> None:
        async with FakePeer(answer()) as peer:
            with pytest.raises(EgressDenied):
                await dial._connect(ipaddress.ip_address("127.0.0.1"), peer.port, AddressPolicy())
            await peer.all_gone()

    fake_peer.run(main())


def test_a_cancelled_dial_leaves_nothing_behind() -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def hanging(host: str, port: int) -> list[str]:
            started.set()
            await asyncio.Event().wait()
            return []

        client = HttpClient("http://peer.test", policy=ONLY_ONE, tls=TlsPolicy(), max_connections=1, resolver=hanging)
        task = asyncio.create_task(get(client))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.status()["connections"] == 0
        await client.aclose()

    fake_peer.run(main())


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


def test_the_certificate_is_verified_for_the_name_of_the_url(authority: Authority) -> None:
    async def main() -> None:
        asked_for: list[str | None] = []
        context = authority.server("peer.test")
        context.sni_callback = lambda connection, name, context: asked_for.append(name)
        async with FakePeer(answer(), tls=context) as peer:
            client = client_of(
                f"https://peer.test:{peer.port}", Names(["127.0.0.1"]), tls=TlsPolicy(ca_file=authority.ca_file)
            )
            for _ in range(3):
                assert await get(client) == b"{}"
            assert (asked_for, peer.connections_seen) == (["peer.test"], 1)
            peer.drop_all()
            await peer.all_gone()
            assert await get(client) == b"{}"
            await client.aclose()
            await peer.all_gone()

    fake_peer.run(main())


@pytest.mark.parametrize("case", ["wrong name", "expired", "not yet valid", "unknown authority", "old version"])
def test_a_certificate_that_is_not_good_is_refused_and_nothing_is_sent(
    case: str, authority: Authority, stranger: Authority
) -> None:
    contexts = {
        "wrong name": lambda: authority.server("other.test"),
        "expired": lambda: authority.server("peer.test", days=(-3, -1)),
        "not yet valid": lambda: authority.server("peer.test", days=(1, 3)),
        "unknown authority": lambda: stranger.server("peer.test"),
        "old version": lambda: authority.server("peer.test"),
    }

    async def main() -> None:
        context = contexts[case]()
        if case == "old version":
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                context.minimum_version = ssl.TLSVersion.TLSv1_1
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with FakePeer(answer(), tls=context) as peer:
            client = client_of(
                f"https://peer.test:{peer.port}", Names(["127.0.0.1"]), tls=TlsPolicy(ca_file=authority.ca_file)
            )
            with pytest.raises(TlsRefused) as info:
                await get(client)
            assert not info.value.sent
            assert (peer.requests, client.status()["connections"]) == ([], 0)
            await client.aclose()
            await peer.all_gone()

    fake_peer.run(main())


def test_verification_can_be_switched_off_for_one_upstream(stranger: Authority) -> None:
    async def main() -> None:
        async with FakePeer(answer(), tls=stranger.server("other.test")) as peer:
            client = client_of(f"https://peer.test:{peer.port}", Names(["127.0.0.1"]), tls=TlsPolicy(verify=False))
            assert await get(client) == b"{}"
            await client.aclose()

    fake_peer.run(main())


def test_a_handshake_that_stalls_times_out() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65_536):
                pass
            writer.close()
            gone.set()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = client_of(f"https://peer.test:{port}", Names(["127.0.0.1"]), timeout_s=0.2)
        with pytest.raises(ConnectTimedOut):
            await get(client)
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
        await client.aclose()
        server.close()
        await server.wait_closed()

    fake_peer.run(main())


def test_a_context_is_made_once_for_a_policy(authority: Authority) -> None:
    one = ssl_context(TlsPolicy(ca_file=authority.ca_file))
    assert ssl_context(TlsPolicy(ca_file=authority.ca_file)) is one
    assert ssl_context(TlsPolicy()) is not one
    assert (one.verify_mode, one.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("content", [None, b"not a certificate"])
def test_a_ca_file_that_cannot_be_used_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TlsRefused):
        ssl_context(TlsPolicy(ca_file=str(path)))
