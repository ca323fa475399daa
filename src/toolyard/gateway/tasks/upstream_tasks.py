"""Tasks that an upstream makes of calls: relayed to callers that know tasks, waited for on behalf of all others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import AskRefused, Call, Upstream
from toolyard.gateway.tasks.ids import MAX_UPSTREAM_ID_BYTES, RelayedIds
from toolyard.gateway.tasks.record import pause_s
from toolyard.gateway.upstream.asking import MAX_QUESTIONS, may_ask
from toolyard.gateway.upstream.errors import UpstreamError, UpstreamInvalid, UpstreamTimedOut
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.tasks import (
    CANCELLED,
    COMPLETED,
    FAILED,
    INPUT_REQUIRED,
    TASK,
    is_task,
    with_tasks,
    without_tasks,
)

log = get_logger(__name__)

INTERNAL_ERROR = -32603
LEAST_POLL_S = 0.1
MISSED_POLLS = 3
TELL_S = 5.0


class UpstreamTasks:
    """What the gateway does with tasks of upstreams. `upstream(call, id)` finds the live upstream, if the call's server
    offers it."""

    def __init__(self, ids: RelayedIds, upstream: Callable[[Call, str], Upstream]) -> None:
        self._ids = ids
        self._upstream = upstream
        self._telling = TaskOwner("upstream tasks")

    async def aclose(self) -> None:
        """Let upstreams hear of what was given up."""
        await self._telling.settled(1.0)
        await self._telling.aclose()

    def shown(self, call: Call, upstream_id: str, result: Json) -> Json:
        """An upstream's task as the answer of `call`, under a name of the caller's own. Raises UpstreamInvalid."""
        if not is_task(result) or len(result["taskId"].encode()) > MAX_UPSTREAM_ID_BYTES:
            raise UpstreamInvalid(f"Upstream {upstream_id!r} answered with a task in a form that is not valid.")
        name = self._ids.wrap(upstream_id, result["taskId"], call.principal.id, call.server)
        return {**result, "taskId": name}

    async def relay(self, call: Call, upstream_id: str, task_id: str, extra: Json) -> Json:
        """A `tasks/…` request of the caller about an upstream's task; `extra` are its further parameters. Raises
        RelayedError, UpstreamError."""
        result = await self._upstream(call, upstream_id).request(call, call.method, {"taskId": task_id, **extra})
        if call.method != "tasks/get":
            return {}
        if not is_task(result) or result["taskId"] != task_id:
            raise UpstreamInvalid(f"Upstream {upstream_id!r} answered about a task in a form that is not valid.")
        return {**result, "taskId": call.params["taskId"]}

    async def wait(self, call: Call, upstream: Upstream, params: Json) -> Json:
        """Do a `tools/call` for a caller that sees no task: should the upstream make one, it is waited for, its words
        become progress, its questions the caller's. A call that ends early has the task cancelled."""
        asker = replace(call, client_capabilities=with_tasks(call.client_capabilities))
        result = await upstream.request(asker, call.method, params)
        if result.get("resultType") != TASK:
            return result
        if not is_task(result):
            raise UpstreamInvalid(f"Upstream {upstream.spec.id!r} answered with a task in a form that is not valid.")
        asker = replace(asker, input_responses=None, upstream_state=None)
        try:
            return await _Waiting(asker, upstream, result).outcome()
        except RelayedError:
            raise
        except BaseException as end:
            self._telling.start(_cancel(asker, upstream, result["taskId"]))
            if isinstance(end, AskRefused):
                raise RelayedError(INTERNAL_ERROR, end.message) from end
            raise


class _Waiting:
    """One task of an upstream that a call waits for."""

    def __init__(self, call: Call, upstream: Upstream, task: Json) -> None:
        self._call = call
        self._upstream = upstream
        self._task = task
        self._asked: set[str] = set()
        self._told = 0
        self._last_told: str | None = None
        self._missed = 0

    async def outcome(self) -> Json:
        """The tool's result. Raises RelayedError for a task that failed or was cancelled, UpstreamTimedOut."""
        while True:
            status = self._task["status"]
            if status == COMPLETED:
                return self._result()
            if status == FAILED:
                raise _error_of(self._task)
            if status == CANCELLED:
                raise RelayedError(INTERNAL_ERROR, self._message() or "The upstream cancelled the task.")
            await self._tell()
            if not (status == INPUT_REQUIRED and await self._answered()):
                await self._pause()
            await self._look()

    async def _look(self) -> None:
        try:
            found = await self._upstream.request(self._call, "tasks/get", {"taskId": self._task["taskId"]})
        except UpstreamError as error:
            self._missed += 1
            if isinstance(error, UpstreamTimedOut) or self._missed >= MISSED_POLLS:
                raise
            return
        self._missed = 0
        if not is_task(found) or found["taskId"] != self._task["taskId"]:
            raise self._invalid()
        self._task = found

    async def _pause(self) -> None:
        left_s = self._call.deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise UpstreamTimedOut(upstream=self._upstream.spec.id)
        await asyncio.sleep(min(pause_s(self._task, least_s=LEAST_POLL_S), left_s))

    async def _answered(self) -> bool:
        """Ask the caller what was not asked before, and hand the answers on; False if there was nothing new."""
        questions = self._task.get("inputRequests")
        if not isinstance(questions, dict) or len(questions) > MAX_QUESTIONS:
            raise self._invalid()
        new = {key: question for key, question in questions.items() if key not in self._asked}
        if not new:
            return False
        for question in new.values():
            method = question.get("method") if isinstance(question, dict) else None
            if not isinstance(method, str) or not may_ask(
                self._call.client_capabilities, method, question.get("params")
            ):
                raise UpstreamInvalid("The upstream asked for input that the caller did not offer to give.")
        self._asked |= new.keys()
        answers = await self._call.ask(new, held=True)
        answered = {"taskId": self._task["taskId"], "inputResponses": answers}
        await self._upstream.request(self._call, "tasks/update", answered)
        return True

    async def _tell(self) -> None:
        """The upstream's words as progress, for a caller that wants it."""
        message = self._message()
        if message is None or not self._call.wants_progress or message == self._last_told:
            return
        self._last_told = message
        self._told += 1
        params = {"progress": self._told, "message": message}
        await self._call.emit({"method": "notifications/progress", "params": params})

    def _message(self) -> str | None:
        message = self._task.get("statusMessage")
        return message if isinstance(message, str) and message else None

    def _result(self) -> Json:
        result = self._task.get("result")
        if not isinstance(result, dict):
            raise self._invalid()
        return result

    def _invalid(self) -> UpstreamInvalid:
        return UpstreamInvalid(f"Upstream {self._upstream.spec.id!r} described its task in a form that is not valid.")


async def _cancel(call: Call, upstream: Upstream, task_id: str) -> None:
    last = replace(call, deadline=asyncio.get_running_loop().time() + TELL_S)
    try:
        await upstream.request(last, "tasks/cancel", {"taskId": task_id})
    except PlatformError as error:
        log.info("upstream_task_not_cancelled", upstream=upstream.spec.id, code=error.code)


def _error_of(task: Json) -> RelayedError:
    error: Any = task.get("error")
    if isinstance(error, dict) and type(error.get("code")) is int:
        return RelayedError(error["code"], str(error.get("message", "")), error.get("data"))
    return RelayedError(INTERNAL_ERROR, str(task.get("statusMessage") or "The upstream's task failed."))


DoWork = Callable[[Call], Awaitable[Json]]


def taskless(work: DoWork) -> DoWork:
    """`work` for a call whose upstream must not make a task of it."""

    def do(call: Call) -> Awaitable[Json]:
        return work(replace(call, client_capabilities=without_tasks(call.client_capabilities)))

    return do
