"""One call at work in the matrix's upstream, and how it asks its client in either era."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.matrix.offers import Json

META = "io.modelcontextprotocol/"
_NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}

Send = Callable[[Json], Awaitable[None]]


class Fault(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code, self.message, self.data = code, message, data
        super().__init__(message)


class ToolFailed(Exception):
    """A tool says that it failed."""


class InputNeeded(Exception):
    """A modern client has to answer `questions` first."""

    def __init__(self, questions: Json, state: str) -> None:
        self.questions, self.state = questions, state
        super().__init__("input required")


@dataclass(eq=False)
class Caller:
    """One client: a session, a connection, or one request of a modern HTTP client. `push` sends outside any call."""

    push: Send
    capabilities: Json = field(default_factory=dict)
    level: str = "debug"
    watched: set[str] = field(default_factory=set)
    running: dict[Any, asyncio.Task[Any]] = field(default_factory=dict)
    asks: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    asked: int = 0

    def take_reply(self, reply: Json) -> None:
        """The client's answer to a question."""
        future = self.asks.pop(reply["id"], None)
        if future is None or future.done():
            return
        if "error" in reply:
            future.set_exception(ToolFailed(f"refused with {reply['error']['code']}"))
        else:
            future.set_result(reply["result"])


class Host(Protocol):
    """The server that a call runs in."""

    era: str

    def note(self, what: str, about: Any) -> None: ...
    def flip(self, flag: str) -> bool: ...
    def new_task(self, turn: Turn, **questions: Json) -> Json: ...
    async def change(self, kind: str) -> None: ...
    async def touch(self) -> None: ...


def _missing(question: Json, capabilities: Json) -> Json:
    """What a client with `capabilities` would have to declare besides, to be asked `question`."""
    need, params = _NEEDS[question["method"]], question.get("params", {})
    member = "url" if params.get("mode") == "url" else "tools" if "tools" in params else None
    declared = capabilities.get(need)
    if declared is None or (member is not None and member not in declared):
        return {need: {} if member is None else {member: {}}}
    return {}


class Turn:
    """One `tools/call`, `prompts/get` or `resources/read` at work."""

    def __init__(self, host: Host, caller: Caller, params: Json, send: Send) -> None:
        self.host = host
        self.caller = caller
        self.params = params
        self.arguments: Json = params.get("arguments") or {}
        self.meta: Json = params.get("_meta") or {}
        self.send = send
        self._rounds: list[Json] = json.loads(params.get("requestState") or "[]")
        self._round = 0
        self._responses: Json | None = params.get("inputResponses")

    @property
    def capabilities(self) -> Json:
        """What the client declared: with this request, or in its handshake."""
        declared: Json = self.meta.get(f"{META}clientCapabilities", {})
        return declared if self.host.era == "modern" else self.caller.capabilities

    def effect(self) -> None:
        """Do what the call is for; it must happen once."""
        self.host.note("executed", self.params.get("name") or self.params.get("uri"))

    async def tell(self, method: str, params: Json) -> None:
        await self.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, *, rudely: bool = False, **questions: Json) -> Json:
        """The client's answers by key. Without the capability it is not asked, unless `rudely`."""
        for question in questions.values():
            missing = _missing(question, self.capabilities)
            if missing and not rudely:
                if self.host.era == "modern":
                    raise Fault(-32021, "Missing capability", {"requiredCapabilities": missing})
                raise ToolFailed(f"the client has no {next(iter(missing))}")
        if self.host.era == "modern":
            return self._answers(questions)
        return await self._pushed(questions)

    def _answers(self, questions: Json) -> Json:
        self._round += 1
        if self._round <= len(self._rounds):
            return self._rounds[self._round - 1]
        responses, self._responses = self._responses or {}, None
        if not questions.keys() <= responses.keys():
            raise InputNeeded(questions, json.dumps(self._rounds))
        self._rounds.append({key: responses[key] for key in questions})
        return self._rounds[-1]

    async def _pushed(self, questions: Json) -> Json:
        waiting: dict[str, asyncio.Future[Json]] = {}
        for key, question in questions.items():
            self.caller.asked += 1
            ask_id = f"question-{self.caller.asked}"
            waiting[key] = self.caller.asks[ask_id] = asyncio.get_running_loop().create_future()
            params = dict(question.get("params", {}))
            if params.get("mode") == "url":
                params["elicitationId"] = ask_id
            await self.send({"jsonrpc": "2.0", "id": ask_id, "method": question["method"], "params": params})
        answers = dict(zip(waiting, await asyncio.gather(*waiting.values()), strict=True))
        for question in questions.values():
            if question.get("params", {}).get("mode") == "url":
                await self.tell(
                    "notifications/elicitation/complete", {"elicitationId": f"question-{self.caller.asked}"}
                )
        return answers
