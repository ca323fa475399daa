"""Dialling: resolve, vet every answer, connect to a vetted address, check whom we got.

The name is resolved once for each connection and the socket is opened to an address of that very answer, so a name that
changes its mind between check and use (DNS rebinding) gains nothing. TLS asks for and verifies the name of the URL.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from toolyard.kit import faults
from toolyard.net.addresses import IpAddress, plain
from toolyard.net.errors import ConnectTimedOut, EgressDenied, TlsRefused, Unreachable
from toolyard.net.guard import AddressPolicy, vet
from toolyard.net.resolver import Resolver, system_resolver
from toolyard.net.tls import TlsPolicy, ssl_context
from toolyard.net.url import Url

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


async def dial(
    make_protocol: Callable[[], ProtocolT],
    url: Url,
    *,
    policy: AddressPolicy,
    tls: TlsPolicy,
    timeout_s: float = 3.0,
    resolver: Resolver = system_resolver,
) -> tuple[ProtocolT, socket.socket]:
    """A connected protocol and its socket, within `timeout_s` for resolving, connecting and the TLS handshake together.
    Raises EgressDenied, Unreachable, TlsRefused, ConnectTimedOut."""
    context = ssl_context(tls) if url.is_tls else None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            sock = await open_socket(url, policy=policy, timeout_s=timeout_s, resolver=resolver)
            with translated_errors(tls=url.is_tls):  # the socket is the loop's now, which closes it also on failure
                _, protocol = await loop.create_connection(
                    make_protocol, sock=sock, ssl=context, server_hostname=url.host if context is not None else None
                )
    except TimeoutError:
        raise ConnectTimedOut from None
    return protocol, sock


@contextmanager
def translated_errors(*, tls: bool) -> Iterator[None]:
    """What goes wrong while a connected socket becomes a connection, in the words of this package."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise TlsRefused(f"The peer's TLS certificate was refused: {error.verify_message}.") from error
    except ssl.SSLError as error:
        raise TlsRefused("The TLS handshake with the peer failed.") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise (TlsRefused("The peer broke off the TLS handshake.") if tls else Unreachable()) from error


async def open_socket(
    url: Url, *, policy: AddressPolicy, timeout_s: float, resolver: Resolver = system_resolver
) -> socket.socket:
    """A connected, non-blocking socket to the first vetted address that accepts. Each address gets its share of
    `timeout_s`. Raises EgressDenied, Unreachable, ConnectTimedOut."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    try:
        async with asyncio.timeout_at(end):
            addresses = await _vetted_addresses(url, policy, resolver)
    except TimeoutError:
        raise ConnectTimedOut("The upstream's name was not resolved in time.") from None
    failure: Exception = Unreachable()
    for position, address in enumerate(addresses):
        share_s = (end - loop.time()) / (len(addresses) - position)
        try:
            async with asyncio.timeout(share_s):
                return await _connect(address, url.port, policy)
        except TimeoutError:
            failure = ConnectTimedOut()
        except OSError as error:
            failure = Unreachable()
            failure.__cause__ = error
    raise failure


async def _vetted_addresses(url: Url, policy: AddressPolicy, resolver: Resolver) -> Sequence[IpAddress]:
    if url.address is not None:
        addresses: list[IpAddress] = [url.address]
    else:
        try:
            faults.hit("net.resolve")
            answers = await resolver(url.host, url.port)
            addresses = list(dict.fromkeys(ipaddress.ip_address(answer) for answer in answers))
        except (OSError, ValueError) as error:
            raise Unreachable("The upstream's name cannot be resolved.") from error
    if not addresses:
        raise Unreachable("The upstream's name cannot be resolved.")
    vet(addresses, policy)
    return addresses


async def _connect(address: IpAddress, port: int, policy: AddressPolicy) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        faults.hit("net.connect")
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        peer = ipaddress.ip_address(sock.getpeername()[0])
        if plain(peer) != plain(address) or not policy.permits(peer):
            raise EgressDenied("The connection reached another address than the one that was judged.")
    except BaseException:
        sock.close()
        raise
    return sock
