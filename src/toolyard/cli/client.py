"""A small synchronous MCP client for the command line: one request, one answer, over a Unix socket or TCP.

It speaks the revision 2026-07-28 (no sessions), declares no capabilities, and reads answers as JSON or as an event
stream, whose notifications it hands on as they come.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from toolyard import __version__
from toolyard.cli.place import open_socket
from toolyard.kit.errors import PlatformError
from toolyard.protocol.envelope import stamp
from toolyard.protocol.header_parameters import HeaderParameter
from toolyard.protocol.headers import request_headers
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.sse import SseParser

Json = dict[str, Any]
OnNotification = Callable[[Json], None]

CONNECT_S = 5.0
ANSWER_S = 630.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_PAGES = 1000
_CODE = re.compile(r"[a-z][a-z0-9_]{1,63}")


class GatewayAbsent(PlatformError):
    """No gateway is running here."""

    code = "gateway_absent"


class GatewayUnreachable(PlatformError):
    """The gateway cannot be reached, or did not answer."""

    code = "gateway_unreachable"


class KeyRefused(PlatformError):
    """The gateway does not accept the key."""

    code = "key_refused"


class OperatorOnly(PlatformError):
    """This is told only on the gateway's own machine, through the socket in its data directory."""

    code = "operator_only"


class RemoteError(PlatformError):
    """The gateway answered with an error. Its own code, such as `rate_limited`, is shown instead if it told one."""

    code = "remote_error"

    def __init__(self, message: str, *, rpc_code: int | None = None, data: Any = None) -> None:
        self.rpc_code = rpc_code
        self.data = data
        told = data.get("reason") if isinstance(data, dict) else None
        self.reason = told if isinstance(told, str) and _CODE.fullmatch(told) else None
        super().__init__(message, rpc_code=rpc_code, gateways_code=self.reason, **_mend(self.reason, data))


def _mend(reason: str | None, data: Any) -> dict[str, str]:
    """What to do, where the answer itself says it."""
    wait_s = data.get("retry_after_s") if isinstance(data, dict) else None
    if reason != "rate_limited" or not isinstance(wait_s, (int, float)):
        return {}
    return {"mend": f"Try again in {wait_s:.3g} s; the limit is `limits` of the virtual server in toolyard.yaml."}


@dataclass(frozen=True)
class Target:
    """A gateway: a Unix socket (as operator), or a URL with a key."""

    socket: Path | None = None
    url: str = ""
    key: str | None = None

    def path(self, server: str | None) -> str:
        """The path of a virtual server; without a code, that of the URL if it has one."""
        prefix = urlsplit(self.url).path.rstrip("/") if self.url else ""
        base, found, _ = prefix.partition("/mcp")
        if found and server is None:
            return prefix
        return f"{base}/mcp" if server in {None, "default"} else f"{base}/mcp/{quote(str(server), safe='')}"


class GatewayClient:
    """Asks one gateway. Every method raises GatewayUnreachable, KeyRefused or RemoteError."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def request(
        self,
        server: str | None,
        method: str,
        params: Json,
        *,
        on_notification: OnNotification | None = None,
        parameters: tuple[HeaderParameter, ...] = (),
    ) -> Json:
        """The result of one MCP request to a virtual server."""
        stamped = stamp(
            params,
            revision=MODERN,
            client_capabilities={},
            client_info={"name": "toolyard-cli", "version": __version__},
            progress_token=1 if on_notification else None,
        )
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": stamped}, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **dict(request_headers(method, stamped, parameters)),
        }
        with self._exchange("POST", self._target.path(server), headers, body) as answer:
            return _result(_messages(answer), on_notification)

    def list_all(self, server: str | None, method: str, field: str) -> list[Json]:
        """All items of a list that comes in pages."""
        items: list[Json] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = self.request(server, method, {"cursor": cursor} if cursor is not None else {})
            items += page.get(field) or []
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        return items

    def operator(self, path: str) -> Any:
        """What the gateway tells its operator at `path`. Raises OperatorOnly too."""
        if self._target.socket is None:
            raise OperatorOnly
        with self._exchange("GET", path, {"Accept": "application/json"}, None) as answer:
            return _decoded(_body(answer))

    def order(self, order: Json) -> Json:
        """Have the gateway carry out an operator's order; what it answers. Raises OperatorOnly too."""
        if self._target.socket is None:
            raise OperatorOnly
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        with self._exchange("POST", "/operator/upstreams", headers, json.dumps(order).encode()) as answer:
            told = _decoded(_body(answer))
        if isinstance(told.get("error"), dict):
            raise _remote_error(told["error"])
        return dict(told)

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> _Answer:
        connection = _connect(self._target)
        if self._target.key:
            headers = {**headers, "Authorization": f"Bearer {self._target.key}"}
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _unreachable(self._target, error) from None
        return _Answer(connection, response)


class _Answer:
    """A response and its connection, which goes with it."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self.response = response

    def __enter__(self) -> http.client.HTTPResponse:
        return self.response

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = open_socket(self._path, timeout_s=CONNECT_S)
        self.sock.settimeout(ANSWER_S)


def _connect(target: Target) -> http.client.HTTPConnection:
    if target.socket is not None:
        return _UnixConnection(target.socket)
    parts = urlsplit(target.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise GatewayUnreachable(f"TOOLYARD_URL is '{target.url}', which is not a URL such as http://127.0.0.1:8000")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=ANSWER_S, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_S)


def _unreachable(target: Target, error: Exception) -> PlatformError:
    if target.socket is not None and isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return GatewayAbsent()
    place = str(target.socket or target.url)
    return GatewayUnreachable(f"the gateway at {place} cannot be reached: {error or type(error).__name__}")


def _messages(response: http.client.HTTPResponse) -> Iterator[Json]:
    """The JSON-RPC messages of an answer, as they arrive."""
    kind = response.headers.get_content_type()
    if kind == "text/event-stream" and response.status == http.HTTPStatus.OK:
        parser = SseParser(MAX_ANSWER_BYTES)
        while chunk := _read(response):
            for event in parser.feed(chunk):
                if event.data:
                    yield _decoded(event.data)
        return
    yield _decoded(_body(response))


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(65536)
    except (OSError, http.client.HTTPException) as error:
        raise GatewayUnreachable(f"the answer broke off: {error or type(error).__name__}") from None


def _body(response: http.client.HTTPResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := _read(response):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise RemoteError("the answer is larger than 64 MiB")
    body = b"".join(parts)
    if response.status == http.HTTPStatus.UNAUTHORIZED:
        raise KeyRefused
    if response.status != http.HTTPStatus.OK and not _is_rpc_error(body):
        raise RemoteError(f"the gateway answered with status {response.status}{_said(body)}")
    return body


def _is_rpc_error(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body)["error"]["message"], str)
    except (ValueError, KeyError, TypeError):
        return False


def _said(body: bytes) -> str:
    text = body[:500].decode("utf-8", "replace").strip()
    return f": {text}" if text else ""


def _decoded(data: bytes | str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise RemoteError("the gateway's answer is not JSON") from None


def _remote_error(error: Json) -> RemoteError:
    """A JSON-RPC error, or a refusal in plain HTTP, whose code is a word."""
    code, data = error.get("code"), error.get("data")
    if isinstance(code, str):
        return RemoteError(str(error.get("message")), data={"reason": code})
    return RemoteError(str(error.get("message")), rpc_code=code, data=data)


def _result(messages: Iterator[Json], on_notification: OnNotification | None) -> Json:
    for message in messages:
        if not isinstance(message, dict):
            break
        if isinstance(message.get("error"), dict):
            raise _remote_error(message["error"])
        if isinstance(message.get("result"), dict):
            return dict(message["result"])
        if on_notification and "method" in message:
            on_notification(message)
    raise GatewayUnreachable("the answer ended before the result")
