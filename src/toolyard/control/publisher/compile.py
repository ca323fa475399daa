"""What the database says, as documents addressed by their content.

Compiled whole each time, but what has not changed is taken over as it was: a document is encoded and sealed again only
if its value is another one, so that a change sends one document.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from toolyard.contract.documents import (
    OWNER,
    Entry,
    Manifest,
    Seal,
    digest_of,
    encode_keys,
    encode_platform,
    encode_server,
    encode_upstream,
)
from toolyard.contract.snapshot import KeyRecord, ServerSpec, Snapshot, UpstreamSpec
from toolyard.control.base.work import Work
from toolyard.kit.secret import Secret

MAX_SEALED: Final = 50_000


@dataclass(frozen=True, slots=True)
class Published:
    """An upstream or a virtual server as gateways should have it, and whose it is."""

    spec: UpstreamSpec | ServerSpec
    owner: str = "database"


class Sources(Protocol):
    """Where the values come from: the slices that own them, asked within one transaction over all organizations."""

    async def upstreams(self, work: Work) -> list[Published]: ...
    async def servers(self, work: Work) -> list[Published]: ...
    async def keys(self, work: Work) -> list[KeyRecord]: ...
    async def platform(self, work: Work) -> Mapping[str, Any]:
        """Fields of `Snapshot` beside upstreams, servers and keys."""
        ...


@dataclass(frozen=True, slots=True)
class Compiled:
    """A manifest and its documents, each as the JSON that goes out."""

    manifest: Manifest
    documents: Mapping[str, bytes]


@dataclass(slots=True)
class Compiler:
    """Makes documents of values, and keeps what it made for the next time."""

    seal: Seal
    _made: dict[tuple[str, str], tuple[Any, str, bytes]] = field(default_factory=dict)
    _sealed: dict[tuple[str, bytes], str] = field(default_factory=dict)
    _salt: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    async def compile(self, work: Work, sources: Sources, revision: int) -> Compiled:
        """Everything, at one revision."""
        upstreams, servers = await sources.upstreams(work), await sources.servers(work)
        keys, platform = await sources.keys(work), await sources.platform(work)
        wanted: list[tuple[str, str, Any, Callable[[], Any]]] = [
            *(("upstream", _id(one), one, _maker(encode_upstream, one, self._seal_once)) for one in upstreams),
            *(("server", _id(one), one, _maker(encode_server, one, self._seal_once)) for one in servers),
            *(
                ("keys", code, records, lambda code=code, records=records: encode_keys(code, records, self._seal_once))
                for code, records in _by_server(keys).items()
            ),
            ("platform", "", dict(platform), lambda: self._platform(platform)),
        ]
        made: dict[tuple[str, str], tuple[Any, str, bytes]] = {}
        entries: list[Entry] = []
        for kind, name, value, make in wanted:
            before = self._made.get((kind, name))
            if before is None or before[0] != value:
                document = make()
                before = (value, digest_of(document), msgspec.json.encode(document))
            made[kind, name] = before
            entries.append((kind, name, before[1]))
        self._made = made
        return Compiled(Manifest(revision, tuple(entries)), {digest: text for _, digest, text in made.values()})

    def _platform(self, platform: Mapping[str, Any]) -> Any:
        empty: dict[str, Any] = {}
        snapshot = Snapshot(0, "", upstreams=empty, servers=empty, keys=empty, **platform)
        return encode_platform(snapshot, self._seal_once)

    def _seal_once(self, place: str, secret: Secret) -> str:
        """The same secret at the same place has the same text, so that its document stays the same one."""
        key = (place, hmac.digest(self._salt, secret.reveal().encode("utf-8", "surrogatepass"), hashlib.sha256))
        text = self._sealed.get(key)
        if text is None:
            if len(self._sealed) >= MAX_SEALED:
                self._sealed.clear()
            text = self._sealed[key] = self.seal(place, secret)
        return text


def _maker(encode: Callable[..., Any], one: Published, seal: Seal) -> Callable[[], Any]:
    return lambda: encode(one.spec, seal, **{OWNER: one.owner})


def _id(one: Published) -> str:
    return one.spec.id if isinstance(one.spec, UpstreamSpec) else one.spec.code


def _by_server(keys: Iterable[KeyRecord]) -> dict[str, list[KeyRecord]]:
    found: dict[str, list[KeyRecord]] = {}
    for record in keys:
        found.setdefault(record.server, []).append(record)
    return found


Gathered = Callable[[Work], Awaitable[list[Any]]]


@dataclass(frozen=True, slots=True)
class SliceSources:
    """Sources that are functions of the slices."""

    of_upstreams: Gathered
    of_servers: Gathered
    of_keys: Gathered
    of_platform: Callable[[Work], Awaitable[Mapping[str, Any]]]

    async def upstreams(self, work: Work) -> list[Published]:
        return await self.of_upstreams(work)

    async def servers(self, work: Work) -> list[Published]:
        return await self.of_servers(work)

    async def keys(self, work: Work) -> list[KeyRecord]:
        return await self.of_keys(work)

    async def platform(self, work: Work) -> Mapping[str, Any]:
        return await self.of_platform(work)
