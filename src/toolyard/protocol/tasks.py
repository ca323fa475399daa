"""The Tasks extension, `io.modelcontextprotocol/tasks`: its names, and the shapes of its messages. Pure.

ext-tasks, specification/draft/tasks: a server may answer `tools/call` of a client that declared the extension with a
task; `tasks/get`, `tasks/update` and `tasks/cancel` are about that task. The experimental core tasks of 2025-11-25 are
another wire and not meant here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from toolyard.protocol.errors import MissingClientCapability

Json = dict[str, Any]

TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"
TASK_METHODS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
TASK: Final = "task"
"""The `resultType` of an answer that is a task."""

WORKING: Final = "working"
INPUT_REQUIRED: Final = "input_required"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
TERMINAL: Final = frozenset({COMPLETED, FAILED, CANCELLED})
STATUSES: Final = TERMINAL | {WORKING, INPUT_REQUIRED}


def declares_tasks(client_capabilities: Mapping[str, Any]) -> bool:
    """True if a client that declared `client_capabilities` understands tasks (Capability Negotiation)."""
    extensions = client_capabilities.get("extensions")
    return isinstance(extensions, dict) and isinstance(extensions.get(TASKS_EXTENSION), dict)


def with_tasks(client_capabilities: Mapping[str, Any]) -> Json:
    """The same capabilities, and tasks."""
    extensions = client_capabilities.get("extensions")
    others = extensions if isinstance(extensions, dict) else {}
    return {**client_capabilities, "extensions": {**others, TASKS_EXTENSION: {}}}


def without_tasks(client_capabilities: Json) -> Json:
    """The same capabilities, but no tasks."""
    extensions = client_capabilities.get("extensions")
    if not isinstance(extensions, dict) or TASKS_EXTENSION not in extensions:
        return client_capabilities
    others = {name: value for name, value in extensions.items() if name != TASKS_EXTENSION}
    kept = {name: value for name, value in client_capabilities.items() if name != "extensions"}
    return {**kept, "extensions": others} if others else kept


def tasks_not_declared() -> MissingClientCapability:
    """The error for a client that did not declare the extension and needs it (Error Handling)."""
    required: Json = {"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}}
    return MissingClientCapability("This needs the tasks extension, which the client did not declare.", data=required)


def needs_old_tasks(definition: Mapping[str, Any]) -> bool:
    """True for a tool that can be called only as a core task of 2025-11-25 (server/tools, `execution.taskSupport`)."""
    execution = definition.get("execution")
    return isinstance(execution, dict) and execution.get("taskSupport") == "required"


def is_task(found: Mapping[str, Any]) -> bool:
    """True if `found`, from an upstream, has what every task has: an id and a known status."""
    task_id = found.get("taskId")
    return isinstance(task_id, str) and bool(task_id) and found.get("status") in STATUSES


def timestamp(seconds: float) -> str:
    """A time since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
