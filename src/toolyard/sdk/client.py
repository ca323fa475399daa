"""The client that waits for answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from toolyard.sdk.api_sync import Api
from toolyard.sdk.errors import ApiError, ApiUnreachable
from toolyard.sdk.login import Password, Tokens
from toolyard.sdk.options import Options
from toolyard.sdk.requests import Reply, Wanted, reply_of, wait_s, wanted
from toolyard.sdk.target import http_arguments, whom


class Client(Api):
    """A client of the management API.

    `Client(url, token=…)`, `Client(url, username=…, password=…)` (logs in when it has to, and renews its tokens),
    `Client(url, client_id=…, client_secret=…)` for a service account, or `Client(socket=…)` as the operator on the
    control plane's own machine. Every method raises ApiError, ApiUnreachable, AnswerUnreadable."""

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
        wait: Callable[[float], None] = time.sleep,
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
        self._kept, self._lock = ExitStack(), threading.RLock()
        self._http = httpx2.Client(**http_arguments(self._whom, self._options, self._kept, httpx2.HTTPTransport))
        super().__init__(self)

    def call(self, operation_id: str, **arguments: Any) -> Reply:
        """Any operation, by its id: the whole answer, with its ETag. `arguments` are `path`, `query`, `body`, `file`,
        `if_match` and `idempotency_key`."""
        request = wanted(operation_id, **arguments)
        if request.operation.open:
            return self._send(request)
        self.renew()
        try:
            return self._send(request)
        except ApiError as error:
            if error.status != 401 or not self._whom.login.refused():
                raise
        self.renew()
        return self._send(request)

    def value(self, operation_id: str, **arguments: Any) -> Any:
        """What an operation answers, by its id."""
        return self.call(operation_id, **arguments).value

    def items(self, operation_id: str, **arguments: Any) -> Iterator[Any]:
        """The items of all pages of a list."""
        query = dict(arguments.pop("query", {}))
        while True:
            page = self.value(operation_id, query=query, **arguments)
            yield from page["items"]
            query["cursor"] = page.get("next_cursor")
            if query["cursor"] is None:
                return

    def renew(self) -> Tokens | None:
        """See to it that the access token holds for a while, and return the tokens."""
        login = self._whom.login
        with self._lock:
            while (step := login.step(time.time())) is not None:
                try:
                    reply = self._send(wanted(step.operation_id, body=step.body))
                except ApiError as error:
                    if error.status != 401 or not login.failed():
                        raise
                else:
                    login.took(reply.value, time.time())
            return login.tokens

    def close(self) -> None:
        """Close all connections."""
        self._http.close()
        self._kept.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, request: Wanted) -> Reply:
        for left in range(self._options.retries, -1, -1):
            try:
                answer = self._http.request(
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
            self._wait(pause_s)
        return reply_of(request, answer.status_code, answer.headers, answer.content)


def known_password(
    username: str | None,
    password: str | None,
    client_id: str | None,
    client_secret: str | None,
    organization: str | None,
) -> Password | None:
    """Who can log in, if somebody. Raises ValueError for half of a name and password."""
    if (username is None) != (password is None) or (client_id is None) != (client_secret is None):
        raise ValueError("a name needs its password, and a client id its secret")
    if username is not None and password is not None:
        return Password(username, password, organization)
    if client_id is not None and client_secret is not None:
        return Password(client_id, client_secret, service=True)
    return None


def sending(request: Wanted) -> dict[str, Any]:
    """A request's content in the words of the HTTP client."""
    said: dict[str, Any] = {"params": request.query}
    if request.upload is not None:
        one = request.upload
        return {**said, "files": {"file": (one.name, one.content, one.media_type)}, "data": dict(request.form)}
    return said if request.content is None else {**said, "content": request.content}
