"""The upstream of the matrix: one server of one era, whatever carries its messages. It needs no installed package.

A tool is written once. What it wants to know of the client it asks with `turn.ask`: an older client gets requests
pushed in mid-call, a modern one gets `input_required` and calls again. What happened is told to `note`, so that a test
sees what reached the server even if the server is a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.matrix import deeds
from tests.matrix.offers import (
    CAPABILITIES,
    EXTRA,
    INSTRUCTIONS,
    PAGE_SIZE,
    PROMPTS,
    RESOURCES,
    TASKS,
    TEMPLATES,
    WATCHED,
    Json,
    page_of,
    tools_of,
)
from tests.matrix.turns import META, Caller, Fault, InputNeeded, Send, ToolFailed, Turn

MODERN = "2026-07-28"
CACHEABLE = {
    "server/discover",
    "resources/read",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
}
LIST_FILTERS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
Note = Callable[[str, Any], None]


@dataclass(eq=False)
class Listen:
    """An open `subscriptions/listen`."""

    wanted: Json
    request_id: Any
    send: Send


class Program:
    """A server that speaks `era`. What its lists have besides the fixed part are the files of `directory`."""

    def __init__(self, era: str, directory: Path, note: Note) -> None:
        self.era = era
        self.directory = directory
        self.note = note
        self.callers: set[Caller] = set()
        self.listens: set[Listen] = set()
        self._tasks: dict[str, tuple[Turn, Json]] = {}

    def notified(self, caller: Caller, message: Json) -> None:
        """Take a notification."""
        if message["method"] == "notifications/cancelled":
            task = caller.running.get(message["params"]["requestId"])
            if task is not None:
                task.cancel()
        elif message["method"] == "notifications/roots/list_changed":
            self.note("roots changed", None)

    async def answer(self, caller: Caller, message: Json, send: Send) -> Json | None:
        """The reply to a request, or None if it was cancelled. `send` sends messages on the way to the reply."""
        request_id, method, params = message["id"], message["method"], message.get("params", {})
        task = asyncio.current_task()
        assert task is not None
        caller.running[request_id] = task
        try:
            result = await self._result(caller, request_id, method, params, send)
        except Fault as fault:
            error: Json = {"code": fault.code, "message": fault.message}
            error |= {} if fault.data is None else {"data": fault.data}
            return {"jsonrpc": "2.0", "id": request_id, "error": error}
        except asyncio.CancelledError:
            self.note("cancelled", params.get("name", method))
            return None
        finally:
            del caller.running[request_id]
        return {"jsonrpc": "2.0", "id": request_id, "result": result}

    def gone(self, caller: Caller) -> None:
        """A client's session or connection is over."""
        self.callers.discard(caller)
        for task in list(caller.running.values()):
            task.cancel()

    async def _result(self, caller: Caller, request_id: Any, method: str, params: Json, send: Send) -> Json:
        own = self._modern if self.era == "modern" else self._legacy
        result = await own(caller, request_id, method, params, send)
        if self.era == "modern":
            result.setdefault("resultType", "complete")
            result["_meta"] = {**result.get("_meta", {}), f"{META}serverInfo": {"name": "matrix", "version": "1"}}
            if method in CACHEABLE and result["resultType"] == "complete":
                result |= {"ttlMs": 1000, "cacheScope": "public"}
        return result

    async def _legacy(self, caller: Caller, _request_id: Any, method: str, params: Json, send: Send) -> Json:
        if method == "initialize":
            caller.capabilities = params["capabilities"]
            self.callers.add(caller)
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": CAPABILITIES,
                "serverInfo": {"name": "matrix", "version": "1"},
                "instructions": INSTRUCTIONS,
            }
        if method == "logging/setLevel":
            caller.level = params["level"]
            return {}
        if method == "resources/subscribe" and not deeds.exists(params["uri"]):
            raise Fault(-32002, "Resource not found", {"uri": params["uri"]})
        if method in ("resources/subscribe", "resources/unsubscribe"):
            (caller.watched.add if method == "resources/subscribe" else caller.watched.discard)(params["uri"])
            self.note(method.partition("/")[2], params["uri"])
            return {}
        return {} if method == "ping" else await self._both(caller, method, params, send)

    async def _modern(self, caller: Caller, request_id: Any, method: str, params: Json, send: Send) -> Json:
        if (params.get("_meta") or {}).get(f"{META}protocolVersion") != MODERN:
            data = {"supported": [MODERN], "requested": params.get("protocolVersion", "")}
            raise Fault(-32022, "Unsupported protocol version", data)
        if method == "server/discover":
            offered = {**CAPABILITIES, "extensions": {TASKS: {}}}
            return {"supportedVersions": [MODERN], "capabilities": offered, "instructions": INSTRUCTIONS}
        if method.startswith("tasks/"):
            return self._about_task(method, params)
        if method == "subscriptions/listen":
            return await self._listen(request_id, params["notifications"], send)
        return await self._both(caller, method, params, send)

    async def _listen(self, request_id: Any, wanted: Json, send: Send) -> Json:
        subscription = {f"{META}subscriptionId": request_id}
        if "resourceSubscriptions" in wanted:
            wanted = {**wanted, "resourceSubscriptions": list(filter(deeds.exists, wanted["resourceSubscriptions"]))}
        listen = Listen(wanted, request_id, send)
        self.listens.add(listen)
        try:
            for uri in wanted.get("resourceSubscriptions", ()):
                self.note("subscribe", uri)
            params = {"notifications": wanted, "_meta": subscription}
            await send({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params})
            await asyncio.Event().wait()
        finally:
            self.listens.discard(listen)
            for uri in wanted.get("resourceSubscriptions", ()):
                if not any(uri in other.wanted.get("resourceSubscriptions", ()) for other in self.listens):
                    self.note("unsubscribe", uri)
        return {"_meta": subscription}

    async def _both(self, caller: Caller, method: str, params: Json, send: Send) -> Json:
        """What the eras have in common."""
        turn = Turn(self, caller, params, send)
        try:
            if method == "tools/call":
                return await deeds.call_tool(turn)
            if method == "prompts/get":
                return await deeds.get_prompt(turn)
            if method == "resources/read":
                return await deeds.read_resource(turn)
        except ToolFailed as failure:
            raise Fault(-32603, str(failure)) from failure
        except InputNeeded as needed:
            return {
                "resultType": "input_required",
                "inputRequests": needed.questions,
                "requestState": needed.state,
            }
        if method == "completion/complete":
            return deeds.complete(params)
        return self._list(method, params)

    def _list(self, method: str, params: Json) -> Json:
        listed: dict[str, tuple[str, list[Json]]] = {
            "tools/list": ("tools", tools_of(self.era)),
            "prompts/list": ("prompts", PROMPTS),
            "resources/list": ("resources", RESOURCES),
            "resources/templates/list": ("resourceTemplates", TEMPLATES),
        }
        if method not in listed:
            raise Fault(-32601, "Method not found")
        member, entries = listed[method]
        extra = [EXTRA[member]] if member in EXTRA and (self.directory / member).exists() else []
        return page_of(member, [*entries, *extra], params.get("cursor"), PAGE_SIZE)

    # Tasks of its own

    def new_task(self, turn: Turn, **questions: Json) -> Json:
        """The task that a call became; it asks `questions` and is done when they are answered."""
        now = "2026-07-28T00:00:00Z"
        task_id = f"task-{len(self._tasks) + 1}"
        task = {"taskId": task_id, "status": "working", "createdAt": now, "lastUpdatedAt": now, "ttlMs": 60_000}
        self._tasks[task_id] = (turn, {**task, "pollIntervalMs": 100, "inputRequests": questions})
        return {"resultType": "task", **task, "pollIntervalMs": 100}

    def _about_task(self, method: str, params: Json) -> Json:
        turn, task = self._tasks[params["taskId"]]
        if method == "tasks/update":
            task["result"] = deeds.told_roots(turn, params["inputResponses"]["roots"])
            task["status"] = "completed"
            task.pop("inputRequests", None)
        elif method == "tasks/get":
            task["status"] = "completed" if "result" in task else "input_required"
            return dict(task)
        return {}

    # What changes

    def flip(self, flag: str) -> bool:
        """Set a flag that was not set, or take it back; true if it is set now. All processes share them."""
        path = self.directory / flag
        if path.exists():
            path.unlink()
            return False
        path.touch()
        return True

    async def change(self, kind: str) -> None:
        """Add or remove the extra entry of a list, and tell everyone who wants to know."""
        self.flip(kind)
        message: Json = {"jsonrpc": "2.0", "method": f"notifications/{kind}/list_changed"}
        for caller in list(self.callers):
            await caller.push(message)
        for listen in list(self.listens):
            if listen.wanted.get(LIST_FILTERS[kind]):
                await _tell(listen, {**message, "params": _about(listen)})

    async def touch(self) -> None:
        """Change the watched resource."""
        message: Json = {"jsonrpc": "2.0", "method": "notifications/resources/updated"}
        for caller in list(self.callers):
            if WATCHED in caller.watched:
                await caller.push({**message, "params": {"uri": WATCHED}})
        for listen in list(self.listens):
            if WATCHED in listen.wanted.get("resourceSubscriptions", ()):
                await _tell(listen, {**message, "params": {"uri": WATCHED, **_about(listen)}})


async def _tell(listen: Listen, message: Json) -> None:
    """Tell one listener, who may have gone a moment ago: that is no reason not to tell the others."""
    with suppress(OSError):
        await listen.send(message)


def _about(listen: Listen) -> Json:
    return {"_meta": {f"{META}subscriptionId": listen.request_id}}
