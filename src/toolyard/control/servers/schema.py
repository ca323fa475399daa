"""What the API takes and gives of virtual servers."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator

from toolyard.contract.bindings import Binding
from toolyard.contract.pattern_form import tool_pattern_problem
from toolyard.contract.server_codes import server_code_problem, server_path
from toolyard.control.base.bulk import MAX_ITEMS
from toolyard.control.base.pages import MAX_LIMIT, Listed, PageQuery
from toolyard.control.base.texts import KeptJson, Line, Prose, unset
from toolyard.control.servers.model import ServerRow

MAX_PATTERNS = 1000
MAX_OVERRIDES = 5000


def _code(text: str) -> str:
    problem = server_code_problem(text)
    if problem:
        raise ValueError(problem)
    return text


def _tool_patterns(patterns: list[str]) -> list[str]:
    problem = next((found for one in patterns if (found := tool_pattern_problem(one))), None)
    if problem:
        raise ValueError(problem)
    if patterns and all(one.startswith("!") for one in patterns):
        raise ValueError('this only leaves tools out; say first what the server offers, such as "*"')
    return patterns


def _glob(text: str) -> str:
    if text != "*" and not all(text.removeprefix("!").partition("/")):
        raise ValueError(
            f"'{text}' is no pattern: write upstream/name, upstream/* or *, or !upstream/name to leave out"
        )
    return text


def _member(text: str) -> str:
    if not all(text.partition("/")):
        raise ValueError(f"'{text}' is no tool of an upstream: write upstream/tool")
    return text


Code = Annotated[str, AfterValidator(_code), Field(examples=["team-a"])]
Title = Annotated[Line, Field(min_length=1, max_length=200)]
Pattern = Annotated[Line, Field(min_length=1, max_length=500)]
ToolPatterns = Annotated[list[Pattern], Field(max_length=MAX_PATTERNS), AfterValidator(_tool_patterns)]
Globs = Annotated[list[Annotated[Pattern, AfterValidator(_glob)]], Field(max_length=MAX_PATTERNS)]
Member = Annotated[Line, Field(min_length=3, max_length=500), AfterValidator(_member)]
Members = Annotated[list[Member], Field(max_length=MAX_PATTERNS)]
Names = Annotated[list[Annotated[Line, Field(min_length=1, max_length=60)]], Field(max_length=100)]
Naming = Literal["prefixed", "plain"]


class Rate(BaseModel):
    """How often: `per_minute` calls refill evenly, `burst` of them may come at once."""

    model_config = ConfigDict(extra="forbid")

    per_minute: float = Field(gt=0, le=1e9, examples=[600])
    burst: float | None = Field(None, ge=1, le=1e9, description="As many as in a minute, unless it is said.")

    def stored(self) -> dict[str, float]:
        """As it is kept."""
        return {"per_minute": self.per_minute, "burst": max(1.0, self.burst or self.per_minute)}


class ToolOverride(BaseModel):
    """How this server shows one tool; what is left out is as it is elsewhere."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,128}$", description="Its name here, if it is free.")
    title: Title | None = None
    description: Prose | None = Field(None, max_length=20_000)
    annotations: dict[Line, KeptJson] | None = Field(None, description="Added to the tool's own annotations.")
    enabled: bool | None = Field(None, description="false: not at this server.")
    timeout_s: float | None = Field(None, gt=0, le=600)


Overrides = Annotated[dict[Member, ToolOverride], Field(max_length=MAX_OVERRIDES)]


class NewServer(BaseModel):
    """A virtual server to be made. Without patterns and choices it offers nothing yet."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"code": "team-a", "title": "Team A", "tools": ["docs/*", "!docs/delete"]}]},
    )

    code: Code
    title: Title | None = Field(None, description="Unique in the organization; the code unless it is said.")
    description: Prose = Field("", max_length=2000)
    instructions: Prose | None = Field(None, max_length=20_000, description="What clients are told about the server.")
    names: Naming = Field("prefixed", description="Whether tools are called upstream__tool or just tool.")
    tools: ToolPatterns = Field(default_factory=list, examples=[["docs/*", "tag:safe", "!docs/delete"]])
    chosen: Members = Field(default_factory=list, description="Tools that were chosen one by one, as upstream/tool.")
    prompts: Globs | None = Field(None, description="null: those of the upstreams whose tools are offered.")
    resources: Globs | None = Field(None, description="null: those of the upstreams whose tools are offered.")
    overrides: Overrides = Field(default_factory=dict, description="By upstream/tool.")
    roles: Names = Field(default_factory=list, description="Which of the organization's people may use it; none: all.")
    tiers: Names = Field(default_factory=list, description="People of which tiers may use it; none: all.")
    enabled: bool = True
    per_key: Rate | None = Field(None, description="How often each key may call.")
    per_server: Rate | None = Field(None, description="How often all callers together may call.")


class ServerChange(BaseModel):
    """What is to be different; fields that are left out stay. The code never changes."""

    model_config = ConfigDict(extra="forbid")

    title: Title = unset()
    description: Prose = unset(max_length=2000)
    instructions: Prose | None = unset(max_length=20_000)
    names: Naming = unset()
    tools: ToolPatterns = unset()
    chosen: Members = unset()
    prompts: Globs | None = unset()
    resources: Globs | None = unset()
    overrides: Overrides = unset()
    roles: Names = unset()
    tiers: Names = unset()
    enabled: bool = unset()
    per_key: Rate | None = unset()
    per_server: Rate | None = unset()


class Server(BaseModel):
    """A virtual server."""

    id: str = Field(examples=["sv_01jd3q"])
    code: str
    url: str = Field(examples=["https://tools.example.com/mcp/team-a"])
    title: str
    description: str
    instructions: str | None
    names: str
    tools: list[str]
    chosen: list[str]
    prompts: list[str] | None
    resources: list[str] | None
    overrides: dict[str, dict[str, JsonValue]]
    roles: list[str]
    tiers: list[str]
    access: str = Field(
        description="`key`, or `open` for anybody on the gateway's machine, which only its file can say."
    )
    enabled: bool
    per_key: Rate | None
    per_server: Rate | None
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime
    owner: str = Field(description="`file` if the configuration file describes it: then it can only be changed there.")
    file: str | None
    line: int | None

    @classmethod
    def of(cls, row: ServerRow, public_url: str) -> Server:
        """As a row has it."""
        return cls.model_validate(
            {**{name: getattr(row, name) for name in cls.model_fields if name != "url"}, "url": url_of(row, public_url)}
        )


def url_of(row: ServerRow, public_url: str) -> str:
    """Where clients reach a server."""
    return public_url.rstrip("/") + server_path(row.code)


class ServersQuery(PageQuery):
    """Which virtual servers are wanted."""

    enabled: bool | None = Field(None, description="Only those that are on, or off.")
    owner: Literal["database", "file"] | None = None
    code: str | None = Field(None, max_length=63, description="Only the one with this code.")


class ToolsQuery(BaseModel):
    """Which of a server's tools are wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=MAX_LIMIT, description="How many at most.")
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before.")
    q: str = Field("", max_length=200, description="Only those with this text in a name or the description.")


class OfferedTool(BaseModel):
    """A tool as a virtual server shows it."""

    name: str = Field(description="What clients call it here.", examples=["docs__search"])
    upstream: str = Field(examples=["docs"])
    tool: str = Field(description="What its upstream calls it.", examples=["search"])
    title: str | None
    description: str | None
    input_schema: dict[str, Any]
    timeout_s: float

    @classmethod
    def of(cls, binding: Binding) -> OfferedTool:
        """As it is exposed."""
        shown = binding.definition
        return cls(
            name=binding.exposed_name,
            upstream=binding.namespace,
            tool=binding.upstream_name,
            title=_text(shown.get("title")),
            description=_text(shown.get("description")),
            input_schema=shown["inputSchema"] if isinstance(shown.get("inputSchema"), dict) else {},
            timeout_s=binding.timeout_s,
        )


class OfferedTools(Listed[OfferedTool]):
    """One page of a server's tools, and what there is to know of the whole."""

    total: int = Field(description="How many tools were found, on all pages.")
    prompts: int = Field(description="How many prompts the server offers.")
    resources: int = Field(description="How many resources and resource templates the server offers.")
    switched_off: list[str] = Field(description="Tools that would be here, but are off; by their names here.")
    missing: list[str] = Field(description="Patterns that name no upstream, and chosen tools that are not there.")
    unseen: list[str] = Field(description="Upstreams whose tools no gateway has seen yet.")
    collisions: list[str] = Field(description="Tools that have another name than the one they were to have.")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


class BulkServers(BaseModel):
    """One thing to be done to several virtual servers."""

    model_config = ConfigDict(extra="forbid")

    operation: Literal["enable", "disable", "delete"]
    ids: list[Annotated[str, Field(max_length=100)]] = Field(min_length=1, max_length=MAX_ITEMS)

    @field_validator("ids")
    @classmethod
    def _each_once(cls, ids: list[str]) -> list[str]:
        if len(set(ids)) != len(ids):
            raise ValueError("each server can be named once")
        return ids


class BulkDone(BaseModel):
    """The server to which it was done."""

    id: str
    code: str


def stored(given: BaseModel, **options: Any) -> dict[str, Any]:
    """The fields of a creation or change as they are kept in a row."""
    kept: dict[str, Any] = given.model_dump(**options)
    for name in ("per_key", "per_server"):
        rate = getattr(given, name)
        if name in kept and isinstance(rate, Rate):
            kept[name] = rate.stored()
    overrides = getattr(given, "overrides", None)
    if "overrides" in kept and overrides is not None:
        kept["overrides"] = {member: one.model_dump(exclude_none=True) for member, one in overrides.items()}
    return kept
