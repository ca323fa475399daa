"""The client that is awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from toolyard.sdk.api_async import AsyncApi
from toolyard.sdk.client import known_password, sending
from toolyard.sdk.errors import ApiError, ApiUnreachable
from toolyard.sdk.login import Tokens
from toolyard.sdk.options import Options
from toolyard.sdk.requests import Reply, Wanted, reply_of, wait_s, wanted
from toolyard.sdk.target import http_arguments, whom


class AsyncClient(AsyncApi):
    """A client of the management API, awaited; made and used as `Client` is."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        tokens: Tokens | None = None,
        socket: str | Path | None = None,
        organization: str | None = None,
        options: Options | None = None,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Raises ValueError unless it is clear whom to ask and as whom."""
        self._options, self._wait = options or Options(), wait
        self._whom = whom(
            url,
            token=token,
            tokens=tokens,
            password=known_password(username, password, client_id, client_secret, organization),
            socket=None if socket is None else Path(socket),
            organization=organization,
        )
        self._kept, self._lock = ExitStack(), asyncio.Lock()
        self._http = httpx2.AsyncClient(
            **http_arguments(self._whom, self._options, self._kept, httpx2.AsyncHTTPTransport)
        )
        super().__init__(self)

    async def call(self, operation_id: str, **arguments: Any) -> Reply:
        """Any operation, by its id: the whole answer, with its ETag. `arguments` are `path`, `query`, `body`, `file`,
        `if_match` and `idempotency_key`."""
        request = wanted(operation_id, **arguments)
        if request.operation.open:
            return await self._send(request)
        await self.renew()
        try:
            return await self._send(request)
        except ApiError as error:
            if error.status != 401 or not self._whom.login.refused():
                raise
        await self.renew()
        return await self._send(request)

    async def value(self, operation_id: str, **arguments: Any) -> Any:
        """What an operation answers, by its id."""
        return (await self.call(operation_id, **arguments)).value

    async def items(self, operation_id: str, **arguments: Any) -> AsyncIterator[Any]:
        """The items of all pages of a list."""
        query = dict(arguments.pop("query", {}))
        while True:
            page = await self.value(operation_id, query=query, **arguments)
            for one in page["items"]:
                yield one
            query["cursor"] = page.get("next_cursor")
            if query["cursor"] is None:
                return

    async def renew(self) -> Tokens | None:
        """See to it that the access token holds for a while, and return the tokens."""
        login = self._whom.login
        async with self._lock:
            while (step := login.step(time.time())) is not None:
                try:
                    reply = await self._send(wanted(step.operation_id, body=step.body))
                except ApiError as error:
                    if error.status != 401 or not login.failed():
                        raise
                else:
                    login.took(reply.value, time.time())
            return login.tokens

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        self._kept.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, request: Wanted) -> Reply:
        for left in range(self._options.retries, -1, -1):
            try:
                answer = await self._http.request(
                    request.method,
                    request.path,
                    headers=self._whom.headers_for(request),
                    **sending(request),
                )
            except httpx2.HTTPError as error:
                raise ApiUnreachable(f"{self._whom.url}: {error or type(error).__name__}") from None
            pause_s = wait_s(request, answer.status_code, answer.headers, self._options.max_wait_s)
            if not left or pause_s is None:
                break
            await self._wait(pause_s)
        return reply_of(request, answer.status_code, answer.headers, answer.content)
