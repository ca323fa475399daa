"""Upstreams as the API takes and gives them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolyard.contract.snapshot import Isolation, UpstreamKind, UpstreamLimits
from toolyard.control.upstreams.model import TryRow, UpstreamRow, UpstreamStateRow
from toolyard.control.upstreams.rules import Finding, is_approved
from toolyard.control.upstreams.specs import gateway_id
from toolyard.kit.secret import Secret

_USUAL = UpstreamLimits()
Text = Annotated[str, Field(max_length=65_536)]
Values = dict[Annotated[str, Field(min_length=1, max_length=200)], Text]
State = Literal["unapproved", "disabled", "stopped", "pending", "ready", "failing", "unknown"]
TryState = Literal["pending", "ready", "failing", "expired"]


class Given(BaseModel):
    """The base of what callers send: nothing that is not asked for is taken."""

    model_config = ConfigDict(extra="forbid")


class Limits(Given):
    """What an upstream may send."""

    response_bytes: int = Field(default=_USUAL.response_bytes, ge=1024, le=1 << 30, description="Bytes of one answer.")
    event_bytes: int = Field(default=_USUAL.event_bytes, ge=1024, le=1 << 28, description="Bytes of one event or line.")
    notifications_per_second: int = Field(default=_USUAL.notifications_per_second, ge=1, le=100_000)


class Tasks(Given):
    """When calls become tasks, for callers that know tasks."""

    after_s: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="After so many seconds; 0: at once; null: never."
    )
    required: bool = Field(default=False, description="Refuse callers that do not know tasks.")


class Tls(Given):
    """How TLS is verified."""

    verify: bool = True
    ca_file: str | None = Field(
        default=None, max_length=4096, description="A file of authorities on the gateway's machine."
    )


class Fields(Given):
    """All that can be said of an upstream but its name."""

    description: str = Field("", max_length=2000)
    kind: UpstreamKind = Field("mcp-http", description="mcp-http finds out by itself what the server speaks.")
    url: str | None = Field(None, max_length=8192, examples=["https://example.com/mcp"])
    headers: Values = Field(
        {},
        description="Headers to send. A value is a secret and never shown again, unless it refers to credentials: "
        "`Bearer secret://github-token`.",
        examples=[{"Authorization": "Bearer secret://github-token"}],
    )
    command: list[Text] = Field([], description="For mcp-stdio: a program and its arguments. No shell reads them.")
    env: Values = Field({}, description="Variables of the program; values as those of headers.")
    cwd: str | None = Field(None, max_length=4096)
    enabled: bool = True
    timeout_s: float | None = Field(
        None, description="How long one call may take; null: as the setting `default_timeout_seconds` says."
    )
    isolation: Isolation = Field("per-principal", description="Who shares a session with a server that keeps sessions.")
    idle_s: float = Field(600.0, ge=1, le=86_400, description="How long a session lives that nobody uses.")
    max_connections: int = Field(100, ge=1, le=10_000)
    max_processes: int = Field(8, ge=1, le=1000)
    allow_networks: list[str] = Field(
        [], max_length=50, description="Private networks that the URL's name may lead to.", examples=[["10.1.0.0/16"]]
    )
    tls: Tls = Tls()
    limits: Limits = Limits()
    tasks: Tasks = Tasks()
    tags: list[str] = Field([], description="Tags of all its tools.")
    own_tags: bool = Field(default=False, description="Whether virtual servers may choose by tags it gives itself.")

    def columns(self) -> dict[str, Any]:
        """What was said, as columns of a row; values of headers and variables as secrets."""
        found: dict[str, Any] = {}
        for name in self.model_fields_set:
            found |= _column(name, getattr(self, name))
        return found


class NewUpstream(Fields):
    """An upstream to be registered."""

    name: str = Field(max_length=63, description="What its tools' names begin with.", examples=["github"])

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "github",
                    "url": "https://api.githubcopilot.com/mcp/",
                    "headers": {"Authorization": "Bearer secret://github-token"},
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _guess_kind(self) -> Self:
        if "kind" not in self.model_fields_set:
            over_websocket = (self.url or "").startswith(("ws:", "wss:"))
            self.kind = "websocket" if over_websocket else "mcp-stdio" if self.command and not self.url else "mcp-http"
        return self


class ChangedUpstream(Fields):
    """Fields to change; what is not said stays. `headers` and `env` are replaced as a whole: send a value back as it
    was shown to keep it."""


class FoundOut(BaseModel):
    """Something that was found when the configuration and what it depends on were looked at."""

    at: str = Field(examples=["command"])
    level: Literal["error", "warning"]
    message: str = Field(examples=["the program 'uvx' is not found on this machine"])

    @classmethod
    def of(cls, one: Finding) -> FoundOut:
        return cls(at=one.at, level=one.level, message=one.message)


class CheckResult(BaseModel):
    """Whether an upstream could be registered, and what was found."""

    ok: bool
    findings: list[FoundOut]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> CheckResult:
        found = [FoundOut.of(one) for one in findings]
        return cls(ok=all(one.level != "error" for one in found), findings=found)


class GatewayState(BaseModel):
    """How one gateway found an upstream."""

    gateway: str
    state: str
    since: dt.datetime
    told_at: dt.datetime
    error_code: str | None = None
    error: str | None = None
    failures: int = 0

    @classmethod
    def of(cls, row: UpstreamStateRow) -> GatewayState:
        names = ("gateway", "state", "since", "told_at", "error_code", "error", "failures")
        return cls(**{name: getattr(row, name) for name in names})


class Upstream(BaseModel):
    """An upstream, and how gateways found it. Values of headers and variables are never shown, only what stands for
    them."""

    id: str = Field(examples=["up_0k3v…"])
    name: str
    gateway_id: str = Field(description="What gateways, records and logs call it.")
    description: str
    kind: UpstreamKind
    url: str | None
    headers: dict[str, str]
    command: list[str]
    env: dict[str, str]
    cwd: str | None
    enabled: bool
    started: bool = Field(description="Whether it is to be running.")
    timeout_s: float | None
    isolation: Isolation
    idle_s: float
    max_connections: int
    max_processes: int
    allow_networks: list[str]
    tls: Tls
    limits: Limits
    tasks: Tasks
    tags: list[str]
    own_tags: bool
    approved: bool = Field(description="Whether its program, exactly as it is, may run. Always true without a program.")
    approved_by: str | None
    approved_at: dt.datetime | None
    restart_generation: int
    state: State = Field(description="`unknown`: no gateway has told of it for some minutes.")
    since: dt.datetime | None = Field(description="Since when it is in this state, as gateways tell.")
    last_error: str | None
    last_error_code: str | None
    discovered: dict[str, int] = Field(description="How many tools, resources, templates and prompts it offers.")
    gateways: list[GatewayState]
    owner: Literal["database", "file"] = Field(description="`file`: read-only here, described in the file at `line`.")
    file: str | None
    line: int | None
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime
    version: int
    findings: list[FoundOut] = Field([], description="Warnings, in answers to a registration or change.")

    @classmethod
    def of(
        cls,
        row: UpstreamRow,
        slug: str,
        states: Iterable[UpstreamStateRow],
        fresh: dt.datetime,
        findings: Iterable[Finding],
    ) -> Upstream:
        told = sorted(states, key=lambda one: one.told_at, reverse=True)
        state, shown = _state(row, told, fresh)
        failed = next((one for one in told if one.error), None) if state != "ready" else None
        plain = {name: getattr(row, name) for name in _PLAIN}
        return cls(
            **plain,
            gateway_id=gateway_id(slug, row.name),
            tls=Tls(verify=row.tls_verify, ca_file=row.tls_ca_file),
            limits=Limits(**row.limits),
            tasks=Tasks(after_s=row.task_after_s, required=row.task_required),
            approved=is_approved(row),
            state=state,
            since=shown.since if shown else None,
            last_error=failed.error if failed else None,
            last_error_code=failed.error_code if failed else None,
            discovered=next((one.counts for one in told if one.counts), {}),
            gateways=[GatewayState.of(one) for one in told],
            findings=[FoundOut.of(one) for one in findings],
        )


_MADE = frozenset({
    "gateway_id", "tls", "limits", "tasks", "approved", "state", "since", "last_error", "last_error_code", "discovered",
    "gateways", "findings",
})  # fmt: skip
_PLAIN = tuple(name for name in Upstream.model_fields if name not in _MADE)


def _column(name: str, value: Any) -> dict[str, Any]:
    if name == "tls":
        return {f"tls_{part}": getattr(value, part) for part in value.model_fields_set}
    if name == "tasks":
        return {f"task_{part}": getattr(value, part) for part in value.model_fields_set}
    if name == "limits":
        return {name: value.model_dump()}
    if name in ("headers", "env"):
        return {name: {key: Secret(text) for key, text in value.items()}}
    if name == "tags":
        return {name: sorted(set(value))}
    return {name: value}


def _state(row: UpstreamRow, told: list[UpstreamStateRow], fresh: dt.datetime) -> tuple[State, UpstreamStateRow | None]:
    if not is_approved(row):
        return "unapproved", None
    if not row.enabled:
        return "disabled", None
    if not row.started:
        return "stopped", None
    states: tuple[State, State] = ("ready", "failing")
    for state in states:
        for one in told:
            if one.state == state and one.told_at >= fresh:
                return state, one
    return ("unknown" if told and told[0].told_at < fresh else "pending"), None


class TryResult(BaseModel):
    """What came of a try."""

    id: str
    state: TryState = Field(description="`expired`: no gateway has answered in time.")
    error: str | None
    error_code: str | None
    found: dict[str, Any] = Field(description="What the upstream says of itself, and the names of what it offers.")
    expires_at: dt.datetime

    @classmethod
    def of(cls, row: TryRow, now: dt.datetime) -> TryResult:
        late = row.state == "pending" and row.expires_at <= now
        return cls(
            id=row.id,
            state="expired" if late else cast(TryState, row.state),
            error=row.error,
            error_code=row.error_code,
            found=row.found,
            expires_at=row.expires_at,
        )
