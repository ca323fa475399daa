"""MCP servers of 2024-11-05 over HTTP with server-sent events: one stream down, one POST for each message up.

The stream's first event, `endpoint`, names where to post (2024-11-05 basic/transports). That place must have the same
origin as the stream, else a server could make the gateway post its callers' arguments, and the credentials, anywhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from urllib.parse import urljoin

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import UpstreamEvents
from toolyard.gateway.upstream.channel import Channel, ChannelClosed, Ended, Take
from toolyard.gateway.upstream.duplex import DuplexUpstream
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamInvalid, UpstreamTimedOut, UpstreamTooLarge
from toolyard.gateway.upstream.opening import Dialling
from toolyard.gateway.upstream.reading import Reading
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.gateway.upstream.socket_failures import channel_end, opening_failure, sending_failure, status_failure
from toolyard.kit.clock import Clock
from toolyard.net.errors import InvalidUrl, NetError
from toolyard.net.guard import policy_for_operator_url
from toolyard.net.http import HttpClient
from toolyard.net.response import HttpResponse
from toolyard.net.tls import TlsPolicy
from toolyard.net.url import Url, parse_url
from toolyard.protocol.sse import SseEvent, SseParser, SseTooLarge

MAX_POST_ANSWER_BYTES = 64 * 1024
OPEN_S = 10.0
POST_S = 60.0
STREAM_S = 30 * 24 * 3600.0
MAX_BACKOFF_S = 2.0
NOT_FOUND = 404


class McpSseUpstream(DuplexUpstream):
    """One URL of a stream. Raises InvalidUrl, EgressDenied for a specification that cannot be used."""

    def __init__(
        self,
        spec: UpstreamSpec,
        *,
        events: UpstreamEvents,
        clock: Clock,
        era_hint: str | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._url = parse_url(spec.url or "")
        self._client = HttpClient(
            self._url.origin,
            policy=policy_for_operator_url(str(self._url), spec.allow_networks),
            tls=TlsPolicy(verify=spec.tls_verify, ca_file=spec.tls_ca_file),
            max_connections=max(2, spec.max_connections),
        )
        streams = max(1, spec.max_connections // 2)
        dialling = Dialling(self._connect, max_sessions=streams, probe_timeout_s=OPEN_S, only_era="legacy")
        restarts = Restarts(clock, rng, max_backoff_s=MAX_BACKOFF_S, free_deaths=1, gives_up=False)
        super().__init__(spec, dialling, events=events, clock=clock, restarts=restarts, era_hint=era_hint)

    async def _connect(self) -> Channel:
        headers = [(name, secret.reveal()) for name, secret in self.spec.headers]
        channel = _SseChannel(self.spec, self._client, self._url, headers)
        try:
            async with asyncio.timeout(OPEN_S):
                await channel.open()
        except TimeoutError:
            await channel.aclose()
            late = UpstreamTimedOut(f"Upstream {self.spec.id!r} did not open its stream in time.")
            late.may_have_run = False
            raise late from None
        except BaseException:
            await channel.aclose()
            raise
        return channel

    async def aclose(self) -> None:
        """End all sessions and close all connections."""
        try:
            await super().aclose()
        finally:
            await self._client.aclose()


class _SseChannel:
    """A stream and a place to post to, as a channel of messages."""

    sends_whole = False
    takes_at_once = False

    def __init__(self, spec: UpstreamSpec, client: HttpClient, url: Url, headers: list[tuple[str, str]]) -> None:
        self._upstream_id = spec.id
        self._max_event_bytes = spec.limits.event_bytes
        self._client = client
        self._url = url
        self._headers = headers
        self._response: HttpResponse | None = None
        self._events: AsyncIterator[SseEvent] | None = None
        self._target = ""
        self._closed = False
        self._reading = Reading(f"stream of {spec.id}", self._receive)

    async def open(self) -> None:
        """Open the stream and learn where to post. Raises UpstreamError."""
        deadline = asyncio.get_running_loop().time() + STREAM_S
        accept = [("accept", "text/event-stream"), ("cache-control", "no-store"), *self._headers]
        try:
            self._response = await self._client.request("GET", self._url.target, accept, None, deadline=deadline)
        except NetError as error:
            raise opening_failure(self._upstream_id, error) from error
        content_type = self._response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._response.status != 200:
            raise status_failure(self._upstream_id, self._response.status)
        if content_type != "text/event-stream":
            raise UpstreamInvalid(f"Upstream {self._upstream_id!r} did not answer with an event stream.")
        self._events = self._read(self._response)
        try:
            self._target = self._post_target((await self._next("endpoint")).data)
        except ChannelClosed as end:
            raise end.failure(f"Upstream {self._upstream_id!r} ended its stream at once.") from end

    def offer(self, message: bytes) -> bool:
        return False

    async def send(self, message: bytes) -> None:
        """Post one message. Raises ChannelClosed if the server has forgotten the session, and UpstreamError."""
        if self._closed:
            raise ChannelClosed("it was closed")
        deadline = asyncio.get_running_loop().time() + POST_S
        headers = [("content-type", "application/json"), *self._headers]
        try:
            answer = await self._client.request("POST", self._target, headers, message, deadline=deadline)
            await answer.read(MAX_POST_ANSWER_BYTES)
        except NetError as error:
            raise sending_failure(self._upstream_id, error) from error
        if answer.status == NOT_FOUND:
            self._abort()
            raise ChannelClosed("it has forgotten the session")
        if not 200 <= answer.status < 300:
            raise status_failure(self._upstream_id, answer.status)

    def listen(self, take: Take, ended: Ended) -> None:
        self._reading.start(take, ended)

    async def _receive(self) -> bytes:
        return (await self._next("message")).data

    async def aclose(self) -> None:
        self._abort()
        await self._reading.aclose()

    def _abort(self) -> None:
        self._closed = True
        if self._response is not None:
            self._response.abort()

    def diagnosis(self) -> str:
        return ""

    async def _next(self, kind: str) -> SseEvent:
        """The next event of one kind; others are ignored."""
        while self._events is not None:
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                break
            except NetError as error:
                raise channel_end(error) from error
            except SseTooLarge:
                raise ChannelClosed("it sent an event larger than is allowed", UpstreamTooLarge) from None
            if event.event == kind:
                return event
        raise ChannelClosed("it ended its stream")

    async def _read(self, response: HttpResponse) -> AsyncIterator[SseEvent]:
        parser = SseParser(self._max_event_bytes)
        async for chunk in response.chunks():
            for event in parser.feed(chunk):
                yield event

    def _post_target(self, data: bytes) -> str:
        try:
            url = parse_url(urljoin(str(self._url), data.decode("ascii").strip()))
        except (InvalidUrl, ValueError):
            raise self._bad_endpoint() from None
        if url.origin != self._url.origin:
            raise self._bad_endpoint()
        return url.target

    def _bad_endpoint(self) -> UpstreamError:
        error = UpstreamInvalid(f"Upstream {self._upstream_id!r} wants messages posted to a place that is not its own.")
        error.may_have_run = False
        return error
