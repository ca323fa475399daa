"""What can be wrong with a call at the gateway itself."""

from __future__ import annotations

from typing import Any

from toolyard.kit.errors import PlatformError


class Unauthenticated(PlatformError):
    """Show an API key of this server: `Authorization: Bearer mcp_key_…`."""

    code = "unauthenticated"
    status = 401


class ServerUnknown(PlatformError):
    """There is no such server."""

    code = "server_unknown"
    status = 404


class ServerDisabled(PlatformError):
    """This server is switched off."""

    code = "server_disabled"
    status = 403


class ToolUnknown(PlatformError):
    """This server exposes no tool of that name."""

    code = "tool_unknown"
    status = 404


class ToolNotInServer(PlatformError):
    """There is a tool of that name, but this server does not offer it."""

    code = "tool_not_in_server"
    status = 404


class ToolDisabled(PlatformError):
    """This tool is switched off."""

    code = "tool_disabled"
    status = 403


class PromptUnknown(PlatformError):
    """This server exposes no prompt of that name."""

    code = "prompt_unknown"
    status = 404


class ResourceUnknown(PlatformError):
    """This server has no such resource."""

    code = "resource_unknown"
    status = 404

    def __init__(self, uri: str) -> None:
        super().__init__(uri=uri)
        self.data: dict[str, Any] = {"uri": uri}


class CursorInvalid(PlatformError):
    """This cursor was not issued for this list, or the list has changed since: begin again without a cursor."""

    code = "cursor_invalid"
    status = 400


class NotAllowed(PlatformError):
    """The caller may not do this."""

    code = "not_allowed"
    status = 403


class ScopeMissing(PlatformError):
    """The API key does not have the scope that this method needs."""

    code = "scope_missing"
    status = 403


class ToolNotGranted(PlatformError):
    """The API key may not call this tool."""

    code = "tool_not_granted"
    status = 403


class RateLimited(PlatformError):
    """Too many calls; wait and try again."""

    code = "rate_limited"
    status = 429

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s=round(retry_after_s, 3))
        self.retry_after_s = max(retry_after_s, 0.001)


class TooManyCalls(PlatformError):
    """The gateway is working on as many calls as it may."""

    code = "overloaded"
    status = 503
    retry_after_s = 1.0


class SessionUnknown(PlatformError):
    """There is no such session; initialize again."""

    code = "session_unknown"
    status = 404


class SessionRequired(PlatformError):
    """This request needs the session that `initialize` opened: send its Mcp-Session-Id."""

    code = "session_required"
    status = 400


class TooManySessions(PlatformError):
    """There are as many sessions as there may be."""

    code = "too_many_sessions"
    status = 503
    retry_after_s = 1.0


class TimedOut(PlatformError):
    """The call took longer than it may."""

    code = "timed_out"
    status = 504


class StateRefused(PlatformError):
    """The requestState is not one that was issued for this call, or it has expired: send the call again without it."""

    code = "state_refused"
    status = 400


class CallLost(PlatformError):
    """The call that this requestState belongs to is held no more: its gateway process ended, its time was up, or its
    caller had gone. Whether it took effect is not known; send it again without requestState only if that is safe."""

    code = "call_lost"
    status = 400


class TooManyParked(PlatformError):
    """As many calls as may wait for their callers' answers; this one was given up and its upstream told."""

    code = "too_many_parked"
    status = 503
    retry_after_s = 1.0


class SealKeyUnusable(PlatformError):
    """The sealing key in the data directory cannot be used."""

    code = "seal_key_unusable"
    status = 500


class TaskUnknown(PlatformError):
    """There is no such task: it never was, is another caller's or another server's, or has been forgotten."""

    code = "task_unknown"
    status = 400


class TooManyTasks(PlatformError):
    """There are as many tasks as there may be; wait until some have ended or are forgotten."""

    code = "too_many_tasks"
    status = 503
    retry_after_s = 1.0


class TaskOwnedElsewhere(PlatformError):
    """Another process of the gateway works on this task, and it cannot be reached now; try again."""

    code = "task_elsewhere"
    status = 503

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.owner = owner


class OldTaskRequired(PlatformError):
    """This tool can be called only as a task of revision 2025-11-25, which the gateway does not offer."""

    code = "old_task_required"


class UpstreamUnknown(PlatformError):
    """There is no such upstream."""

    code = "upstream_unknown"
    status = 404


class UpstreamDisabled(PlatformError):
    """This upstream is switched off in the configuration."""

    code = "upstream_disabled"
    status = 409


class OrderInvalid(PlatformError):
    """This is not an operator's order."""

    code = "order_invalid"
    status = 400
