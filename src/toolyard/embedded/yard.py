"""The whole embedded Toolyard, asynchronous: it opens and closes, has contexts, and says what agents may do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from toolyard.embedded.context import AsyncContext
from toolyard.embedded.home import Home
from toolyard.embedded.registry import ANY, CALL, Config, Grant


class AsyncToolyard(AsyncContext):
    """A gateway inside this process, for code on an event loop; `async with` opens and closes it.

    >>> import asyncio
    >>> async def main() -> None:
    ...     async with AsyncToolyard({"upstreams": {"demo": {"builtin": "demo"}}}) as yard:
    ...         result = await yard.call_tool("demo__add", {"a": 2, "b": 3})
    ...         print(result.text)
    >>> asyncio.run(main())
    5

    It is its own store: what `for_store` gives is the same. It belongs to the loop on which it was opened."""

    def __init__(
        self,
        config: Config = None,
        *,
        data_dir: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`config`: a `toolyard.yaml` or `mcp.json`, or what would be in one. `data_dir`: where to remember what
        services offer; nothing is written without it. `environ`: for `${NAME}`, else this process's. Raises
        ConfigRejected, naming everything that is wrong."""
        super().__init__(Home(config, data_dir=data_dir, environ=environ), None)

    async def __aenter__(self) -> AsyncToolyard:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Open it: begin to connect to the services."""
        await self._home.start()

    async def aclose(self) -> None:
        """Close all services; what runs for them ends."""
        await self._home.aclose()

    def for_store(self) -> AsyncContext:
        """Everything."""
        return AsyncContext(self._home, None)

    def for_agent(self, agent: str) -> AsyncContext:
        """What one agent sees: nothing at first."""
        return AsyncContext(self._home, agent)

    async def grant_permission(self, agent: str, action: str, resource: str = ANY) -> None:
        """Let an agent do something: `tools.call` on `*`, a service or `service/tool` (globs for the tool), or
        `upstreams.write` (start, stop, remove) on a service or `*`. Raises PermissionUnknown, UpstreamUnknown."""
        grant = Grant.of(action, resource)
        async with self._home.changing():
            await self._home.put_in_force(self._home.registry.with_grants(agent, [grant]))

    async def revoke_permission(self, agent: str, action: str, resource: str = ANY) -> None:
        """Take back what was granted in these words. Raises PermissionUnknown."""
        grant = Grant.of(action, resource)
        async with self._home.changing():
            await self._home.put_in_force(self._home.registry.without_grant(agent, grant))

    def check_permission(self, agent: str, action: str, resource: str) -> bool:
        """Whether an agent may do this to a service, or to one tool (`service/tool`, or the tool's name here). Raises
        PermissionUnknown."""
        wanted = Grant.of(action, resource)
        snapshot = self._home.gateway.holder.current.snapshot
        if action != CALL:
            return wanted.service in snapshot.upstreams and self._home.registry.may_manage(agent, wanted.service)
        if agent not in self._home.registry.agents:
            return False
        offered = self._home.offered(agent)
        if "/" not in resource:
            return resource in offered.tools or resource in offered.upstream_ids
        spec = snapshot.upstreams.get(wanted.service)
        if spec is None or offered.choice is None:
            return False
        return offered.choice.tools.may_name_tool(spec, wanted.tool)
