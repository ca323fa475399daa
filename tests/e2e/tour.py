"""The tour: what every real client does behind one URL, the same for each of them. Plain Python, no dependencies.

A driver gives a `Guide` that speaks through its own client library; the tour asks it for plain JSON values and collects
facts. A step that fails leaves `{"failed": …}` as its fact, so that one defect does not hide the others.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]
STEP_TIMEOUT_S = 60.0
LONG = {"duration": 0.6, "steps": 3}
HEAR_TIMEOUT_S = 20.0
WATCHED = "test://watched-resource"


class Guide(Protocol):
    """One connected client. Results are the protocol's objects as JSON; a JSON-RPC error raises `Refused`.

    `watching` lets the client hear of changes: the queue receives `tools`, `prompts`, `resources`, or a resource's URI.
    """

    async def about(self) -> Json: ...
    async def tools(self) -> list[str]: ...
    async def call(self, name: str, arguments: Json, progress: list[float] | None = None) -> Json: ...
    async def resources(self) -> list[str]: ...
    async def templates(self) -> list[str]: ...
    async def read(self, uri: str) -> Json: ...
    async def prompts(self) -> list[str]: ...
    async def prompt(self, name: str, arguments: dict[str, str]) -> Json: ...
    async def complete(self, prompt: str, argument: str, value: str) -> Json: ...
    async def ping(self) -> bool: ...
    def watching(self, uri: str) -> AbstractAsyncContextManager[asyncio.Queue[str]]: ...


class Refused(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code = code
        self.data = data
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the driver was told: where to connect, as what, and what stands behind it.

    `prefixes`: for each server behind the URL the prefix of its names. `interactive`: whether to let servers ask.
    `walk`: the tour, or the server that is to be crossed to; `watching`: whether that one tells of changes; `ledger`:
    where the effects behind it are noted. `log_level`: from which level on the client wants to have logs.
    """

    transport: str
    mode: str
    label: str
    workspace: str
    prefixes: Mapping[str, str]
    interactive: bool
    url: str = ""
    key: str = ""
    command: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    walk: str = "tour"
    watching: bool = True
    ledger: str = ""
    log_level: str = ""

    @staticmethod
    def given() -> Plan:
        """The plan on the command line."""
        return Plan(**json.loads(sys.argv[1]))

    @property
    def headers(self) -> dict[str, str]:
        """The headers that show the key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def root(self) -> Json:
        """The folder that the client offers as its root."""
        return {"uri": f"file://{self.workspace}", "name": "tour"}


FORM_ANSWERS: Json = {"name": "Ada", "check": True, "integer": 7, "count": 3, "sure": True}
SAMPLE_ANSWER: Json = {
    "role": "assistant",
    "content": {"type": "text", "text": "Sampled for the tour"},
    "model": "tour-model",
    "stopReason": "endTurn",
}


def form_answer(params: Json) -> Json:
    """What the client's user answers: what they know of what a form asks; a page they just open."""
    if params.get("mode") == "url":
        return {"action": "accept"}
    asked = params["requestedSchema"]["properties"]
    return {"action": "accept", "content": {name: FORM_ANSWERS[name] for name in asked if name in FORM_ANSWERS}}


def texts(result: Json) -> Json:
    """What matters of a tool's result."""
    content = result.get("content", [])
    return {
        "text": "\n".join(block.get("text", "") for block in content if block.get("type") == "text"),
        "types": [block.get("type") for block in content],
        "isError": bool(result.get("isError")),
        "structured": result.get("structuredContent"),
        "links": [block["uri"] for block in content if block.get("type") == "resource_link"],
    }


class Walk:
    """Collects a fact for each of its steps."""

    def __init__(self) -> None:
        self.facts: Json = {}

    async def _note(self, fact: str, step: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                self.facts[fact] = await step
        except Refused as refusal:
            data = {} if refusal.data is None else {"data": refusal.data}
            self.facts[fact] = {"failed": str(refusal), "code": refusal.code, **data}
        except Exception as problem:  # noqa: BLE001  (every step is judged later, from its fact)
            self.facts[fact] = {"failed": f"{type(problem).__name__}: {problem}"}


class Tour(Walk):
    """Walks through everything and sees whether it works."""

    def __init__(self, guide: Guide, plan: Plan) -> None:
        super().__init__()
        self._guide = guide
        self._plan = plan

    async def walk(self) -> Json:
        """All steps that the servers behind the URL allow."""
        await self._note("about", self._guide.about())
        await self._note("tools", self._guide.tools())
        steps: dict[str, Callable[[str], Awaitable[None]]] = {
            "clock": self._clock,
            "git": self._git,
            "files": self._files,
            "memory": self._memory,
            "everything": self._everything,
            "fixture": self._fixture,
            "socket": self._socket,
        }
        for server, prefix in self._plan.prefixes.items():
            await steps[server](prefix)
        await self._note("unknown_tool", self._call("no_such_tool_anywhere", {}))
        await self._note("ping", self._guide.ping())
        return self.facts

    async def _call(self, name: str, arguments: Json) -> Json:
        return texts(await self._guide.call(name, arguments))

    async def _clock(self, prefix: str) -> None:
        when = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
        await self._note("clock", self._call(f"{prefix}convert_time", when))

    async def _git(self, prefix: str) -> None:
        where = {"repo_path": f"{self._plan.workspace}/repository", "max_count": 1}
        await self._note("git", self._call(f"{prefix}git_log", where))

    async def _files(self, prefix: str) -> None:
        path = f"{self._plan.workspace}/note.txt"
        await self._note("files", self._call(f"{prefix}read_text_file", {"path": path}))
        await self._note("files_refused", self._call(f"{prefix}read_text_file", {"path": "/etc/passwd"}))

    async def _memory(self, prefix: str) -> None:
        entity = {"name": self._plan.label, "entityType": "client", "observations": ["took the tour"]}
        await self._note("memory_create", self._call(f"{prefix}create_entities", {"entities": [entity]}))
        await self._note("memory", self._call(f"{prefix}search_nodes", {"query": self._plan.label}))

    async def _everything(self, prefix: str) -> None:
        await self._note("everything", self._call(f"{prefix}echo", {"message": "hello tour"}))
        await self._note("structured", self._call(f"{prefix}get-structured-content", {"location": "New York"}))
        await self._note("image", self._call(f"{prefix}get-tiny-image", {}))
        await self._note("links", self._call(f"{prefix}get-resource-links", {"count": 2}))
        await self._note("bad_arguments", self._call(f"{prefix}get-sum", {"a": "no number"}))
        await self._note("progress", self._progress(prefix))
        await self._note("resources", self._guide.resources())
        await self._note("templates", self._guide.templates())
        await self._note("read", self._guide.read("demo://resource/dynamic/text/7"))
        await self._note("read_unknown", self._guide.read("demo://resource/nowhere"))
        await self._note("prompts", self._guide.prompts())
        await self._note("prompt", self._guide.prompt(f"{prefix}args-prompt", {"city": "Oslo"}))
        await self._note("completion", self._guide.complete(f"{prefix}completable-prompt", "department", "E"))
        if self._plan.interactive:
            await self._interactive(prefix)

    async def _interactive(self, prefix: str) -> None:
        await self._note("elicitation", self._call(f"{prefix}trigger-elicitation-request", {}))
        await self._note("sampling", self._call(f"{prefix}trigger-sampling-request", {"prompt": "tour?"}))
        await self._note("roots", self._call(f"{prefix}get-roots-list", {}))

    async def _socket(self, prefix: str) -> None:
        await self._note("socket", self._call(f"{prefix}echo", {"message": "over a socket"}))
        if self._plan.interactive:
            await self._note("socket_asks", self._call(f"{prefix}greet", {}))

    async def _fixture(self, prefix: str) -> None:
        await self._note("fixture", self._call(f"{prefix}test_simple_text", {}))
        await self._note("changes", self._changes(prefix))
        if self._plan.interactive:
            await self._note("fixture_asks", self._call(f"{prefix}test_elicitation", {"message": "Well?"}))

    async def _changes(self, prefix: str) -> Json:
        """Have lists and a resource changed while the client watches: what it heard, and what it then saw."""
        before = await self._guide.tools()
        heard: set[str] = set()
        async with self._guide.watching(WATCHED) as news:
            for trigger in ("test_touch_watched_resource", "test_trigger_prompt_change", "test_trigger_tool_change"):
                await self._guide.call(f"{prefix}{trigger}", {})
            async with asyncio.timeout(HEAR_TIMEOUT_S):
                while not {"tools", "prompts", WATCHED} <= heard:
                    heard.add(await news.get())
            after = await self._guide.tools()
        return {"heard": sorted(heard), "seen": sorted(set(before) ^ set(after))}

    async def _progress(self, prefix: str) -> Json:
        seen: list[float] = []
        result = await self._guide.call(f"{prefix}trigger-long-running-operation", dict(LONG), seen)
        return {**texts(result), "seen": seen}


async def take(guide: Guide, plan: Plan) -> None:
    """Walk the tour and print the facts as the last line of standard output."""
    facts = await Tour(guide, plan).walk()
    print(json.dumps(facts), flush=True)
