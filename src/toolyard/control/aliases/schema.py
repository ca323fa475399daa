"""What the founding documents' calls take and give."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from toolyard.control.base.texts import KeptJson, Line, Prose, unset
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.schema import url_of
from toolyard.control.tools.model import ToolRow
from toolyard.control.tools.schema import Tool
from toolyard.control.upstreams.schema import Upstream

Data = TypeVar("Data")
GroupName = Annotated[Line, Field(min_length=1, max_length=200, examples=["Customer service"])]


class Done(BaseModel, Generic[Data]):
    """What every such call answers."""

    success: Literal[True] = True
    data: Data
    message: str


class DonePage(Done[Data], Generic[Data]):
    """A list. What is longer than a page goes on at `next_cursor`, which the founding documents do not know."""

    next_cursor: str | None = None


class Effective(Done[Data], Generic[Data]):
    """A change."""

    effective_immediately: Literal[True] = True


class GroupCreate(BaseModel):
    """A group to be made: a virtual server."""

    name: GroupName
    description: Prose = Field("", max_length=2000)


class GroupChange(BaseModel):
    """What is to be different of a group."""

    name: GroupName = unset()
    description: Prose = unset(max_length=2000)
    enabled: bool = unset()


class Group(BaseModel):
    """A group: a virtual server."""

    id: str
    name: str
    description: str
    code: str
    server_url: str
    enabled: bool
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime

    @classmethod
    def of(cls, row: ServerRow, public_url: str) -> Group:
        same = ("id", "description", "code", "enabled", "created_by", "created_at", "updated_at")
        told = {name: getattr(row, name) for name in same}
        return cls(**told, name=row.title, server_url=url_of(row, public_url))


class NewGroup(Group):
    """A group that was just made, with its key, which is shown this once."""

    api_key: str


class ApiKey(BaseModel):
    """A key of a group."""

    api_key: str


class ServerUrl(BaseModel):
    """Where clients reach a group."""

    server_url: str


class GroupTool(Tool):
    """A tool, in the words of the founding documents as well."""

    tool_name: str
    timeout_seconds: float | None
    group_id: str | None = Field(None, description="The group that was asked for.")

    @classmethod
    def shown(cls, row: ToolRow, upstream: str, group_id: str | None = None) -> GroupTool:
        told = Tool.of(row, upstream).model_dump()
        return cls(**told, tool_name=row.name, timeout_seconds=row.timeout_s, group_id=group_id)


class ToolUpdate(BaseModel):
    """What is to be different of a tool; what is left out stays as it is. `description`: as that group shows it."""

    group_id: str = unset(max_length=40)
    enabled: bool = unset()
    timeout_seconds: float = unset(gt=0)
    description: Prose = unset(max_length=20_000)
    config_data: dict[Line, KeptJson] = unset()


class Service(BaseModel):
    """A service: an upstream."""

    id: str
    name: str
    description: str
    kind: str
    url: str | None
    command: list[str]
    status: str
    enabled: bool
    tools: int | None = Field(description="How many it offers, as far as that was seen.")
    last_error: str | None

    @classmethod
    def of(cls, one: Upstream) -> Service:
        same = ("id", "name", "description", "kind", "url", "command", "enabled", "last_error")
        told = {name: getattr(one, name) for name in same}
        return cls(**told, status=one.state, tools=one.discovered.get("tools"))


class ServiceEntry(BaseModel):
    """A service to be added: its name, and an entry as MCP clients write it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"name": "docs", "url": "https://example.com/mcp"}]},
    )

    name: Line = Field(min_length=1, max_length=200)


class Counted(BaseModel):
    """How much there is of something, and how much of it is on."""

    total: int
    enabled: int


class ServerStatus(BaseModel):
    """How everything does, as far as the caller's organization goes."""

    status: Literal["running", "no_gateway"] = Field(description="`no_gateway`: none was heard within a day.")
    groups: Counted
    tools: Counted
    services: Counted


class ServerInfo(BaseModel):
    """What speaks MCP here."""

    name: str
    version: str
    protocol_versions: list[str]
    transports: list[str]
    url: str = Field(description="The server `default`; of any other the code follows.")


Config = dict[str, Any]
