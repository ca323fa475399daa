"""A task in progress: the upstream's request, and what the task's caller is told of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Principal
from toolyard.gateway.held import HeldCall
from toolyard.gateway.refusals import Failed
from toolyard.gateway.tasks.record import TaskRecord, kept_result
from toolyard.gateway.tasks.store import TaskStore
from toolyard.gateway.translate import error_object
from toolyard.gateway.upstream.errors import UpstreamTimedOut
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.protocol.convert import error_from_upstream, to_client
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.tasks import CANCELLED, COMPLETED, FAILED, INPUT_REQUIRED, TERMINAL, WORKING

log = get_logger(__name__)

LEAST_BETWEEN_MESSAGES_S = 1.0
MAX_MESSAGE_CHARACTERS = 500
MOST_PROGRESS = 1e15
CANCELLED_MESSAGE = "Cancelled by the caller; the upstream was told to stop. What it had done by then is not undone."


class TaskGivenUp(PlatformError):
    """The gateway stopped, or the task's key became invalid, before the task ended. Whether it took effect is not
    known."""

    code = "task_given_up"
    status = 503


class RunningTask:
    """One task while its upstream works. `record` is how it stands now; `changed` is told when it stands otherwise."""

    def __init__(
        self,
        record: TaskRecord,
        held: HeldCall,
        store: TaskStore,
        clock: Clock,
        *,
        keep_s: float,
        changed: Callable[[TaskRecord], None],
    ) -> None:
        self.record = record
        self.is_kept = False
        self._held = held
        self._store = store
        self._clock = clock
        self._keep_s = keep_s
        self._changed = changed
        self._stopping = False
        self._by_caller = False
        self._told_at = 0.0
        held.be_patient()
        held.attach(self._heard)
        self._runner = asyncio.get_running_loop().create_task(self._run())

    async def ended(self) -> None:
        """Wait for the end of the task, which is in the journal before it is told."""
        await asyncio.wait({self._runner})

    async def _run(self) -> None:
        """Carry the task to its end. Whatever goes wrong on the way, it ends and says so."""
        try:
            await self._carry_out()
        except Exception as failure:  # noqa: BLE001  (the supervisor of a task)
            await self._held.cancel()
            await self._end_with(failure)

    async def _carry_out(self) -> None:
        try:
            async with asyncio.timeout(self._keep_s):
                await self._until_news_of_the_end()
        except TimeoutError:
            await self._held.cancel()
            await self._end_with(UpstreamTimedOut(upstream=self.record.upstream_id))
            return
        failure = self._held.failure if self._held.ended else None
        if not self._held.ended:
            await self._stop()
        elif failure is None:
            await self._end(COMPLETED, None, kept_result(to_client(MODERN, "tools/call", self._held.result())))
        else:
            await self._end_with(failure)

    async def _until_news_of_the_end(self) -> None:
        """Until the request has ended, or is to be given up; shows the questions that it has on the way."""
        known: tuple[str, ...] = ()
        while not (await self._held.news(known) or self._stopping):
            known = tuple(self._held.questions)
            self._stands(INPUT_REQUIRED if known else WORKING, self._held.questions)

    def answer(self, responses: Mapping[str, Json]) -> None:
        """Take answers to open questions; all others are ignored (tasks, Task Update Requests)."""
        known = self._held.questions
        self._held.answer({key: response for key, response in responses.items() if key in known})
        if self.record.status == INPUT_REQUIRED:
            left = self._held.questions
            if left.keys() != known.keys():
                self._stands(INPUT_REQUIRED if left else WORKING, left)

    @property
    def principal(self) -> Principal:
        return self._held.call.principal

    def cancel(self) -> None:
        """The caller wants no more of it; a task that has ended stays as it is."""
        self._end_early(by_caller=True)

    def give_up(self) -> None:
        """The gateway wants no more of it."""
        self._end_early(by_caller=False)

    def _end_early(self, *, by_caller: bool) -> None:
        if self._stopping or self._held.ended or self.record.ended:
            return
        self._stopping = True
        self._by_caller = by_caller
        self._held.interrupt()

    async def _stop(self) -> None:
        """Give the request up. A caller who cancels sees it at once; it is written down when the upstream was told."""
        if self._by_caller:
            ended = self._ended(CANCELLED, CANCELLED_MESSAGE, None)
            self._tell(ended)
            await self._held.cancel()
            await self._keep(ended)
        else:
            await self._held.cancel()
            await self._end_with(TaskGivenUp(upstream=self.record.upstream_id))

    async def _end_with(self, failure: BaseException) -> None:
        error = _error_of(failure)
        await self._end(FAILED, error["message"], error)

    async def _end(self, status: str, message: str | None, outcome: Json | None) -> None:
        ended = self._ended(status, message, outcome)
        await self._keep(ended)
        self._tell(ended)

    def _ended(self, status: str, message: str | None, outcome: Json | None) -> TaskRecord:
        return self.record.end(status, self._clock.wall(), keep_s=self._keep_s, message=message, outcome=outcome)

    async def _keep(self, ended: TaskRecord) -> None:
        try:
            await self._store.save(ended)
            self.is_kept = True
        except (OSError, sqlite3.Error) as error:
            log.error("task_result_not_kept", task_upstream=ended.upstream_id, reason=str(error))

    def _stands(self, status: str, questions: Json) -> None:
        if self.record.status in TERMINAL:
            return
        now = self._clock.wall()
        record = replace(self.record, status=status, questions=dict(questions), updated_at=now)
        self._store.note(record)
        self._tell(record)

    def _tell(self, record: TaskRecord) -> None:
        self.record = record
        self._changed(record)

    async def _heard(self, notification: Json) -> None:
        """A task has no progress notifications: what the upstream says of its progress is the status message."""
        params = notification.get("params") or {}
        if notification.get("method") != "notifications/progress" or self.record.ended:
            return
        message = _progress_message(params)
        if message is None or message == self.record.message:
            return
        record = replace(self.record, message=message, updated_at=self._clock.wall())
        if self._clock.monotonic() - self._told_at < LEAST_BETWEEN_MESSAGES_S:
            self.record = record
            return
        self._told_at = self._clock.monotonic()
        self._tell(record)


def _progress_message(params: Json) -> str | None:
    message: Any = params.get("message")
    if isinstance(message, str) and message:
        return message[:MAX_MESSAGE_CHARACTERS]
    progress, total = params.get("progress"), params.get("total")
    if not _is_sensible(progress):
        return None
    return f"{progress:g} of {total:g}" if _is_sensible(total) else f"{progress:g}"


def _is_sensible(number: Any) -> bool:
    """An upstream may send integers of any size, also such as no float can hold."""
    return isinstance(number, int | float) and abs(number) <= MOST_PROGRESS


def _error_of(failure: BaseException) -> Json:
    """What the call would have been answered with, as a JSON-RPC error (tasks, Task Execution Errors)."""
    if isinstance(failure, RelayedError):
        failure = error_from_upstream({"code": failure.rpc_code, "message": failure.message, "data": failure.data})
    if not isinstance(failure, PlatformError):
        log.error("task_failed", exc_info=failure)
        failure = Failed()
    return error_object(failure, MODERN)
