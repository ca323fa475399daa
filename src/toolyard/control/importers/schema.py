"""What the API takes and gives of imports."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from toolyard.control.base.texts import Line
from toolyard.control.upstreams.schema import FoundOut, Upstream

Value = Annotated[str, Field(max_length=65_536)]


class Import(BaseModel):
    """What another program wrote down of MCP servers."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"document": {"mcpServers": {"docs": {"url": "https://example.com/mcp"}}}}]},
    )

    document: dict[str, Any] = Field(
        description="A file with `mcpServers`, one of VS Code with `servers` and `inputs`, a `server.json`, or what a "
        "registry lists."
    )
    values: dict[Annotated[Line, Field(max_length=200)], Value] = Field(
        default_factory=dict,
        max_length=500,
        description="What variables (`${NAME}`) and inputs (`${input:ID}`) in it stand for; secrets are sealed.",
    )
    dry_run: bool = Field(default=False, description="Only look at it: nothing is registered.")


class ImportedUpstream(BaseModel):
    """One server of the document."""

    name: str = Field(description="What the upstream is called; as near as can be to its name in the document.")
    upstream: Upstream | None = Field(description="None in a dry run.")
    findings: list[FoundOut]
