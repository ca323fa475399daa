"""What all clients of the matrix have in common, and what they write down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.gateway.rig import LIMIT_S, rpc
from tests.matrix.offers import Json
from toolyard.protocol.revisions import MODERN

FILTERS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
Answers = Mapping[str, Json]


@dataclass
class Seen:
    """What one request came to: the reply, what came before it, what the client was asked and how; `keys` are those of
    each round of `input_required`."""

    reply: Json = field(default_factory=dict)
    notifications: list[Json] = field(default_factory=list)
    asked: list[Json] = field(default_factory=list)
    keys: list[list[str]] = field(default_factory=list)
    how: str = ""

    @property
    def result(self) -> Json:
        assert "result" in self.reply, self.reply
        result: Json = self.reply["result"]
        return result

    @property
    def code(self) -> int:
        assert "error" in self.reply, self.reply
        return int(self.reply["error"]["code"])

    @property
    def text(self) -> str:
        return str(self.result["content"][0]["text"])

    def of(self, method: str) -> list[Json]:
        """The parameters of the notifications of one method."""
        return [n.get("params", {}) for n in self.notifications if n["method"] == method]


class Inbox:
    """Notifications that belong to no request. `watched`: the resources that a modern server said it watches."""

    def __init__(self) -> None:
        self.watched: list[str] = []
        self._messages: list[Json] = []
        self._news = asyncio.Event()

    def put(self, message: Json) -> None:
        self._messages.append(message)
        self._news.set()

    async def wait(self, method: str) -> Json:
        """The next notification of a method; what came before it is dropped."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                while self._messages:
                    message = self._messages.pop(0)
                    if message["method"] == method:
                        return dict(message.get("params") or {})
                self._news.clear()
                await self._news.wait()


class Client(Protocol):
    """A client with a revision and capabilities. `hello` is what the server said of itself."""

    revision: str
    transport: str
    capabilities: Json
    hello: Json

    async def do(
        self, method: str, params: Json | None = None, *, meta: Json | None = None, answers: Answers | None = None
    ) -> Seen:
        """One request; what the client is asked on the way is answered by method."""

    async def begin(self, method: str, params: Json) -> Callable[[], Any]:
        """A request that nobody waits for; await what calling the answer returns to cancel it."""

    def watching(self, *lists: str, uris: tuple[str, ...] = ()) -> AbstractAsyncContextManager[Inbox]:
        """Hear of changes in the meantime."""

    async def notify(self, method: str, params: Json | None = None) -> None: ...
    async def aclose(self) -> None: ...


class ModernClient:
    """What modern clients have in common: a request is repeated with answers until its result is complete."""

    revision = MODERN

    def __init__(self, transport: str, capabilities: Json) -> None:
        self.transport = transport
        self.capabilities = capabilities
        self.hello: Json = {}

    async def do(
        self, method: str, params: Json | None = None, *, meta: Json | None = None, answers: Answers | None = None
    ) -> Seen:
        seen, sent = Seen(), dict(params or {})
        for _ in range(5):
            seen.reply = await self._round(method, sent, meta or {}, seen.notifications)
            result = seen.reply.get("result", {})
            if result.get("resultType") != "input_required":
                return seen
            seen.how = "input_required"
            questions: Json = result["inputRequests"]
            seen.keys.append(list(questions))
            seen.asked += questions.values()
            sent = {
                **(params or {}),
                "inputResponses": {k: (answers or {})[q["method"]] for k, q in questions.items()},
                **({"requestState": result["requestState"]} if "requestState" in result else {}),
            }
        raise AssertionError("asked more than five times")

    async def _round(self, method: str, params: Json, meta: Json, notifications: list[Json]) -> Json:
        raise NotImplementedError


@asynccontextmanager
async def subscribed(client: Client, uris: tuple[str, ...]) -> AsyncIterator[None]:
    for uri in uris:
        assert (await client.do("resources/subscribe", {"uri": uri})).result == {}
    yield
    for uri in uris:
        assert (await client.do("resources/unsubscribe", {"uri": uri})).result == {}


def take(seen: Seen, message: Json, answers: Answers) -> Json | None:
    """Note one message that came on the way to a reply; what a pushed question is to be answered with."""
    if "method" not in message:
        seen.reply = message
    elif "id" not in message:
        seen.notifications.append(message)
    elif message["method"] == "ping":
        return {"jsonrpc": "2.0", "id": message["id"], "result": {}}
    else:
        seen.how = "pushed"
        seen.asked.append({k: v for k, v in message.items() if k in ("method", "params")})
        answer = answers[message["method"]]
        kind = "error" if "code" in answer else "result"
        return {"jsonrpc": "2.0", "id": message["id"], kind: answer}
    return None


def wanted_of(lists: tuple[str, ...], uris: tuple[str, ...]) -> Json:
    wanted: Json = {FILTERS[kind]: True for kind in lists}
    return {"notifications": {**wanted, **({"resourceSubscriptions": list(uris)} if uris else {})}}


def with_meta(params: Json | None, meta: Json | None) -> Json | None:
    return {**(params or {}), "_meta": meta} if meta else params


def initialize(revision: str, capabilities: Json) -> Json:
    info = {"name": "matrix", "version": "1"}
    params = {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": info}
    return rpc("initialize", params, 0)
