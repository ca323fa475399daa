"""A head that is known from before on a connection is taken exactly as on a connection that never saw it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.gateway.wire_rig import MCP, Client, Rig, serving
from toolyard.gateway.known_heads import KnownHeads

BODY = b'{"jsonrpc":"2.0"}'
LENGTH = str(len(BODY)).encode()


def head(**lines: bytes | None) -> bytes:
    """The base head with some lines changed (by name, `_` for `-`) or left out (None)."""
    base = {
        b"Host": b" localhost",
        b"Content-Type": b" application/json",
        b"Mcp-Name": b" echo",
        b"Mcp-Session-Id": b" abc.def",
        b"traceparent": b" 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"Content-Length": b" " + LENGTH,
    }
    for name, value in lines.items():
        key = next(k for k in base if k.decode().lower().replace("-", "_") == name)
        if value is None:
            del base[key]
        else:
            base[key] = value
    return b"POST /mcp/lab HTTP/1.1\r\n" + b"".join(k + b":" + v + b"\r\n" for k, v in base.items()) + b"\r\n"


def text(client_said: bytes) -> bytes:
    return client_said + BODY


async def outcome(client: Client, said: bytes) -> tuple[int, Any, bool]:
    """Status, content and whether the connection still serves."""
    reply = await client.ask(said)
    content = reply.json() if reply.body else None
    return reply.status, content, reply.headers.get("connection") != "close"


CASES = {
    "the same": text(head()),
    "another tool": text(head(mcp_name=b" search/web_2.0")),
    "another trace": text(head(traceparent=b" 00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-00")),
    "a longer body": head(content_length=b" 40") + BODY + b" " * (40 - len(BODY)),
    "a length with zeros before it": text(head(content_length=b" 0" + LENGTH)),
    "no body": head(content_length=b" 0"),
    "a length with a sign": text(head(content_length=b" +" + LENGTH)),
    "a length with a blank after it": text(head(content_length=b" " + LENGTH + b" ")),
    "a length with two blanks before it": text(head(content_length=b"  " + LENGTH)),
    "a length in hexadecimal": text(head(content_length=b" 0x11")),
    "two lengths in one": text(head(content_length=b" " + LENGTH + b", " + LENGTH)),
    "no length value": text(head(content_length=b"")),
    "a huge length": text(head(content_length=b" 99999999999")),
    "a name with blanks in it": text(head(mcp_name=b" a b")),
    "a name with a blank after it": text(head(mcp_name=b" echo ")),
    "a name with a tab": text(head(mcp_name=b" a\tb")),
    "a name beyond ASCII": text(head(mcp_name=b" caf\xe9")),
    "a name with a control character": text(head(mcp_name=b" a\x01b")),
    "an empty name": text(head(mcp_name=b" ")),
    "a name with another line": text(head(mcp_name=b" echo\r\nX-More: 1")),
    "a second name": text(head(mcp_name=b" echo\r\nMcp-Name: other")),
    "a second length": text(head(content_length=b" " + LENGTH + b"\r\nContent-Length: " + LENGTH)),
    "a folded name": text(head(mcp_name=b" echo\r\n more")),
    "a bare line feed": text(head(mcp_name=b" echo\nX-More: 1")),
    "a coding beside the length": text(head(mcp_name=b" echo\r\nTransfer-Encoding: chunked")),
    "no name": text(head(mcp_name=None)),
    "another session": text(head(mcp_session_id=b" xyz")),
    "no session": text(head(mcp_session_id=None)),
    "no trace": text(head(traceparent=None)),
    "another host": text(head(host=b" evil.example")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_connection_that_knows_the_head_answers_as_a_new_one(case: str) -> None:
    async def scene() -> None:
        async with serving(MCP) as rig:
            new, warm = await rig.client(), await rig.client()
            for _ in range(2):
                assert (await outcome(warm, text(head())))[0] == 200
            assert await outcome(warm, CASES[case]) == await outcome(new, CASES[case])

    asyncio.run(scene())


def test_what_changed_is_what_the_handler_sees() -> None:
    async def scene() -> None:
        async with serving(MCP) as rig:
            client = await rig.client()
            for name, length in (("echo", 17), ("other", 20), ("echo", 30)):
                said = head(mcp_name=f" {name}".encode(), content_length=f" {length}".encode()) + BODY.ljust(length)
                seen = (await client.ask(said)).json()
                assert (seen["headers"]["mcp-name"], seen["length"]) == (name, length)
                assert seen["headers"]["content-length"] == str(length)
                assert seen["body"] == BODY.ljust(length).decode()

    asyncio.run(scene())


def test_a_known_head_in_pieces_and_in_a_row_is_the_same() -> None:
    async def scene() -> None:
        async with serving(MCP) as rig:
            client = await rig.client()
            said = [head(mcp_name=f" t{n}".encode()) + BODY for n in range(6)]
            await client.ask(said[0])
            await client.send(b"".join(said[1:4]))
            for n in (1, 2, 3):
                assert (await client.reply()).json()["headers"]["mcp-name"] == f"t{n}"
            for one in (said[4][:60], said[4][60:-5], said[4][-5:] + said[5]):
                await client.send(one)
                await asyncio.sleep(0.01)
            for n in (4, 5):
                assert (await client.reply()).json()["headers"]["mcp-name"] == f"t{n}"

    asyncio.run(scene())


def known(rig: Rig) -> list[KnownHeads]:
    return [connection._heads for connection in rig.server._service.connections]


def test_an_idle_connection_forgets_what_it_has_read() -> None:
    async def scene() -> None:
        async with serving(MCP) as rig:
            client = await rig.client()
            await client.ask(text(head()))
            assert any(known(rig))
            rig.pass_time(1.0)
            assert any(known(rig))
            rig.pass_time(2.0)
            assert not any(known(rig))
            assert json.loads((await client.ask(text(head()))).body)["headers"]["mcp-name"] == "echo"

    asyncio.run(scene())


def test_heads_with_and_without_a_name_are_known_beside_each_other() -> None:
    async def scene() -> None:
        async with serving(MCP) as rig:
            client = await rig.client()
            for number in range(3):
                for said in (head(mcp_name=f" t{number}".encode()), head(mcp_name=None), head(mcp_session_id=None)):
                    assert (await client.ask(text(said))).status == 200
            (heads,) = known(rig)
            for said in (head(mcp_name=b" t9"), head(mcp_name=None), head(mcp_session_id=None)):
                found = heads.find(said)
                assert found is not None
                assert (b"Mcp-Name: " + found.headers.get("mcp-name", "?").encode() in said) == (b"Mcp-Name" in said)

    asyncio.run(scene())
