"""A head that is known means what the reader says that it means; what is no such head is left to the reader."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.wire_rig import HOST, JSON, echo, post, route, serving
from toolyard.gateway.edge import EdgeSettings, edge_rules
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.head_reader import HeadReader
from toolyard.gateway.known_heads import KnownHeads
from toolyard.gateway.reception import Listener, Peer, Reception, receive
from toolyard.gateway.refusals import WireRefusal
from toolyard.gateway.routes import RouteTable

VALUES = [
    b"1",
    b"10",
    b"1_0",
    b"+1",
    b"-1",
    b"007",
    b"9999999",
    b"",
    b" 1",
    b"1 ",
    b"a",
    b"sell",
    b"\xff",
    b"1\t",
    b"\x00",
]
NAMES = [b"Content-Length", b"content-length", b"Mcp-Name", b"mcp-name", b"traceparent", b"Mcp_Name", b"X"]
LINES = st.tuples(st.sampled_from(NAMES), st.sampled_from([b":", b": ", b":  "]), st.sampled_from(VALUES))
ROUTES = RouteTable([route("/mcp", echo)])
LIMITS = WireLimits()
LISTENER = Listener(edge_rules(EdgeSettings(), "127.0.0.1", 80, scheme="http"))
PEER = Peer("127.0.0.1", "localhost")


def judged(head: bytes) -> Reception | None:
    """What a connection that knows nothing makes of a head."""
    try:
        found = receive(HeadReader(LIMITS).read(head), LISTENER, PEER, ROUTES, LIMITS)
    except WireRefusal:
        return None
    return found if isinstance(found, Reception) else None


def said(found: Reception, changed: Any = None) -> tuple[Any, ...]:
    head = found.head(changed)
    return (head.method, head.path, head.headers, head.repeated, head.query, found.request.keep_alive)


@given(st.lists(st.lists(LINES, max_size=4), min_size=2, max_size=6))
def test_what_is_known_is_what_would_be_read(heads: list[list[tuple[bytes, bytes, bytes]]]) -> None:
    known, recognised = KnownHeads(4 * 1024 * 1024), 0
    for lines in [*heads, [(b"Content-Length", b": ", b"10")], [(b"Content-Length", b": ", b"007")]]:
        head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"".join(name + colon + value + b"\r\n" for name, colon, value in lines) + b"\r\n"
        found, right = known.find(head), judged(head)
        if found is not None:
            recognised += 1
            assert right is not None
            assert found.length == right.request.length
            assert said(found.reception, found.headers) == said(right)
        elif right is not None:
            known.remember(head, right)
    assert recognised


def test_a_value_that_was_seen_as_a_name_is_no_length_for_that() -> None:
    async def main() -> None:
        async with serving() as rig:
            for length in (b"1_0", b"+2", b"-2", b"abc"):
                client = await rig.client()
                name = b"Mcp-Name: %s\r\n" % length
                for _ in range(2):
                    assert (await client.ask(post(b"{}", headers=name))).status == 200
                bad = b"POST /mcp/alpha HTTP/1.1\r\n%s%s%sContent-Length: %s\r\n\r\n" % (HOST, JSON, name, length)
                assert (await client.ask(bad + b"{}        ")).status == 400

    asyncio.run(main())


def test_a_known_head_takes_no_longer_body_than_is_allowed() -> None:
    async def main() -> None:
        async with serving(body_bytes=1000) as rig:
            for length, status in ((2, 200), (700, 200), (2, 200), (1000, 200), (1001, 413)):
                client = await rig.client()
                for before in (2, 900):
                    assert (await client.ask(post(b" " * before))).status == 200
                assert (await client.ask(post(b" " * length))).status == status

    asyncio.run(main())


def test_what_a_connection_knows_is_bounded() -> None:
    known = KnownHeads(4 * 1024 * 1024)
    for number in range(1000):
        head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"Mcp-Name: tool-%d\r\nContent-Length: %d\r\nX: %d\r\n\r\n" % (number, number, number // 900)
        if known.find(head) is None and (right := judged(head)) is not None:
            known.remember(head, right)
    assert len(known._kinds) == 2
    assert all(len(kind.texts) <= 128 for kind in known._kinds.values())
