"""What is published follows what is committed, and gateways get exactly what they lack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.engine import URL

from toolyard.contract.documents import Manifest, assemble
from toolyard.contract.snapshot import KeyRecord, ServerSpec, UpstreamSpec
from toolyard.control.base.caller import the_system
from toolyard.control.base.database import Database
from toolyard.control.base.facts import Fact
from toolyard.control.base.work import Work, Works
from toolyard.control.publisher.compile import Compiler, Published
from toolyard.control.publisher.publisher import Publisher
from toolyard.kit.clock import SystemClock
from toolyard.kit.secret import Secret

WAIT_S = 10.0


class ThingChanged(Fact):
    pass


class NobodysBusiness(Fact):
    publishes = False


@dataclass
class Written:
    """What the database would say."""

    specs: dict[str, UpstreamSpec] = field(default_factory=dict)
    records: list[KeyRecord] = field(default_factory=list)
    asked: int = 0

    async def upstreams(self, work: Work) -> list[Published]:
        self.asked += 1
        return [Published(spec) for spec in self.specs.values()]

    async def servers(self, work: Work) -> list[Published]:
        return [Published(ServerSpec("default")), Published(ServerSpec("other"), owner="file")]

    async def keys(self, work: Work) -> list[KeyRecord]:
        return self.records

    async def platform(self, work: Work) -> Mapping[str, Any]:
        return {}


def upstream(name: str, secret: str = "s") -> UpstreamSpec:
    return UpstreamSpec(name, "mcp-http", url="http://127.0.0.1:9/mcp", headers=(("authorization", Secret(secret)),))


def seal(place: str, secret: Secret) -> str:
    return f"{place}|{secret.reveal()}|{next(_NUMBERS)}"


def unseal(place: str, text: str) -> Secret:
    where, value, _ = text.split("|")
    assert where == place
    return Secret(value)


_NUMBERS = iter(range(10**9))
Lines = AsyncIterator[dict[str, Any]]


async def lines(publisher: Publisher, have: list[str]) -> Lines:
    async for line in publisher.stream(have):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        yield json.loads(line)


async def until_manifest(stream: Lines) -> tuple[list[str], dict[str, Any]]:
    """The digests of the documents that came, and the manifest after them."""
    came: list[str] = []
    async with asyncio.timeout(WAIT_S):
        async for line in stream:
            if line["kind"] == "manifest":
                return came, line
            if line["kind"] == "document":
                came.append(line["digest"])
    raise AssertionError("the stream ended")


def running(url: URL, written: Written, test: Callable[[Publisher, Works], Awaitable[None]]) -> None:
    async def run() -> None:
        database = Database(url)
        works = Works(database, SystemClock())
        publisher = Publisher(works, written, Compiler(seal))
        task = asyncio.create_task(publisher.run())
        try:
            await test(publisher, works)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await database.aclose()

    asyncio.run(run())


async def announce(works: Works, fact: Fact) -> None:
    async with works.write(the_system("default")) as work:
        work.announce(fact)


def test_a_gateway_gets_what_it_lacks_and_then_each_change_as_one_document(url: URL) -> None:
    written = Written({"a": upstream("a"), "b": upstream("b")})

    async def test(publisher: Publisher, works: Works) -> None:
        stream = lines(publisher, [])
        came, manifest = await until_manifest(stream)
        assert len(came) == len(manifest["entries"]) == 5
        written.specs["a"] = replace(written.specs["a"], timeout_s=5.0)
        await announce(works, ThingChanged("a"))
        changed, after = await until_manifest(stream)
        assert len(changed) == 1
        assert after["revision"] > manifest["revision"]
        again, _ = await until_manifest(lines(publisher, [digest for _, _, digest in after["entries"]]))
        assert again == []

    running(url, written, test)


def test_what_was_sent_makes_the_snapshot_that_was_meant(url: URL) -> None:
    key = KeyRecord("k1", "default", "d" * 64, 1)
    written = Written({"a": upstream("a", "SEKRET")}, [key])

    async def test(publisher: Publisher, works: Works) -> None:
        documents: dict[str, Any] = {}
        async with asyncio.timeout(WAIT_S):
            async for line in lines(publisher, []):
                if line["kind"] == "manifest":
                    entries = tuple((kind, name, digest) for kind, name, digest in line["entries"])
                    snapshot = assemble(Manifest(line["revision"], entries), documents, unseal, without_owners={"file"})
                    break
                documents[line["digest"]] = line["document"]
        assert dict(snapshot.upstreams) == written.specs
        assert dict(snapshot.keys) == {"k1": key}
        assert set(snapshot.servers) == {"default"}

    running(url, written, test)


def test_news_that_concern_no_gateway_compile_nothing_at_once_and_send_nothing(url: URL) -> None:
    written = Written({"a": upstream("a")})

    async def test(publisher: Publisher, works: Works) -> None:
        stream = lines(publisher, [])
        await until_manifest(stream)
        await announce(works, NobodysBusiness("x"))
        async with asyncio.timeout(WAIT_S):
            assert (await anext(stream))["kind"] == "beat"

    running(url, written, test)


def test_what_another_control_process_commits_is_found_without_being_told(url: URL) -> None:
    written = Written({"a": upstream("a")})

    async def test(publisher: Publisher, works: Works) -> None:
        stream = lines(publisher, [])
        await until_manifest(stream)
        elsewhere = Database(url)
        written.specs["b"] = upstream("b")
        await announce(Works(elsewhere, SystemClock()), ThingChanged("b"))
        came, _ = await until_manifest(stream)
        assert len(came) == 1
        await elsewhere.aclose()

    running(url, written, test)
