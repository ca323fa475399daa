"""The founding documents' own paths (`contract.founding_paths` is the table of them).

They are no second API: each asks for the same permission as what it stands for and calls the same service. They are not
in the API's document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toolyard import __version__
from toolyard.control.aliases.group_routes import add_group_routes
from toolyard.control.aliases.schema import Config, Counted, Done, Effective, ServerInfo, ServerStatus
from toolyard.control.aliases.service_routes import add_service_routes
from toolyard.control.aliases.store import counted
from toolyard.control.aliases.tool_routes import add_tool_routes
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import WorkParam
from toolyard.control.base.vault import Vault
from toolyard.control.gateways.service import heard
from toolyard.control.keys.service import ApiKeys
from toolyard.control.servers.model import ServerRow
from toolyard.control.settings.schema import Values
from toolyard.control.settings.service import RunTimeSettings
from toolyard.control.tools.model import ToolRow
from toolyard.control.tools.service import Bounds as ToolBounds
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.rules import Bounds as UpstreamBounds
from toolyard.protocol.revisions import LEGACY, MODERN

TRANSPORTS: Final = ("streamable-http", "sse", "websocket", "stdio")


@dataclass(frozen=True, slots=True)
class Behind:
    """What does the work. `public_url`: where clients reach the gateway."""

    public_url: str
    keys: ApiKeys
    settings: RunTimeSettings
    vault: Vault
    tool_bounds: ToolBounds
    upstream_bounds: UpstreamBounds


def aliases_slice(behind: Behind) -> Slice:
    """Routes on the founding documents' own paths."""
    one = Slice("founding", prefix="")
    add_group_routes(one, behind.keys, behind.public_url)
    add_tool_routes(one, behind.vault, behind.tool_bounds)
    add_service_routes(one, behind.vault, behind.upstream_bounds)
    _add_configuration(one, behind.settings)
    _add_server(one, behind.public_url)
    return one


def _add_configuration(one: Slice, settings: RunTimeSettings) -> None:
    @one.get("/api/config", action="settings.read", include_in_schema=False)
    async def read(work: WorkParam) -> Done[Config]:
        """Every setting with its value."""
        return Done(data={row.key: row.value for row in await settings.read(work)}, message="The configuration")

    @one.put("/api/config", action="settings.write", include_in_schema=False)
    async def change(work: WorkParam, values: Values) -> Effective[Config]:
        """Change some settings: all that are named, or none."""
        found = await settings.put(work, "organization", values)
        return Effective(data={row.key: row.value for row in found}, message="The configuration was changed")


def _add_server(one: Slice, public_url: str) -> None:
    @one.get("/server/status", action="servers.read", include_in_schema=False)
    async def status(work: WorkParam) -> Done[ServerStatus]:
        """How much there is, and whether any gateway is heard."""
        groups, services = await counted(work, ServerRow), await counted(work, UpstreamRow)
        tools = await counted(work, ToolRow, ToolRow.kind == "tool", ToolRow.gone_at.is_(None))
        told = ServerStatus(
            status="running" if await heard(work) else "no_gateway",
            groups=Counted(total=groups[0], enabled=groups[1]),
            tools=Counted(total=tools[0], enabled=tools[1]),
            services=Counted(total=services[0], enabled=services[1]),
        )
        return Done(data=told, message="The state of the server")

    @one.get("/mcp/server/info", action="self", include_in_schema=False)
    async def info(_work: WorkParam) -> Done[ServerInfo]:
        """What speaks MCP here."""
        told = ServerInfo(
            name="Toolyard",
            version=__version__,
            protocol_versions=[MODERN, *LEGACY],
            transports=list(TRANSPORTS),
            url=f"{public_url.rstrip('/')}/mcp",
        )
        return Done(data=told, message="What speaks MCP here")
