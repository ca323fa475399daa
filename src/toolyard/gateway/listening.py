"""`subscriptions/listen` of a modern client (2026-07-28, basic/patterns/subscriptions): one long stream of changes."""

from __future__ import annotations

import asyncio
from typing import Any

from toolyard.contract.catalog import ServerCatalog
from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call
from toolyard.gateway.catalog import ListKind
from toolyard.gateway.dispatch import Dispatch
from toolyard.gateway.errors import ScopeMissing, TooManyCalls
from toolyard.gateway.events import Hub
from toolyard.gateway.tasks.following import Following
from toolyard.kit.ids import short_id
from toolyard.policy.authorize import SCOPES
from toolyard.protocol.errors import InvalidParams, RequestId
from toolyard.protocol.revisions import META_SUBSCRIPTION_ID
from toolyard.protocol.tasks import declares_tasks, tasks_not_declared

MAX_WATCHED = 1000
_FLAGS: dict[ListKind, str] = {
    "tools": "toolsListChanged",
    "prompts": "promptsListChanged",
    "resources": "resourcesListChanged",
}


class Listening:
    """One client's listen stream. Repeated changes merge while the client reads slowly."""

    def __init__(self, call: Call, kinds: frozenset[ListKind], uris: frozenset[str]) -> None:
        self.server = call.server
        self.principal = call.principal
        self.principal_id = call.principal.id
        self.kinds = kinds
        self.uris = uris
        self._lists: set[ListKind] = set()
        self._resources: dict[str, Json] = {}
        self._tasks: dict[str, Json] = {}
        self._news = asyncio.Event()
        self.ended = False

    def lists_changed(self, kinds: frozenset[ListKind]) -> None:
        self._lists |= kinds & self.kinds
        self._news.set()

    def watches(self, uri: str) -> bool:
        return uri in self.uris

    def resource_updated(self, params: Json) -> None:
        self._resources[params["uri"]] = params
        self._news.set()

    def task_changed(self, task: Json) -> None:
        """Tell how a task stands now."""
        self._tasks[task["taskId"]] = task
        self._news.set()

    def end(self) -> None:
        """Finish the stream with a result: the gateway goes."""
        self.ended = True
        self._news.set()

    async def news(self) -> list[Json]:
        """Wait for changes; the notifications that tell them. Empty at the end."""
        while not (self._lists or self._resources or self._tasks or self.ended):
            self._news.clear()
            await self._news.wait()
        told: list[Json] = [
            {"method": f"notifications/{kind}/list_changed", "params": {}} for kind in sorted(self._lists)
        ]
        told += [{"method": "notifications/resources/updated", "params": p} for p in self._resources.values()]
        told += [{"method": "notifications/tasks", "params": task} for task in self._tasks.values()]
        self._lists.clear()
        self._resources.clear()
        self._tasks.clear()
        return told


async def listen(call: Call, request_id: RequestId, hub: Hub, dispatch: Dispatch) -> Json:
    """Serve one listen stream until the client goes or the gateway ends it; the final result."""
    task_ids = _strings(call.params.get("notifications"), "taskIds")
    if task_ids and not declares_tasks(call.client_capabilities):
        raise tasks_not_declared()
    if task_ids and call.allowed is not None and not call.allowed.permits("tasks/get"):
        raise ScopeMissing(scope=SCOPES["tasks/get"])
    listening = _accept(call, dispatch.server(call.server))
    call.watcher = f"listen {short_id()}"
    subscription = {META_SUBSCRIPTION_ID: request_id}
    if not await hub.admit_stream(listening):
        raise TooManyCalls
    wanted = sorted(listening.uris)
    following = Following()
    try:
        got = await asyncio.gather(*(dispatch.try_watch(call, uri) for uri in wanted))
        watched = [uri for uri, watching in zip(wanted, got, strict=True) if watching]
        honoured: Json = {_FLAGS[k]: True for k in sorted(listening.kinds)}
        if watched:
            honoured["resourceSubscriptions"] = watched
        if task_ids:
            following = await dispatch.follow_tasks(call, task_ids, listening.task_changed)
            honoured["taskIds"] = following.ids
        await _tell(call, "notifications/subscriptions/acknowledged", {"notifications": honoured}, subscription)
        while not listening.ended:
            for notification in await listening.news():
                await _tell(call, notification["method"], notification["params"], subscription)
    finally:
        hub.remove(listening)
        following.close()
        await dispatch.forget(call, wanted)
    return {"_meta": subscription}


async def _tell(call: Call, method: str, params: Json, subscription: Json) -> None:
    meta = {**(params.get("_meta") or {}), **subscription}
    await call.emit({"method": method, "params": {**params, "_meta": meta}})


def _accept(call: Call, server: ServerCatalog) -> Listening:
    wanted = call.params.get("notifications")
    if not isinstance(wanted, dict):
        raise InvalidParams('"notifications" must be an object')
    uris = _strings(wanted, "resourceSubscriptions")
    kinds = frozenset(k for k, flag in _FLAGS.items() if wanted.get(flag) is True and k in server.capabilities)
    can_watch = bool((server.capabilities.get("resources") or {}).get("subscribe"))
    return Listening(call, kinds, frozenset(uris) if can_watch else frozenset())


def _strings(wanted: Any, name: str) -> list[str]:
    """A list of what is to be watched. Raises InvalidParams."""
    found = wanted.get(name) or [] if isinstance(wanted, dict) else []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found) or len(found) > MAX_WATCHED:
        raise InvalidParams(f'"{name}" must be a list of at most {MAX_WATCHED} strings')
    return list(dict.fromkeys(found))
