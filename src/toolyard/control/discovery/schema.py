"""What the API takes and gives of discovery."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolyard.control.base.problems import Problem
from toolyard.control.base.texts import Line

MAX_PLACES = 64
USUAL_PORTS = (3000, 3001, 5000, 8000, 8001, 8080, 8081, 8765, 8808, 8888, 9000)
"""Where MCP servers listen that nobody gave another port."""
Port = Annotated[int, Field(ge=1, le=65_535)]
Where = Literal["host", "client", "registry"]
Health = Literal["ready", "failing", "untried"]


class Search(BaseModel):
    """Where to look."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"hosts": ["tools.example.com", "https://example.com/mcp"]}]}
    )

    hosts: list[Annotated[Line, Field(min_length=1, max_length=500)]] = Field(
        default_factory=list,
        max_length=MAX_PLACES,
        description="Hosts, hosts with a port, or URLs. Private addresses need the platform permission server.network.",
    )
    loopback: bool = Field(
        default=False, description="The machine of the control plane itself; needs server.network, too."
    )
    ports: list[Port] = Field(
        default=list(USUAL_PORTS), max_length=MAX_PLACES, description="Ports to try with `loopback`."
    )
    clients: bool = Field(default=False, description="The files of MCP clients on this machine; for its operator only.")
    registry: Annotated[str, Field(max_length=2000)] | None = Field(
        None, description="The URL of an MCP registry.", examples=["https://registry.modelcontextprotocol.io"]
    )
    q: Line = Field("", max_length=200, description="What to look for in the registry.")
    configure: bool = Field(default=False, description="Register as upstreams what was found.")


class Discovered(BaseModel):
    """One MCP server."""

    where: Where = Field(description="How it was found.")
    name: str
    url: str | None
    command: list[str]
    kind: str | None = Field(examples=["mcp-http"])
    health: Health = Field(description="`untried`: a program, or a server of a registry; those are not asked.")
    problem: str | None = Field(description="Why it is failing.")
    version: str | None
    revision: str | None = Field(description="The newest revision of MCP that it says it speaks.")
    took_ms: int | None = Field(description="How long its answer took.")
    upstream_id: str | None = Field(None, description="The upstream that was made of it.")
    not_configured: Problem | None = Field(None, description="Why no upstream was made of it.")


class DiscoveryAnswer(BaseModel):
    """What was found."""

    found: list[Discovered]
    tried: int = Field(description="How many places were asked.")
    configured: int


Fields = dict[str, Any]
