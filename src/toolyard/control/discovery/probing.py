"""Asking one place whether it speaks MCP. Every connection goes through `net`, under the rules for addresses.

`server/discover` is asked first, then `initialize`, then HTTP+SSE is tried; nothing but these is sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from toolyard import __version__
from toolyard.kit.errors import PlatformError
from toolyard.net.guard import AddressPolicy
from toolyard.net.http import HttpClient
from toolyard.net.response import HttpResponse
from toolyard.net.tls import TlsPolicy
from toolyard.net.url import Url, parse_url
from toolyard.protocol.revisions import LEGACY, MODERN
from toolyard.protocol.sse import SseParser
from toolyard.protocol.strict_json import decode

LIMIT_S: Final = 4.0
CONNECT_S: Final = 1.5
MAX_BYTES: Final = 256 * 1024
PATHS: Final = ("/mcp", "/")
SSE_PATH: Final = "/sse"
_CLIENT: Final = {"name": "toolyard", "version": __version__}
_JSON: Final = (("content-type", "application/json"), ("accept", "application/json, text/event-stream"))
PolicyFor = Callable[[Url], AddressPolicy]


@dataclass(frozen=True, slots=True)
class Speaks:
    """An MCP server that answered."""

    url: str
    kind: str
    name: str
    version: str | None
    revision: str | None
    took_ms: int


class Probe:
    """One place, `url`; without a path in it the usual ones are tried."""

    def __init__(self, url: Url, policy: AddressPolicy) -> None:
        self._url = url
        self._client = HttpClient(
            url.origin, policy=policy, tls=TlsPolicy(), max_connections=2, connect_timeout_s=CONNECT_S
        )
        self._began = monotonic()

    async def ask(self) -> Speaks | None:
        """What speaks MCP there; None if nothing does that answers. Raises NetError where nothing answers at all."""
        given = self._url.target if self._url.target not in ("", "/") else None
        try:
            async with asyncio.timeout(LIMIT_S):
                for path in (given,) if given else PATHS:
                    for question in (self._modern, self._legacy):
                        found = await question(path)
                        if found is not None:
                            return found
                return await self._sse(given or SSE_PATH)
        except TimeoutError:
            return None
        finally:
            await self._client.aclose()

    async def _modern(self, path: str) -> Speaks | None:
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": _CLIENT,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers = (("mcp-protocol-version", MODERN), ("mcp-method", "server/discover"))
        answer, _ = await self._post(path, "server/discover", {"_meta": meta}, headers)
        offered = answer.get("supportedVersions")
        if not isinstance(offered, list):
            return None
        info = answer.get("serverInfo") or (answer.get("_meta") or {}).get("io.modelcontextprotocol/serverInfo")
        return self._speaks(path, "mcp-http", info, next((str(one) for one in offered), None))

    async def _legacy(self, path: str) -> Speaks | None:
        hello = {"protocolVersion": LEGACY[0], "capabilities": {}, "clientInfo": _CLIENT}
        answer, session = await self._post(path, "initialize", hello, ())
        revision = answer.get("protocolVersion")
        if not isinstance(revision, str):
            return None
        if session is not None:
            ended = await self._send("DELETE", path, (("mcp-session-id", session),), None)
            ended.abort()
        return self._speaks(path, "mcp-http", answer.get("serverInfo"), revision)

    async def _sse(self, path: str) -> Speaks | None:
        with await self._send("GET", path, (("accept", "text/event-stream"),), None) as response:
            if response.status != 200 or not _is_stream(response):
                return None
            parser = SseParser(MAX_BYTES)
            async for chunk in response.chunks():
                for event in parser.feed(chunk):
                    return self._speaks(path, "mcp-sse", None, None) if event.event == "endpoint" else None
        return None

    async def _post(
        self, path: str, method: str, params: dict[str, Any], headers: tuple[tuple[str, str], ...]
    ) -> tuple[dict[str, Any], str | None]:
        """The result, empty if there is none, and the session that was opened."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        with await self._send("POST", path, (*_JSON, *headers), body) as response:
            if response.status >= 500:
                return {}, None
            text = await _first_message(response)
            return _result(text), response.headers.get("mcp-session-id")

    async def _send(
        self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes | None
    ) -> HttpResponse:
        deadline = asyncio.get_running_loop().time() + LIMIT_S
        return await self._client.request(method, path, headers, body, deadline=deadline)

    def _speaks(self, path: str, kind: str, info: Any, revision: str | None) -> Speaks:
        said = info if isinstance(info, dict) else {}
        name = said.get("name") if isinstance(said.get("name"), str) else None
        version = said.get("version") if isinstance(said.get("version"), str) else None
        took = round((monotonic() - self._began) * 1000)
        return Speaks(
            f"{self._url.origin}{path}", kind, (name or self._url.host)[:200], version and version[:100], revision, took
        )


def place_of(text: str) -> Url:
    """The place that somebody names: a URL, or a host with or without a port. Raises InvalidUrl."""
    return parse_url(text if "://" in text else f"http://{text}")


async def asked(url: Url, policy: AddressPolicy) -> tuple[Speaks | None, str | None]:
    """What speaks MCP at a place, or why nothing could be asked there."""
    try:
        return await Probe(url, policy).ask(), None
    except PlatformError as error:
        return None, error.message


async def _first_message(response: HttpResponse) -> bytes:
    if not _is_stream(response):
        return await response.read(MAX_BYTES)
    parser = SseParser(MAX_BYTES)
    async for chunk in response.chunks():
        for event in parser.feed(chunk):
            if event.data:
                return event.data
    return b""


def _is_stream(response: HttpResponse) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")


def _result(text: bytes) -> dict[str, Any]:
    try:
        message = decode(text)
    except PlatformError:
        return {}
    result = message.get("result") if isinstance(message, dict) else None
    return result if isinstance(result, dict) else {}
