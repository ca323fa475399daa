"""Looking for MCP servers.

Who looks may only send the control plane to places that they could register: public addresses, and others with
`server.network`. What speaks MCP may become an upstream, by the same rules as any other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from toolyard.control.base.caller import Caller
from toolyard.control.base.errors import Forbidden, Invalid
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work, Works
from toolyard.control.discovery.errors import DiscoveryOff, RegistryUnusable
from toolyard.control.discovery.probing import CONNECT_S, Speaks, asked, place_of
from toolyard.control.discovery.schema import Discovered, DiscoveryAnswer, Search, Where
from toolyard.control.importers.service import Found, Importer
from toolyard.control.settings.service import RunTimeSettings
from toolyard.control.upstreams.errors import NetworkForbidden
from toolyard.control.upstreams.rules import Bounds
from toolyard.kit.errors import PlatformError
from toolyard.net.errors import EgressDenied, InvalidUrl, NetError
from toolyard.net.guard import AddressPolicy, check_literal, policy_for_operator_url
from toolyard.net.http import HttpClient
from toolyard.net.tls import TlsPolicy
from toolyard.net.url import Url
from toolyard.sources.clients import CLIENTS, ClientEntry, id_of, read_entries, user_file
from toolyard.sources.server_json import described_in, entry_of

AT_ONCE: Final = 16
REGISTRY_LIST: Final = "/v0/servers"
REGISTRY_MOST: Final = 100
REGISTRY_S: Final = 10.0
REGISTRY_BYTES: Final = 4 * 1024 * 1024
CLIENT_FILE_BYTES: Final = 4 * 1024 * 1024
Result = tuple[Discovered, Mapping[str, Any]]
"""A server, and the fields that its upstream would have."""


class Discovery:
    """Searches for one installation. `home`: where clients of this machine keep their files."""

    def __init__(self, vault: Vault, bounds: Bounds, settings: RunTimeSettings, home: Path) -> None:
        self._vault = vault
        self._bounds = bounds
        self._settings = settings
        self._home = home

    async def search(self, works: Works, caller: Caller, wanted: Search) -> DiscoveryAnswer:
        """Look, and configure what was found if that is wanted. Raises DiscoveryOff, Forbidden, NetworkForbidden,
        Invalid, RegistryUnusable."""
        async with works.read(caller) as work:
            if not await self._settings.is_on(work, "discovery"):
                raise DiscoveryOff
        places = _places(caller, wanted)
        hosts = await _at_hosts(places)
        clients = await self._in_clients(caller) if wanted.clients else []
        registry = await _in_registry(caller, wanted) if wanted.registry else []
        found = _each_once([*hosts, *clients, *registry])
        configured = 0
        if wanted.configure:
            async with works.write(caller) as work:
                configured = await self._configure(work, found)
        return DiscoveryAnswer(
            found=[one for one, _ in found], tried=len(places) + _asked_of(clients), configured=configured
        )

    async def _in_clients(self, caller: Caller) -> list[Result]:
        entries = await asyncio.to_thread(_client_entries, self._home)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(entry: ClientEntry) -> Result:
            async with gate:
                return await _client_server(caller, entry)

        return list(await asyncio.gather(*map(one, entries)))

    async def _configure(self, work: Work, found: Sequence[Result]) -> int:
        if not work.caller.may("upstreams.write"):
            raise Forbidden("this registers upstreams: it needs the permission upstreams.write")
        names: list[str] = []
        for one, _ in found:
            names.append(id_of(one.name, names))
        good = [i for i, (one, _) in enumerate(found) if one.health != "failing"]
        wanted = [Found(names[i], found[i][1]) for i in good]
        done = await Importer(work, self._vault, self._bounds).take_in(wanted, {})
        for i, result in zip(good, done.results, strict=True):
            made = result.item.upstream if result.item else None
            found[i][0].upstream_id = made.id if made else None
            found[i][0].not_configured = result.problem
        return done.succeeded


def _places(caller: Caller, wanted: Search) -> list[tuple[Url, AddressPolicy]]:
    """Where to ask, each once, with what may be connected to there. Raises Invalid, NetworkForbidden, Forbidden."""
    if wanted.clients and caller.kind != "operator":
        raise Forbidden("files of clients on this machine are for its operator, at the socket")
    texts = [*wanted.hosts, *(f"127.0.0.1:{port}" for port in wanted.ports if wanted.loopback)]
    found: dict[str, tuple[Url, AddressPolicy]] = {}
    for text in texts:
        url, policy = _allowed(caller, text)
        found[str(url)] = (url, policy)
    return list(found.values())


def _allowed(caller: Caller, text: str) -> tuple[Url, AddressPolicy]:
    try:
        url = place_of(text)
    except InvalidUrl as error:
        raise Invalid(f"'{text[:100]}' is no place to look: {error.message}") from None
    if url.scheme not in ("http", "https"):
        raise Invalid(f"'{text[:100]}' is no place to look: name a host, or a URL with http or https")
    if caller.may("server.network"):
        return url, policy_for_operator_url(str(url))
    try:
        check_literal(url, AddressPolicy())
    except EgressDenied:
        raise NetworkForbidden from None
    if url.host == "localhost":
        raise NetworkForbidden
    return url, AddressPolicy()


async def _at_hosts(places: Sequence[tuple[Url, AddressPolicy]]) -> list[Result]:
    """What speaks MCP at these places; where nothing does, there is nothing to tell."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(url: Url, policy: AddressPolicy) -> Speaks | None:
        async with gate:
            return (await asked(url, policy))[0]

    answers = await asyncio.gather(*(one(url, policy) for url, policy in places))
    return [_speaking("host", answer.name, answer, _fields(answer)) for answer in answers if answer is not None]


def _fields(found: Speaks) -> dict[str, Any]:
    return {"url": found.url} | ({"transport": "sse"} if found.kind == "mcp-sse" else {})


def _speaking(where: Where, name: str, found: Speaks, fields: Mapping[str, Any]) -> Result:
    told = Discovered(
        where=where,
        name=name,
        url=found.url,
        command=[],
        kind=found.kind,
        health="ready",
        problem=None,
        version=found.version,
        revision=found.revision,
        took_ms=found.took_ms,
        upstream_id=None,
        not_configured=None,
    )
    return told, fields


def _silent(where: Where, entry: ClientEntry, problem: str | None) -> Result:
    fields = entry.fields
    command = [str(fields["command"]), *map(str, fields.get("args", []))] if fields.get("command") else []
    told = Discovered(
        where=where,
        name=entry.name,
        url=str(fields["url"]) if fields.get("url") else None,
        command=command,
        kind="mcp-stdio" if command else None,
        health="failing" if problem else "untried",
        problem=problem,
        version=None,
        revision=None,
        took_ms=None,
        upstream_id=None,
        not_configured=None,
    )
    return told, fields


async def _client_server(caller: Caller, entry: ClientEntry) -> Result:
    """A server of a client. One that wants headers is not asked: they are a client's secrets."""
    if not entry.fields.get("url") or entry.fields.get("headers"):
        return _silent("client", entry, None)
    try:
        url, policy = _allowed(caller, str(entry.fields["url"]))
    except PlatformError as error:
        return _silent("client", entry, error.message)
    found, problem = await asked(url, policy)
    if found is None:
        return _silent("client", entry, problem or "nothing there speaks MCP")
    return _speaking("client", entry.name, found, entry.fields)


def _client_entries(home: Path) -> list[ClientEntry]:
    """The servers in the files of clients; a file that cannot be read is passed over."""
    found: list[ClientEntry] = []
    for client in CLIENTS.values():
        relative = user_file(client, home, sys.platform)
        path = Path(relative) if relative is not None else None
        try:
            if path is not None and path.is_file() and path.stat().st_size <= CLIENT_FILE_BYTES:
                found += read_entries(client, path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, PlatformError):
            continue
    return found


async def _in_registry(caller: Caller, wanted: Search) -> list[Result]:
    assert wanted.registry is not None
    url, policy = _allowed(caller, wanted.registry)
    target = url.target if url.target not in ("", "/") else REGISTRY_LIST
    joined = "&" if "?" in target else "?"
    target += f"{joined}limit={REGISTRY_MOST}" + (f"&search={quote(wanted.q, safe='')}" if wanted.q else "")
    return list(_described(await _read(url, policy, target)))


async def _read(url: Url, policy: AddressPolicy, target: str) -> dict[str, Any]:
    client = HttpClient(url.origin, policy=policy, tls=TlsPolicy(), max_connections=1, connect_timeout_s=CONNECT_S)
    try:
        deadline = asyncio.get_running_loop().time() + REGISTRY_S
        with await client.request("GET", target, (("accept", "application/json"),), None, deadline=deadline) as answer:
            if answer.status != 200:
                raise RegistryUnusable(f"the registry answers with HTTP {answer.status}")
            content = json.loads(await answer.read(REGISTRY_BYTES))
    except NetError as error:
        raise RegistryUnusable(error.message) from None
    except (ValueError, RecursionError):
        raise RegistryUnusable("the registry does not answer with JSON") from None
    finally:
        await client.aclose()
    if not isinstance(content, dict):
        raise RegistryUnusable
    return content


def _described(content: Mapping[str, Any]) -> Iterator[Result]:
    for description in described_in(content)[:REGISTRY_MOST]:
        try:
            told, fields = _silent("registry", entry_of(description), None)
        except PlatformError:
            continue  # it says no way to reach or start it
        told.version = str(description["version"])[:100] if description.get("version") else None
        yield told, fields


def _each_once(found: Sequence[Result]) -> list[Result]:
    """One that was found in several ways is told the first time only."""
    seen: dict[str, Result] = {}
    for one in found:
        seen.setdefault(one[0].url or json.dumps(one[0].command), one)
    return list(seen.values())


def _asked_of(clients: Sequence[Result]) -> int:
    return sum(one.health != "untried" for one, _ in clients)
