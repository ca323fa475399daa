"""The tasks of a gateway: calls that go on after their exchange, and what their callers may do with them.

ext-tasks, specification/draft/tasks. A call becomes a task because its tool is marked so, or because it takes long, and
only for a caller that declared the extension. The task is in the journal before the caller hears of it; its request
runs in this process, and its end is in the journal before it is told. A task whose process ended says that its outcome
is not known; nothing is ever done twice. To everybody but its caller, on its server, a task does not exist.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Call, Principal
from toolyard.gateway.errors import CallLost, TaskOwnedElsewhere, TaskUnknown, TooManyTasks
from toolyard.gateway.held import HeldCall, Work
from toolyard.gateway.tasks.following import Followers, Following, Look, Tell, keep_looking
from toolyard.gateway.tasks.ids import RelayedIds, own_id
from toolyard.gateway.tasks.record import TaskRecord
from toolyard.gateway.tasks.running import RunningTask
from toolyard.gateway.tasks.store import TaskStore
from toolyard.gateway.tasks.upstream_tasks import UpstreamTasks
from toolyard.gateway.translate import error_object
from toolyard.kit.clock import Clock
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.tasks import TaskOwner
from toolyard.protocol.errors import InvalidParams
from toolyard.protocol.revisions import MODERN
from toolyard.protocol.tasks import FAILED, declares_tasks, tasks_not_declared

log = get_logger(__name__)

FORGET_EVERY_S = 60.0
LOOK_S = 30.0
CLOSING_S = 5.0
LOST_MESSAGE = (
    "The gateway process that worked on this task ended. Whether the call took effect is not known; call again only if "
    "that is safe."
)


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """How many tasks may run at once in this process, how many there may be in all and of one principal, running or
    kept, and for how many seconds one may run and is then kept."""

    running: int = 256
    total: int = 10_000
    per_principal: int = 1000
    ttl_s: float = 3600.0


class Tasks:
    """All tasks. `owner` names this process in the journal; `is_elsewhere` says of another such name whether that
    process lives, so that its tasks are to be asked for there."""

    def __init__(
        self, store: TaskStore, ids: RelayedIds, relayed: UpstreamTasks, *, owner: str, clock: Clock, limits: TaskLimits
    ) -> None:
        self.relayed = relayed
        self.owner = owner
        self.is_elsewhere: Callable[[str], bool] = _nowhere
        self.ask_elsewhere: Callable[[str, Call], Awaitable[Json]] | None = None
        """Has the process of that name answer a call about a task of its own."""
        self._store = store
        self._ids = ids
        self._clock = clock
        self._limits = limits
        self._running: dict[str, RunningTask] = {}
        self._runners = TaskOwner("tasks")
        self._followers = Followers()
        self._forget_at = 0.0

    def __len__(self) -> int:
        return len(self._running)

    # -- becoming a task -----------------------------------------------------------------------------------------------

    async def begin(self, call: Call, work: Work, places: int | None = None) -> Json | None:
        """Make a task of a call at once; nothing has been asked of the upstream before the task is kept. None where the
        journal cannot keep it: the call is to be carried out as any other. `places`: how many tasks its upstream may
        have. Raises TooManyTasks."""
        if self._is_full(call, places):
            raise TooManyTasks
        record = await self._kept(call)
        if record is None:
            return None
        quiet = replace(call, wants_progress=True, places=None)
        return self._start(record, HeldCall(quiet, work, left_s=self._limits.ttl_s))

    async def proceed(self, call: Call, held: HeldCall, after_s: float, places: int | None = None) -> Json:
        """One exchange's part of a held call: its result, if it comes within `after_s`, else its task. Raises what
        `HeldCall.proceed` raises; a call that cannot become a task is waited for as any other."""
        try:
            async with asyncio.timeout(after_s) as limit:
                return await held.proceed()
        except TimeoutError:
            if not limit.expired():
                raise
        if held.ended or held.questions or self._is_full(call, places):
            return await held.proceed()
        try:
            record = await self._kept(call)
        except TooManyTasks:
            record = None
        if record is None or held.ended or held.questions:
            if record is not None:
                self._runners.start(self._store.forget(record.id))
            return await held.proceed()
        return self._start(record, held)

    def _is_full(self, call: Call, places: int | None) -> bool:
        if places is None or call.target is None or len(self._running) >= self._limits.running:
            return len(self._running) >= self._limits.running
        upstream_id = call.target.upstream_id
        return sum(running.record.upstream_id == upstream_id for running in self._running.values()) >= places

    async def _kept(self, call: Call) -> TaskRecord | None:
        """A new record, on disk; None where the journal cannot keep it. Raises TooManyTasks."""
        now = self._clock.wall()
        target = call.target
        record = TaskRecord(
            id=own_id(),
            principal_id=call.principal.id,
            server=call.server,
            owner=self.owner,
            upstream_id=target.upstream_id if target is not None else "",
            tool=target.name if target is not None else "",
            created_at=now,
            updated_at=now,
            ttl_s=self._limits.ttl_s,
        )
        creating = asyncio.ensure_future(self._store.create(record, now))
        try:
            created = await asyncio.shield(creating)
        except asyncio.CancelledError:
            self._runners.start(self._forget_created(creating, record.id))
            raise
        except (OSError, sqlite3.Error) as error:
            log.error("task_not_kept", reason=str(error))
            return None
        if not created:
            raise TooManyTasks
        return record

    async def _forget_created(self, creating: asyncio.Future[bool], task_id: str) -> None:
        await asyncio.wait({creating})
        await self._store.forget(task_id)

    def _start(self, record: TaskRecord, held: HeldCall) -> Json:
        running = RunningTask(
            record, held, self._store, self._clock, keep_s=self._limits.ttl_s, changed=self._followers.changed
        )
        self._running[record.id] = running
        self._runners.start(self._run(running))
        return record.created()

    async def _run(self, running: RunningTask) -> None:
        try:
            await running.ended()
        finally:
            if running.is_kept:
                self._running.pop(running.record.id, None)

    # -- what callers do with tasks ------------------------------------------------------------------------------------

    async def answer(self, call: Call) -> Json:
        """`tasks/get`, `tasks/update` or `tasks/cancel`. Raises MissingClientCapability, InvalidParams, TaskUnknown,
        TaskOwnedElsewhere, and for an upstream's task what the upstream answers."""
        if not declares_tasks(call.client_capabilities):
            raise tasks_not_declared()
        task_id = call.params.get("taskId")
        if not isinstance(task_id, str):
            raise InvalidParams('"taskId" must be a string')
        responses = call.input_responses
        if call.method == "tasks/update" and responses is None:
            raise InvalidParams('"inputResponses" must be an object of objects')
        relayed = self._ids.unwrap(task_id, call.principal.id, call.server)
        if relayed is not None:
            extra: Json = {"inputResponses": responses} if responses is not None else {}
            return await self.relayed.relay(replace(call, input_responses=None), relayed[0], relayed[1], extra)
        try:
            return self._carried_out(call, await self._find(call, task_id))
        except TaskOwnedElsewhere as found:
            return await self._asked_elsewhere(call, task_id, found)

    def _carried_out(self, call: Call, record: TaskRecord) -> Json:
        """The request of `call` about a task of this process, or one that has ended."""
        if call.method == "tasks/get":
            return record.detailed()
        running = self._running.get(record.id)
        if running is not None and call.method == "tasks/cancel":
            running.cancel()
        elif running is not None:
            running.answer(call.input_responses or {})
        return {}

    async def _asked_elsewhere(self, call: Call, task_id: str, found: TaskOwnedElsewhere) -> Json:
        """What the process that works on a task answers; if it has ended, what is left of the task."""
        if self.ask_elsewhere is None:
            raise found
        try:
            return await self.ask_elsewhere(found.owner, call)
        except CallLost:
            return self._carried_out(call, await self._find(call, task_id, ended=found.owner))

    async def follow(self, call: Call, task_ids: Collection[str], tell: Tell) -> Following:
        """Tell the changes of these tasks of the caller's, and how each stands now, until the following is closed.
        Tasks that are not the caller's are left out. Raises MissingClientCapability."""
        if task_ids and not declares_tasks(call.client_capabilities):
            raise tasks_not_declared()

        async def look(task_id: str) -> Json:
            deadline = asyncio.get_running_loop().time() + LOOK_S
            return await self.answer(replace(call, method="tasks/get", params={"taskId": task_id}, deadline=deadline))

        following = Following()
        try:
            for task_id in task_ids:
                await self._follow(task_id, look, tell, following)
        except asyncio.CancelledError:
            following.close()
            raise
        return following

    async def _follow(self, task_id: str, look: Look, tell: Tell, following: Following) -> None:
        try:
            found = await look(task_id)
        except PlatformError:
            return
        tell(found)
        following.ids.append(task_id)
        if task_id in self._running:
            self._followers.add(task_id, tell)
            following.closing.append(partial(self._followers.remove, task_id, tell))
        else:
            looking = self._runners.start(keep_looking(task_id, look, tell, found))
            following.closing.append(looking.cancel)

    # -- as time goes by -----------------------------------------------------------------------------------------------

    def sweep(self, is_valid: Callable[[Principal], bool]) -> None:
        """Give up the tasks of principals that are not valid any more, and forget what has expired."""
        now = self._clock.wall()
        for task_id, running in tuple(self._running.items()):
            if running.record.ended and running.record.expires_at <= now:
                del self._running[task_id]
            elif not is_valid(running.principal):
                running.give_up()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_EVERY_S
            self._store.forget_expired(now)

    async def aclose(self) -> None:
        """Give up what runs; every upstream is told, and every task says what became of it."""
        for running in tuple(self._running.values()):
            running.give_up()
        await self._runners.settled(CLOSING_S)
        await self._runners.aclose()
        await self.relayed.aclose()

    async def _find(self, call: Call, task_id: str, *, ended: str = "") -> TaskRecord:
        """How the caller's own task stands; the process named `ended` is known to be gone. Raises TaskUnknown,
        TaskOwnedElsewhere."""
        running = self._running.get(task_id)
        now = self._clock.wall()
        try:
            record = running.record if running is not None else await self._store.find(task_id, now)
        except (OSError, sqlite3.Error) as error:
            log.error("task_not_read", reason=str(error))
            raise TaskUnknown from error
        if record is None or record.principal_id != call.principal.id or record.server != call.server:
            raise TaskUnknown
        if record.ended and record.expires_at <= now:
            raise TaskUnknown
        if record.ended or running is not None:
            return record
        if record.owner not in (self.owner, ended) and self.is_elsewhere(record.owner):
            raise TaskOwnedElsewhere(record.owner)
        return await self._lost(record)

    async def _lost(self, record: TaskRecord) -> TaskRecord:
        """The record of a task whose process ended in the middle of it: it is not known what came of it."""
        error = error_object(CallLost(LOST_MESSAGE), MODERN)
        lost = record.end(FAILED, self._clock.wall(), keep_s=self._limits.ttl_s, message=LOST_MESSAGE, outcome=error)
        try:
            await self._store.save(lost)
        except (OSError, sqlite3.Error) as failure:
            log.error("task_result_not_kept", task_upstream=record.upstream_id, reason=str(failure))
        return lost


def _nowhere(_owner: str) -> bool:
    return False
