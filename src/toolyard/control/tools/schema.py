"""Tools, resources and prompts as the API takes and gives them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolyard.control.base.pages import PageQuery
from toolyard.control.base.problems import FieldProblem
from toolyard.control.base.texts import Line, unset
from toolyard.control.tools.model import ToolRow
from toolyard.control.tools.names import Kind, tags_in
from toolyard.control.tools.service import default_description

Name = Annotated[Line, Field(min_length=1, max_length=4096)]
Tag = Annotated[Line, Field(max_length=64)]


class Given(BaseModel):
    """The base of what callers send: nothing that is not asked for is taken."""

    model_config = ConfigDict(extra="forbid")


class ToolQuery(PageQuery):
    """Which tools are listed."""

    kind: Kind | None = Field(None, description="Without it all kinds are.")
    upstream: Line | None = Field(None, max_length=63, description="Only those of the upstream of this name or id.")
    enabled: bool | None = None
    category: Line | None = Field(None, max_length=100)
    tag: Line | None = Field(None, max_length=64, description="Whatever the case.")
    owner: Line | None = Field(None, max_length=40, description="The user whose they are.")
    gone: bool = Field(default=False, description="Those that their upstreams offer no more, instead of all others.")


class Tool(BaseModel):
    """A tool, resource, resource template or prompt of an upstream, and what is said of it here."""

    id: str = Field(examples=["to_0k3v…"])
    kind: Kind
    upstream: str = Field(description="The name of its upstream.", examples=["github"])
    upstream_id: str
    name: str = Field(description="What its upstream calls it; of a resource, its URI.", examples=["search_code"])
    title: str
    description: str
    enabled: bool
    timeout_s: float | None = Field(description="How long a call may take, if not as long as its upstream's.")
    category: str
    tags: list[str]
    owner: str | None = Field(description="The id of the user whose it is.")
    config_data: dict[str, Any] = Field(description="Settings of your own; nothing here reads them.")
    digest: str = Field(description="Of its definition: the same for the same content.")
    first_seen_at: dt.datetime
    changed_at: dt.datetime = Field(description="When its definition was last seen to be another one.")
    gone_at: dt.datetime | None = Field(description="Since when its upstream offers it no more.")
    updated_at: dt.datetime
    version: int

    @classmethod
    def of(cls, row: ToolRow, upstream: str) -> Tool:
        return cls(**_plain(row, upstream))


class ToolDetail(Tool):
    """A tool with its definition."""

    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    definition: dict[str, Any] = Field(description="As its upstream sent it.")

    @classmethod
    def with_definition(cls, row: ToolRow, upstream: str, content: dict[str, Any]) -> ToolDetail:
        schemas = [content.get(name) for name in ("inputSchema", "outputSchema")]
        given, made = [one if isinstance(one, dict) else None for one in schemas]
        return cls(**_plain(row, upstream), input_schema=given, output_schema=made, definition=content)


class ChangedTool(Given):
    """What to say of a tool; what is left out stays."""

    enabled: bool = unset()
    timeout_s: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="null: as long as its upstream's."
    )
    category: Line = unset(max_length=100)
    tags: list[Tag] = unset(description="Tags come to those of its upstream.")
    owner: Line | None = Field(default=None, max_length=40, description="The id of a user of the organization.")
    config_data: dict[Name, Any] = unset(description="Replaced as a whole.")

    def said(self) -> dict[str, Any]:
        """What was said, as columns."""
        found = self.model_dump(exclude_unset=True)
        if "config_data" in found:
            found["settings"] = found.pop("config_data")
        return found


class ChangeAnswer(Tool):
    """A tool as it is now."""

    effective_immediately: Literal[True] = Field(
        default=True, description="Calls that begin after this answer go by it, within a second on every gateway."
    )

    @classmethod
    def of(cls, row: ToolRow, upstream: str) -> ChangeAnswer:
        return cls(**_plain(row, upstream))


class BulkChange(Given):
    """One change of several tools."""

    ids: list[Line] = Field(min_length=1, max_length=500)
    change: ChangedTool


class Arguments(Given):
    """Arguments to check."""

    arguments: dict[str, Any] = Field(examples=[{"query": "toolyard"}])


class ArgumentsChecked(BaseModel):
    """Whether arguments fit a tool's schema."""

    valid: bool
    errors: list[FieldProblem]


class Category(BaseModel):
    """A category and how much is in it."""

    name: str = Field(description="Empty for what is in none.")
    count: int


class UpstreamCount(BaseModel):
    """How much an upstream offers."""

    upstream: str
    upstream_id: str
    count: int


class Stats(BaseModel):
    """How much there is."""

    total: int
    enabled: int
    disabled: int
    gone: int = Field(description="Not counted in the rest.")
    by_kind: dict[Kind, int]
    by_upstream: list[UpstreamCount]


class RefreshWanted(Given):
    """Which upstreams to look at again."""

    upstreams: list[Line] = Field(default=[], max_length=500, description="Their names; without any all that are on.")


class Refreshed(BaseModel):
    """An upstream that gateways look at again."""

    upstream: str
    restart_generation: int


class Said(Given):
    """What is said of one tool, to be taken elsewhere."""

    upstream: Line = Field(max_length=63)
    kind: Kind = "tool"
    name: Name
    enabled: bool = True
    timeout_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    category: Line = Field("", max_length=100)
    tags: list[Tag] = []
    config_data: dict[Name, Any] = {}

    @classmethod
    def of(cls, row: ToolRow, upstream: str) -> Said:
        return cls(
            upstream=upstream,
            kind=row.kind,  # type: ignore[arg-type]  # pydantic checks it
            name=row.name,
            enabled=row.enabled,
            timeout_s=row.timeout_s,
            category=row.category,
            tags=tags_in(row.tags),
            config_data=row.settings,
        )

    def columns(self) -> dict[str, Any]:
        """As columns of a row."""
        found = self.model_dump(exclude={"upstream", "kind", "name"})
        found["settings"] = found.pop("config_data")
        return found


class Exported(Given):
    """What is said of tools, for another place."""

    version: Literal[1] = 1
    tools: list[Said]


class ToImport(Exported):
    """What was exported elsewhere, or a part of it: so much can be taken in at once."""

    tools: list[Said] = Field(max_length=1000)


_SAME = (
    "id", "kind", "upstream_id", "name", "title", "enabled", "timeout_s", "category", "owner", "digest",
    "first_seen_at", "changed_at", "gone_at", "updated_at", "version",
)  # fmt: skip


def _plain(row: ToolRow, upstream: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _SAME} | {
        "upstream": upstream,
        "description": row.description or default_description(row, upstream),
        "tags": tags_in(row.tags),
        "config_data": row.settings,
    }
