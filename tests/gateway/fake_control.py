"""A control plane for tests: an HTTP server on a Unix socket that feeds what it is told to and remembers what it is
asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolyard.contract.documents import Manifest, digest_of, encode
from toolyard.contract.snapshot import Snapshot
from toolyard.kit.secret import Secret
from toolyard.kit.unix_path import bind_private

PATIENCE_S = 20.0


@dataclass
class Request:
    """What arrived: the head at once, the body by `body` or piece by piece by `pieces`."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def get(self, name: str) -> str | None:
        return next((value for found, value in self.fields if found == name), None)

    async def pieces(self) -> Any:
        if self.get("transfer-encoding") == "chunked":
            while size := int((await self.reader.readline()).strip(), 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
            return
        left = int(self.get("content-length") or 0)
        while left:
            piece = await self.reader.readexactly(min(left, 65536))
            left -= len(piece)
            yield piece

    async def body(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, status: int = 200, *fields: tuple[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        await self.say(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body)

    async def open(self, *fields: tuple[str, str], status: int = 200) -> None:
        """Begin an answer in chunks."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        await self.say(f"HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n{lines}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        await self.say(b"%x\r\n%s\r\n" % (len(data), data))


Handler = Callable[[Request], Awaitable[None]]


async def nothing_here(request: Request) -> None:
    await request.body()
    await request.answer(b"nothing here", 404)


@dataclass
class FakeControl:
    """`handle` serves what is neither the feed nor the records."""

    socket: Path
    handle: Handler = nothing_here
    asked: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    feeds: list[Request] = field(default_factory=list)
    feed_status: int = 200
    records_status: int = 202
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    lines: list[bytes] = field(default_factory=list)
    """What every feed is told first."""

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self._serve, sock=bind_private(self.socket))

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for feed in self.feeds:
            feed.writer.close()
        self.feeds.clear()
        self.socket.unlink(missing_ok=True)

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def publish(self, snapshot: Snapshot, *, only: set[str] | None = None) -> Manifest:
        """Tell every feed, and those to come. `only`: the kinds whose documents are sent."""
        lines, manifest = lines_of(snapshot, only)
        self.lines = lines
        for feed in self.feeds:
            for line in lines:
                await feed.chunk(line)
        return manifest

    async def beat(self) -> None:
        for feed in self.feeds:
            await feed.chunk(b'{"kind":"beat","revision":1}\n')

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            method, target, _ = first.split(" ")
            fields = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
            request = Request(method, target, fields, reader, writer)
            if target == "/internal/v1/feed":
                await self._feed(request)
                return
            if target == "/internal/v1/records":
                self.records += json.loads(await request.body())
                await request.answer(b"", self.records_status)
            else:
                await self.handle(request)
            self.changed.set()
        writer.close()

    async def _feed(self, request: Request) -> None:
        self.asked.append(json.loads(await request.body()))
        if self.feed_status != 200:
            await request.answer(b"", self.feed_status)
            self.changed.set()
            request.writer.close()
            return
        await request.open(("content-type", "application/x-ndjson"))
        for line in self.lines:
            await request.chunk(line)
        self.feeds.append(request)
        self.changed.set()
        await request.reader.read()
        request.writer.close()


def sealed(_place: str, secret: Secret) -> str:
    return "sealed:" + secret.reveal()


def unsealed(_place: str, text: str) -> Secret:
    assert text.startswith("sealed:")
    return Secret(text.removeprefix("sealed:"))


def lines_of(snapshot: Snapshot, only: set[str] | None = None) -> tuple[list[bytes], Manifest]:
    """The lines that tell a snapshot."""
    sent = encode(snapshot, sealed)
    kinds = {digest: kind for kind, _, digest in sent.manifest.entries}
    lines = [
        line("document", digest=digest, document=document)
        for digest, document in sent.documents.items()
        if only is None or kinds[digest] in only
    ]
    assert all(digest_of(document) == digest for digest, document in sent.documents.items())
    return [*lines, line("manifest", revision=sent.manifest.revision, entries=sent.manifest.entries)], sent.manifest


def line(kind: str, **more: Any) -> bytes:
    return json.dumps({"kind": kind, **more}).encode() + b"\n"
