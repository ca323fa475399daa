"""One task as it is kept and shown (ext-tasks, specification/draft/tasks, Tasks)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.protocol.tasks import COMPLETED, FAILED, INPUT_REQUIRED, TERMINAL, WORKING, timestamp

POLL_INTERVAL_MS = 1000
MOST_POLL_S = 30.0
RESERVED_META = "io.modelcontextprotocol/related-task"


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task of the gateway's own: whose it is, which process carries it out, and how it stands.

    `outcome` is the result of a completed task, the error of a failed one; `questions` are open at its caller. Times
    are seconds since 1970; the task may be forgotten `ttl_s` after `created_at`."""

    id: str
    principal_id: str
    server: str
    owner: str
    upstream_id: str
    tool: str
    created_at: float
    updated_at: float
    ttl_s: float
    status: str = WORKING
    message: str | None = None
    outcome: Json | None = None
    questions: Json = field(default_factory=dict)

    @property
    def expires_at(self) -> float:
        return self.created_at + self.ttl_s

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    def end(self, status: str, now: float, *, keep_s: float, message: str | None, outcome: Json | None) -> TaskRecord:
        """The task at its end; from now on it is kept for `keep_s`."""
        return replace(
            self,
            status=status,
            updated_at=now,
            ttl_s=now - self.created_at + keep_s,
            message=message,
            outcome=outcome,
            questions={},
        )

    def created(self) -> Json:
        """The answer of the call that became this task (CreateTaskResult)."""
        return {"resultType": "task", **self._plain()}

    def detailed(self) -> Json:
        """The whole task as `tasks/get` and `notifications/tasks` tell it (DetailedTask)."""
        shown = self._plain()
        if self.status == COMPLETED:
            shown["result"] = self.outcome or {}
        elif self.status == FAILED:
            shown["error"] = self.outcome or {}
        elif self.status == INPUT_REQUIRED:
            shown["inputRequests"] = self.questions
        return shown

    def _plain(self) -> Json:
        shown: Json = {"taskId": self.id, "status": self.status}
        if self.message is not None:
            shown["statusMessage"] = self.message
        return {
            **shown,
            "createdAt": timestamp(self.created_at),
            "lastUpdatedAt": timestamp(self.updated_at),
            "ttlMs": max(1, round(self.ttl_s * 1000)),
            "pollIntervalMs": POLL_INTERVAL_MS,
        }


def pause_s(task: Json, *, least_s: float) -> float:
    """How long to wait before looking at a task again, as whoever carries it out wants it, within bounds."""
    wanted: Any = task.get("pollIntervalMs")
    if not isinstance(wanted, int | float) or wanted <= 0:
        wanted = POLL_INTERVAL_MS
    return max(least_s, float(min(wanted, MOST_POLL_S * 1000)) / 1000)


def kept_result(result: Json) -> Json:
    """A tool's result as it is kept in its task: no type of its own, and nothing of the old core tasks."""
    kept = {name: value for name, value in result.items() if name != "resultType"}
    meta: Any = kept.get("_meta")
    if isinstance(meta, dict) and RESERVED_META in meta:
        kept["_meta"] = {name: value for name, value in meta.items() if name != RESERVED_META}
    return kept
