"""The asynchronous face: what the store, or one agent, sees and may do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from toolyard.contract.bindings import Binding
from toolyard.contract.catalog import ServerCatalog
from toolyard.embedded.arguments import fault_in_arguments
from toolyard.embedded.batch import run_batch
from toolyard.embedded.errors import ArgumentsInvalid, ServiceNotReady
from toolyard.embedded.given import Entry, entries_of
from toolyard.embedded.home import Home
from toolyard.embedded.registry import code_of
from toolyard.embedded.values import BatchResult, Service, Tool, ToolCall, ToolResult
from toolyard.gateway.call import Head, Principal
from toolyard.gateway.downstream.execution import Order
from toolyard.gateway.errors import NotAllowed, ToolUnknown, UpstreamUnknown
from toolyard.gateway.interceptors.authn import OPERATOR
from toolyard.gateway.operating import Operation
from toolyard.gateway.operating import Order as Operate
from toolyard.kit.errors import PlatformError
from toolyard.kit.ids import short_id
from toolyard.policy.authorize import CALL_TOOLS
from toolyard.protocol.strict_json import decode, encode

CONNECT_S: Final = 30.0
"""How long a new service may take to be connected to."""
OPERATE_S: Final = 60.0
FIRST_LOOK_S: Final = 5.0
"""How long a call waits for services that were never seen."""


class AsyncContext:
    """What the store sees and may do (everything), or one agent (what it was granted, and the services that it added
    itself). Made by `for_store` and `for_agent`."""

    def __init__(self, home: Home, agent: str | None) -> None:
        self._home = home
        self.agent = agent
        self._principal = OPERATOR if agent is None else Principal(f"agent:{agent}", "user", may=(CALL_TOOLS,))

    async def add_service(
        self,
        config: str | Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        verify: bool = True,
        timeout_s: float = CONNECT_S,
        **fields: Any,
    ) -> list[Service]:
        """Check a service's configuration, register it, connect to it and see that it answers.

        `config`: a URL, a command line, an entry as in `toolyard.yaml`, or `{"mcpServers": …}` for several at once;
        `fields` are further fields of the entry (`url=`, `command=`, `headers=`, `env=` …). With `verify`, nothing is
        taken in if one of them cannot be connected to within `timeout_s`; without, it is, and is tried again and again.
        What an agent adds is that agent's, and the store's. Raises ConfigRejected, ServiceInvalid, ServiceExists,
        ServiceNotReady."""
        async with self._home.changing():
            registry = self._home.registry
            entries = entries_of(config, name, fields, registry.services)
            await self._home.put_in_force(registry.with_services(entries, self.agent))
        if verify:
            await self._verify(entries, timeout_s)
        return [self._service(entry.name) for entry in entries]

    async def list_services(self) -> list[Service]:
        """All services here, in the order in which they were added."""
        return [self._service(name) for name in await self._visible()]

    async def get_service_status(self, name: str) -> Service:
        """How a service does. Raises UpstreamUnknown."""
        await self._check_visible(name)
        return self._service(name)

    async def start_service(self, name: str) -> Service:
        """Connect to a stopped service again. Raises UpstreamUnknown, NotAllowed."""
        return await self._operate("start", name)

    async def stop_service(self, name: str) -> Service:
        """Close a service when its calls have ended; it stays registered. Raises UpstreamUnknown, NotAllowed."""
        return await self._operate("stop", name)

    async def restart_service(self, name: str) -> Service:
        """Connect to a service anew, without a failed call. Raises UpstreamUnknown, NotAllowed."""
        return await self._operate("restart", name)

    async def remove_service(self, name: str) -> None:
        """Take a service out, for everybody. Raises UpstreamUnknown, NotAllowed."""
        await self._check_managed(name)
        await self._withdraw([name])

    async def list_tools(self, service: str | None = None) -> list[Tool]:
        """The tools here, or those of one service. Raises UpstreamUnknown."""
        if service is not None:
            await self._check_visible(service)
        definitions, cursor = [], None
        while True:
            page = await self._order("tools/list", {} if cursor is None else {"cursor": cursor})
            definitions += decode(
                encode(page["tools"])
            )  # a list that is kept for all who may see the same comes encoded
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        offered = self._home.offered(self.agent).tools
        bound = [(offered[one["name"]], one) for one in definitions if one["name"] in offered]
        tools = [Tool(b.exposed_name, b.upstream_id, b.upstream_name, definition) for b, definition in bound]
        return [tool for tool in tools if service in (None, tool.service)]

    async def discover_tools(self, service: str | None = None) -> list[Tool]:
        """Ask the services now what they offer, or one of them, and list it. Raises UpstreamUnknown."""
        if service is not None:
            await self._check_visible(service)
        names = await self._visible() if service is None else [service]
        operating = self._home.gateway.operating
        enabled = self._home.gateway.holder.current.snapshot.upstreams
        orders = [Operate("check", name, timeout_s=OPERATE_S) for name in names if enabled[name].enabled]
        await asyncio.gather(*(operating.carry_out(order) for order in orders))
        return await self.list_tools(service)

    async def call_tool(
        self, name: str, arguments: Mapping[str, object] | None = None, *, service: str | None = None
    ) -> ToolResult:
        """Call a tool: look it up, check its arguments, call its service. With a `service`, `name` is that service's
        own name of it. A tool that fails says so in its result; everything else that goes wrong is raised as a
        PlatformError: ToolUnknown, ToolNotInServer, ArgumentsInvalid, UpstreamError and so on."""
        return await self._call(ToolCall(name, arguments or {}, service))

    async def batch_call(self, calls: Iterable[ToolCall | Mapping[str, Any]]) -> BatchResult:
        """Call many tools: grouped by service, the groups side by side. What goes wrong with one call is in its outcome
        and does not touch the others. A call may be a mapping with `name`, `arguments` and `service`."""
        wanted = [one if isinstance(one, ToolCall) else ToolCall(**one) for one in calls]
        await self._seen()
        return await run_batch(wanted, self._service_of, self._call)

    async def _call(self, call: ToolCall) -> ToolResult:
        binding = await self._binding(call)
        name = binding.exposed_name if binding is not None else call.name
        if binding is not None:
            fault = fault_in_arguments(call.arguments, binding.definition.get("inputSchema") or {})
            if fault is not None:
                raise ArgumentsInvalid(f"the arguments of '{name}' are wrong: {fault}", tool=name)
        result = await self._order("tools/call", {"name": name, "arguments": dict(call.arguments)})
        return ToolResult(
            tuple(result.get("content") or ()), result.get("structuredContent"), result.get("isError") is True
        )

    async def _binding(self, call: ToolCall) -> Binding | None:
        """What a call is about; None for a name that is not known here, which the gateway explains. Raises ToolUnknown,
        UpstreamUnknown."""
        server = await self._known()
        if call.service is None:
            return server.tools.get(call.name) or (await self._seen()).tools.get(call.name)
        await self._check_visible(call.service)
        if call.service in server.unobserved:
            server = await self._seen()
        found = _own(server, call.service, call.name)
        if found is None:
            raise ToolUnknown(f"service '{call.service}' offers no tool '{call.name}' here", tool=call.name)
        return found

    def _service_of(self, call: ToolCall) -> str | None:
        """The service that a call goes to, as far as that is known before it is made."""
        binding = self._home.offered(self.agent).tools.get(call.name) if call.service is None else None
        return call.service if binding is None else binding.upstream_id

    async def _order(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request through the gateway's pipeline."""
        await self._known()
        gateway, code = self._home.gateway, code_of(self.agent)
        head = Head(
            "stdio", "EMBEDDED", "", {}, server_code=code, client="local", request_id=short_id(),
            operator=self.agent is None, principal=self._principal,
        )  # fmt: skip
        try:
            return await gateway.execution.carry_out(head, Order(method, params, code))
        except PlatformError as error:
            gateway.refusals.error(head, error, method)
            raise

    async def _operate(self, operation: Operation, name: str) -> Service:
        await self._check_managed(name)
        await self._home.gateway.operating.carry_out(Operate(operation, name, timeout_s=OPERATE_S))
        return self._service(name)

    async def _verify(self, entries: list[Entry], timeout_s: float) -> None:
        """Take back services that do not answer. Raises ServiceNotReady."""
        gateway, names = self._home.gateway, [entry.name for entry in entries]
        try:
            await gateway.pool.tried(names, timeout_s)
        except asyncio.CancelledError:
            await self._withdraw(names)
            raise
        bad = [one for one in map(self._service, names) if one.state not in {"ready", "disabled"}]
        if bad:
            await self._withdraw(names)
            reasons = "; ".join(f"{one.name}: {one.error or 'no answer in time'}" for one in bad)
            raise ServiceNotReady(f"not taken in: {reasons}", services=[one.name for one in bad])

    async def _withdraw(self, names: list[str]) -> None:
        async with self._home.changing():
            await self._home.put_in_force(self._home.registry.without_services(names))

    async def _known(self) -> ServerCatalog:
        """What is offered here; an agent is known from its first question on."""
        if self.agent is not None and self.agent not in self._home.registry.agents:
            async with self._home.changing():
                await self._home.put_in_force(self._home.registry.with_grants(self.agent))
        return self._home.offered(self.agent)

    async def _seen(self) -> ServerCatalog:
        """What is offered here, once every service has been tried."""
        server = await self._known()
        if server.unobserved:
            await self._home.gateway.pool.tried(server.unobserved, FIRST_LOOK_S)
        return self._home.offered(self.agent)

    async def _visible(self) -> list[str]:
        if self.agent is None:
            return list(self._home.gateway.holder.current.snapshot.upstreams)
        return list((await self._known()).upstream_ids)

    async def _check_visible(self, name: str) -> None:
        if name not in await self._visible():
            raise UpstreamUnknown(f"there is no service '{name}' here", upstream=name)

    async def _check_managed(self, name: str) -> None:
        await self._check_visible(name)
        if self.agent is not None and not self._home.registry.may_manage(self.agent, name):
            raise NotAllowed(f"agent '{self.agent}' may use service '{name}', not change it", upstream=name)

    def _service(self, name: str) -> Service:
        gateway = self._home.gateway
        spec = gateway.holder.current.snapshot.upstreams.get(name)
        if spec is None:
            raise UpstreamUnknown(f"there is no service '{name}' any more", upstream=name)
        status = gateway.pool.status_of(name) or {"state": "disabled"}
        tools = sum(binding.upstream_id == name for binding in self._home.offered(self.agent).tools.values())
        return Service(name, spec.kind, status["state"], tools, status.get("error"), status.get("error_code"))


def _own(server: ServerCatalog, service: str, name: str) -> Binding | None:
    return next((b for b in server.tools.values() if b.upstream_id == service and b.upstream_name == name), None)
