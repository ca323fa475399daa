"""The snapshot: all a gateway may know. Intent, compiled and immutable, with a revision.

Only `gateway/feed/file` (and later the publisher) make snapshots. Everything here is frozen; a change is a new
snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from toolyard.kit.secret import Secret

UpstreamKind = Literal["mcp-http", "mcp-sse", "mcp-stdio", "websocket", "native"]
Naming = Literal["prefixed", "plain"]
Access = Literal["key", "open"]
DEFAULT_ORGANIZATION: Final = "default"
Isolation = Literal["shared", "per-principal", "per-session", "per-call", "per-handle"]


@dataclass(frozen=True, slots=True)
class TaskRule:
    """When a call becomes a task, for callers that know tasks: after so many seconds, 0 for at once, None for never.
    `required`: callers that do not know tasks are refused."""

    after_s: float | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class ToolRule:
    """What the operator says about one tool of an upstream: on or off, its own time limit in seconds, and when its
    calls become tasks; None is what the upstream has. `tags` come to those of the upstream."""

    enabled: bool = True
    timeout_s: float | None = None
    task: TaskRule | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What an upstream may send: bytes of one answer, bytes of one event or line, notifications a second for one
    call."""

    response_bytes: int = 16 * 1024 * 1024
    event_bytes: int = 4 * 1024 * 1024
    notifications_per_second: int = 200


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """One upstream as configured. `kind` "mcp-http" probes the era; "native" names a built-in in `command[0]`.
    `isolation` says who shares a session of a legacy upstream, and `idle_s` how long one lives that nobody uses.
    `tags` are those of all its tools; `own_tags`: patterns also go by the tags that it gives itself. `namespace` is
    what keeps its names apart from other upstreams' of its organization; without one its id does. With each
    `restart_generation` it is opened anew."""

    id: str
    kind: UpstreamKind
    url: str | None = None
    headers: tuple[tuple[str, Secret], ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, Secret], ...] = ()
    cwd: str | None = None
    enabled: bool = True
    timeout_s: float = 30.0
    isolation: Isolation = "per-principal"
    idle_s: float = 600.0
    max_processes: int = 8
    max_connections: int = 100
    allow_networks: tuple[str, ...] = ()
    tls_verify: bool = True
    tls_ca_file: str | None = None
    limits: UpstreamLimits = UpstreamLimits()
    tasks: TaskRule = TaskRule()
    tools: Mapping[str, ToolRule] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    own_tags: bool = False
    organization: str = DEFAULT_ORGANIZATION
    namespace: str | None = None
    restart_generation: int = 0

    @property
    def prefix(self) -> str:
        """The namespace of its names: what patterns call it, and what prefixed names begin with."""
        return self.id if self.namespace is None else self.namespace


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: `per_minute` calls refill evenly, `burst` may come at once."""

    per_minute: float
    burst: float


@dataclass(frozen=True, slots=True)
class Override:
    """How one virtual server shows one tool: None is as it is elsewhere. `name` is the exposed name, if it is free;
    `annotations` are added to the tool's own. `enabled`: what is off at its upstream stays off."""

    name: str | None = None
    title: str | None = None
    description: str | None = None
    annotations: Mapping[str, Any] | None = None
    enabled: bool | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One virtual server: which tools it offers at `/mcp/{code}`, under which names, to whom.

    It takes in upstreams of its own organization only, and `tools` name their namespaces. `overrides` are by
    "namespace/tool". `prompts` and `resources` choose as `namespace/name` and `namespace/uri` globs; None: those of all
    upstreams whose tools are offered. `roles` and `tiers`: who of the organization's people may use it; none: all."""

    code: str
    tools: tuple[str, ...] = ("*",)
    names: Naming = "prefixed"
    access: Access = "key"
    enabled: bool = True
    title: str | None = None
    instructions: str | None = None
    per_key: RateLimit | None = None
    per_server: RateLimit | None = None
    organization: str = DEFAULT_ORGANIZATION
    overrides: Mapping[str, Override] = field(default_factory=dict)
    resources: tuple[str, ...] | None = None
    prompts: tuple[str, ...] | None = None
    roles: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as stored: never the key itself. Times are seconds since 1970. `retires_at`: end of a rotation's
    grace. `scopes` and `tools` (exposed names or "namespace/tool", as globs) say what it may do, none: everything;
    `networks` where it may come from, none: anywhere. `per_minute` stands in the place of its server's `per_key`."""

    id: str
    server: str
    digest: str
    pepper_version: int
    name: str = ""
    created_at: float = 0.0
    expires_at: float | None = None
    not_before: float | None = None
    disabled: bool = False
    retires_at: float | None = None
    last4: str = ""
    organization: str = DEFAULT_ORGANIZATION
    scopes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    per_minute: RateLimit | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a gateway needs to serve, at one revision. `digest` is the same for the same content. `verify_keys`
    are the Ed25519 public keys (base64) of access tokens by their ids; `revoked` are ids of tokens, users and logins
    that are good no more."""

    revision: int
    digest: str
    upstreams: Mapping[str, UpstreamSpec]
    servers: Mapping[str, ServerSpec]
    keys: Mapping[str, KeyRecord]
    verify_keys: Mapping[str, str] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()
