"""The blocking face: the same as `AsyncToolyard`, for code without an event loop."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from toolyard.embedded.context import CONNECT_S, AsyncContext
from toolyard.embedded.errors import ToolyardClosed
from toolyard.embedded.loop_thread import LoopThread
from toolyard.embedded.registry import ANY, Config
from toolyard.embedded.values import BatchResult, Service, Tool, ToolCall, ToolResult
from toolyard.embedded.yard import AsyncToolyard


class Context:
    """What the store sees and may do (everything), or one agent (what it was granted, and the services that it added
    itself). Each method does what its namesake of `AsyncContext` does, and waits for it."""

    def __init__(self, inner: AsyncContext, thread: LoopThread) -> None:
        self._inner = inner
        self._thread = thread

    @property
    def agent(self) -> str | None:
        """Whose context it is; None for the store's."""
        return self._inner.agent

    def add_service(
        self,
        config: str | Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        verify: bool = True,
        timeout_s: float = CONNECT_S,
        **fields: Any,
    ) -> list[Service]:
        """See `AsyncContext.add_service`."""
        added = self._inner.add_service(config, name=name, verify=verify, timeout_s=timeout_s, **fields)
        return self._thread.run(added)

    def list_services(self) -> list[Service]:
        """See `AsyncContext.list_services`."""
        return self._thread.run(self._inner.list_services())

    def get_service_status(self, name: str) -> Service:
        """See `AsyncContext.get_service_status`."""
        return self._thread.run(self._inner.get_service_status(name))

    def start_service(self, name: str) -> Service:
        """See `AsyncContext.start_service`."""
        return self._thread.run(self._inner.start_service(name))

    def stop_service(self, name: str) -> Service:
        """See `AsyncContext.stop_service`."""
        return self._thread.run(self._inner.stop_service(name))

    def restart_service(self, name: str) -> Service:
        """See `AsyncContext.restart_service`."""
        return self._thread.run(self._inner.restart_service(name))

    def remove_service(self, name: str) -> None:
        """See `AsyncContext.remove_service`."""
        self._thread.run(self._inner.remove_service(name))

    def list_tools(self, service: str | None = None) -> list[Tool]:
        """See `AsyncContext.list_tools`."""
        return self._thread.run(self._inner.list_tools(service))

    def discover_tools(self, service: str | None = None) -> list[Tool]:
        """See `AsyncContext.discover_tools`."""
        return self._thread.run(self._inner.discover_tools(service))

    def call_tool(
        self, name: str, arguments: Mapping[str, object] | None = None, *, service: str | None = None
    ) -> ToolResult:
        """See `AsyncContext.call_tool`."""
        return self._thread.run(self._inner.call_tool(name, arguments, service=service))

    def batch_call(self, calls: Iterable[ToolCall | Mapping[str, Any]]) -> BatchResult:
        """See `AsyncContext.batch_call`."""
        return self._thread.run(self._inner.batch_call(calls))


class Toolyard(Context):
    """A gateway inside this process: no port, no server to run. It is open from the start until `close`, or until the
    end of a `with` block; its event loop has a thread of its own.

    >>> with Toolyard() as yard:
    ...     added = yard.add_service(name="demo", builtin="demo")
    ...     print(added[0].state, yard.call_tool("demo__add", {"a": 2, "b": 3}).text)
    ready 5

    The store sees everything; an agent sees what it was granted and what it added itself.

    >>> with Toolyard({"upstreams": {"demo": {"builtin": "demo"}}}) as yard:
    ...     yard.grant_permission("analyst", "tools.call", "demo/add")
    ...     print([tool.name for tool in yard.for_agent("analyst").list_tools()])
    ...     print(yard.check_permission("analyst", "tools.call", "demo/echo"))
    ['demo__add']
    False

    Many calls go grouped by service and side by side, each with its own outcome.

    >>> with Toolyard({"upstreams": {"demo": {"builtin": "demo"}}}) as yard:
    ...     done = yard.batch_call([{"name": "demo__add", "arguments": {"a": n, "b": n}} for n in (1, 2, 3)])
    ...     print(done.succeeded, [outcome.result.text for outcome in done.outcomes])
    3 ['2', '4', '6']
    """

    def __init__(
        self,
        config: Config = None,
        *,
        data_dir: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """See `AsyncToolyard`. Raises ConfigRejected."""
        yard = AsyncToolyard(config, data_dir=data_dir, environ=environ)
        thread = LoopThread()
        super().__init__(yard, thread)
        self._yard = yard
        self._end = weakref.finalize(self, _end, yard, thread)
        thread.run(yard.start())

    def __enter__(self) -> Toolyard:
        if not self._end.alive:
            raise ToolyardClosed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all services; what runs for them ends. A program that ends does the same."""
        self._end()

    def for_store(self) -> Context:
        """Everything."""
        return Context(self._yard.for_store(), self._thread)

    def for_agent(self, agent: str) -> Context:
        """What one agent sees: nothing at first."""
        return Context(self._yard.for_agent(agent), self._thread)

    def grant_permission(self, agent: str, action: str, resource: str = ANY) -> None:
        """See `AsyncToolyard.grant_permission`."""
        self._thread.run(self._yard.grant_permission(agent, action, resource))

    def revoke_permission(self, agent: str, action: str, resource: str = ANY) -> None:
        """See `AsyncToolyard.revoke_permission`."""
        self._thread.run(self._yard.revoke_permission(agent, action, resource))

    def check_permission(self, agent: str, action: str, resource: str) -> bool:
        """See `AsyncToolyard.check_permission`."""
        return self._yard.check_permission(agent, action, resource)


def _end(yard: AsyncToolyard, thread: LoopThread) -> None:
    thread.run(yard.aclose())
    thread.stop()
