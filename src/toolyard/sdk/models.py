"""What the management API takes and answers, as types.

Made by docs/generate_sdk.py from the OpenAPI document. Change the routes, then run it again.
"""

from __future__ import annotations

import builtins
from typing import Any, Literal, NotRequired, TypedDict


class Account(TypedDict):
    """A person or service account, as its owner sees it."""

    id: str
    username: str
    email: NotRequired[str | None]
    full_name: NotRequired[str]
    enabled: NotRequired[bool]
    platform_admin: NotRequired[bool]
    is_service_account: NotRequired[bool]
    created_at: str
    last_login_at: NotRequired[str | None]


class AccountChange(TypedDict):
    """What shall be different."""

    email: NotRequired[str | None]
    full_name: NotRequired[str]
    enabled: NotRequired[bool]
    platform_admin: NotRequired[bool]


class AccountWithPlaces(TypedDict):
    """An account and where its owner belongs."""

    id: str
    username: str
    email: NotRequired[str | None]
    full_name: NotRequired[str]
    enabled: NotRequired[bool]
    platform_admin: NotRequired[bool]
    is_service_account: NotRequired[bool]
    created_at: str
    last_login_at: NotRequired[str | None]
    organizations: builtins.list[Place]


class Addresses(TypedDict):
    """The server's addresses, by what a client speaks."""

    streamable_http: str
    sse: str
    websocket: str
    stdio: builtins.list[str]


class Answer(TypedDict):
    """Whether they may."""

    allowed: bool


class Arguments(TypedDict):
    """Arguments to check."""

    arguments: dict[str, Any]


class ArgumentsChecked(TypedDict):
    """Whether arguments fit a tool's schema."""

    valid: bool
    errors: builtins.list[FieldProblem]


class BaseBulkResultBulkDone1(TypedDict):
    """A BaseBulkResultBulkDone1."""

    results: builtins.list[BaseItemResultBulkDone1]
    succeeded: int
    failed: int


class BaseBulkResultBulkDone2(TypedDict):
    """A BaseBulkResultBulkDone2."""

    results: builtins.list[BaseItemResultBulkDone2]
    succeeded: int
    failed: int


class BaseItemResultBulkDone1(TypedDict):
    """A BaseItemResultBulkDone1."""

    index: int
    ok: bool
    item: NotRequired[ServersBulkDone | None]
    problem: NotRequired[Problem | None]


class BaseItemResultBulkDone2(TypedDict):
    """A BaseItemResultBulkDone2."""

    index: int
    ok: bool
    item: NotRequired[KeysBulkDone | None]
    problem: NotRequired[Problem | None]


class Batch(TypedDict):
    """Several changes, each with its own result."""

    operations: builtins.list[Operation]


class BatchResult(TypedDict):
    """What became of each, and whether it holds at once."""

    results: builtins.list[ItemResultSetting]
    succeeded: int
    failed: int
    effective_immediately: NotRequired[bool]


class BulkKeys(TypedDict):
    """One thing to be done to several keys."""

    operation: Literal["enable", "disable", "revoke", "delete"]
    ids: builtins.list[str]


class BulkResultChangeAnswer(TypedDict):
    """A BulkResultChangeAnswer."""

    results: builtins.list[ItemResultChangeAnswer]
    succeeded: int
    failed: int


class BulkResultImportedUpstream(TypedDict):
    """A BulkResultImportedUpstream."""

    results: builtins.list[ItemResultImportedUpstream]
    succeeded: int
    failed: int


class BulkResultRefreshed(TypedDict):
    """A BulkResultRefreshed."""

    results: builtins.list[ItemResultRefreshed]
    succeeded: int
    failed: int


class BulkResultStr(TypedDict):
    """A BulkResultStr."""

    results: builtins.list[ItemResultStr]
    succeeded: int
    failed: int


class BulkResultTool(TypedDict):
    """A BulkResultTool."""

    results: builtins.list[ItemResultTool]
    succeeded: int
    failed: int


class BulkResultUpstream(TypedDict):
    """A BulkResultUpstream."""

    results: builtins.list[ItemResultUpstream]
    succeeded: int
    failed: int


class BulkServers(TypedDict):
    """One thing to be done to several virtual servers."""

    operation: Literal["enable", "disable", "delete"]
    ids: builtins.list[str]


class Category(TypedDict):
    """A category and how much is in it."""

    name: str
    count: int


class ChangeAnswer(TypedDict):
    """A tool as it is now."""

    id: str
    kind: Literal["tool", "resource", "template", "prompt"]
    upstream: str
    upstream_id: str
    name: str
    title: str
    description: str
    enabled: bool
    timeout_s: float | None
    category: str
    tags: builtins.list[str]
    owner: str | None
    config_data: dict[str, Any]
    digest: str
    first_seen_at: str
    changed_at: str
    gone_at: str | None
    updated_at: str
    version: int
    effective_immediately: NotRequired[Literal[True]]


class Changed(TypedDict):
    """The settings that were named, as they are now."""

    settings: builtins.list[Setting]
    effective_immediately: bool


class ChangedTool(TypedDict):
    """What to say of a tool; what is left out stays."""

    enabled: NotRequired[bool]
    timeout_s: NotRequired[float | None]
    category: NotRequired[str]
    tags: NotRequired[builtins.list[str]]
    owner: NotRequired[str | None]
    config_data: NotRequired[dict[str, Any]]


class ChangedUpstream(TypedDict):
    """Fields to change; what is not said stays. `headers` and `env` are replaced as a whole: send a value back as it
    was shown to keep it."""

    description: NotRequired[str]
    kind: NotRequired[Literal["mcp-http", "mcp-sse", "mcp-stdio", "websocket", "native"]]
    url: NotRequired[str | None]
    headers: NotRequired[dict[str, str]]
    command: NotRequired[builtins.list[str]]
    env: NotRequired[dict[str, str]]
    cwd: NotRequired[str | None]
    enabled: NotRequired[bool]
    timeout_s: NotRequired[float | None]
    isolation: NotRequired[Literal["shared", "per-principal", "per-session", "per-call", "per-handle"]]
    idle_s: NotRequired[float]
    max_connections: NotRequired[int]
    max_processes: NotRequired[int]
    allow_networks: NotRequired[builtins.list[str]]
    tls: NotRequired[Tls]
    limits: NotRequired[Limits]
    tasks: NotRequired[Tasks]
    tags: NotRequired[builtins.list[str]]
    own_tags: NotRequired[bool]


class CheckResult(TypedDict):
    """Whether an upstream could be registered, and what was found."""

    ok: bool
    findings: builtins.list[FoundOut]


class ClientSetting(TypedDict):
    """What one client's configuration needs."""

    client: str
    title: str
    file: str | None
    format: str
    text: str


class Command(TypedDict):
    """One line for a terminal."""

    client: str
    line: str


class Credential(TypedDict):
    """A credential without its value, which nobody can read."""

    name: str
    reference: str
    description: str
    last4: str
    used_by: builtins.list[str]
    upstream_id: str | None
    changes: int
    created_at: str
    updated_at: str


class Discovered(TypedDict):
    """One MCP server."""

    where: Literal["host", "client", "registry"]
    name: str
    url: str | None
    command: builtins.list[str]
    kind: str | None
    health: Literal["ready", "failing", "untried"]
    problem: str | None
    version: str | None
    revision: str | None
    took_ms: int | None
    upstream_id: NotRequired[str | None]
    not_configured: NotRequired[Problem | None]


class DiscoveryAnswer(TypedDict):
    """What was found."""

    found: builtins.list[Discovered]
    tried: int
    configured: int


class FieldProblem(TypedDict):
    """One value that cannot be taken: where it is and what is wrong with it. Never the value."""

    at: str
    message: str


class FoundOut(TypedDict):
    """Something that was found when the configuration and what it depends on were looked at."""

    at: str
    level: Literal["error", "warning"]
    message: str


class Gateway(TypedDict):
    """One gateway process, as it reported last."""

    name: str
    revision: int
    rejected: str | None
    first_seen_at: str
    last_seen_at: str


class GatewayList(TypedDict):
    """All gateways that were heard in the last day."""

    items: builtins.list[Gateway]
    published: int | None


class GatewayState(TypedDict):
    """How one gateway found an upstream."""

    gateway: str
    state: str
    since: str
    told_at: str
    error_code: NotRequired[str | None]
    error: NotRequired[str | None]
    failures: NotRequired[int]


class Grant(TypedDict):
    """A permission that was granted."""

    id: str
    user_id: str
    permission: str
    resource: str
    granted_by: str
    created_at: str


class IdentityRefreshWanted(TypedDict):
    """The refresh token of the last answer; it can be used once."""

    refresh_token: str


class ImportedUpstream(TypedDict):
    """One server of the document."""

    name: str
    upstream: Upstream | None
    findings: builtins.list[FoundOut]


class ImportersImport(TypedDict):
    """What another program wrote down of MCP servers."""

    document: dict[str, Any]
    values: NotRequired[dict[str, str]]
    dry_run: NotRequired[bool]


class IssuedKey(TypedDict):
    """A new API key, with the key itself: it is shown this once."""

    id: str
    server_id: str
    server: str
    name: str
    masked: str
    state: Literal["active", "retiring", "not_yet_valid", "disabled", "expired", "retired", "revoked"]
    enabled: bool
    scopes: builtins.list[str]
    tools: builtins.list[str]
    networks: builtins.list[str]
    rate: Rate | None
    not_before: str | None
    expires_at: str | None
    retires_at: str | None
    revoked_at: str | None
    replaced_by: str | None
    user_id: str | None
    can_be_revealed: bool
    last_used_at: str | None
    created_by: str
    created_at: str
    updated_at: str
    key: str


class ItemResultChangeAnswer(TypedDict):
    """A ItemResultChangeAnswer."""

    index: int
    ok: bool
    item: NotRequired[ChangeAnswer | None]
    problem: NotRequired[Problem | None]


class ItemResultImportedUpstream(TypedDict):
    """A ItemResultImportedUpstream."""

    index: int
    ok: bool
    item: NotRequired[ImportedUpstream | None]
    problem: NotRequired[Problem | None]


class ItemResultRefreshed(TypedDict):
    """A ItemResultRefreshed."""

    index: int
    ok: bool
    item: NotRequired[Refreshed | None]
    problem: NotRequired[Problem | None]


class ItemResultSetting(TypedDict):
    """A ItemResultSetting."""

    index: int
    ok: bool
    item: NotRequired[Setting | None]
    problem: NotRequired[Problem | None]


class ItemResultStr(TypedDict):
    """A ItemResultStr."""

    index: int
    ok: bool
    item: NotRequired[str | None]
    problem: NotRequired[Problem | None]


class ItemResultTool(TypedDict):
    """A ItemResultTool."""

    index: int
    ok: bool
    item: NotRequired[Tool | None]
    problem: NotRequired[Problem | None]


class ItemResultUpstream(TypedDict):
    """A ItemResultUpstream."""

    index: int
    ok: bool
    item: NotRequired[Upstream | None]
    problem: NotRequired[Problem | None]


JsonValue = Any


class Key(TypedDict):
    """An API key, without the key."""

    id: str
    server_id: str
    server: str
    name: str
    masked: str
    state: Literal["active", "retiring", "not_yet_valid", "disabled", "expired", "retired", "revoked"]
    enabled: bool
    scopes: builtins.list[str]
    tools: builtins.list[str]
    networks: builtins.list[str]
    rate: Rate | None
    not_before: str | None
    expires_at: str | None
    retires_at: str | None
    revoked_at: str | None
    replaced_by: str | None
    user_id: str | None
    can_be_revealed: bool
    last_used_at: str | None
    created_by: str
    created_at: str
    updated_at: str


class KeyChange(TypedDict):
    """What is to be different; fields that are left out stay."""

    name: NotRequired[str]
    scopes: NotRequired[
        builtins.list[
            Literal["complete", "prompts:get", "resources:read", "subscribe", "tasks", "tools:call", "tools:list"]
        ]
    ]
    tools: NotRequired[builtins.list[str]]
    networks: NotRequired[builtins.list[str]]
    rate: NotRequired[Rate | None]
    not_before: NotRequired[str | None]
    expires_at: NotRequired[str | None]
    enabled: NotRequired[bool]


class KeysBulkDone(TypedDict):
    """The key to which it was done."""

    id: str


class KnownPermission(TypedDict):
    """Something that can be allowed."""

    name: str
    description: str
    platform: bool


class Limits(TypedDict):
    """What an upstream may send."""

    response_bytes: NotRequired[int]
    event_bytes: NotRequired[int]
    notifications_per_second: NotRequired[int]


class ListedAccountWithPlaces(TypedDict):
    """A ListedAccountWithPlaces."""

    items: builtins.list[AccountWithPlaces]
    next_cursor: NotRequired[str | None]


class ListedCredential(TypedDict):
    """A ListedCredential."""

    items: builtins.list[Credential]
    next_cursor: NotRequired[str | None]


class ListedGrant(TypedDict):
    """A ListedGrant."""

    items: builtins.list[Grant]
    next_cursor: NotRequired[str | None]


class ListedKey(TypedDict):
    """A ListedKey."""

    items: builtins.list[Key]
    next_cursor: NotRequired[str | None]


class ListedOrganization(TypedDict):
    """A ListedOrganization."""

    items: builtins.list[Organization]
    next_cursor: NotRequired[str | None]


class ListedServer(TypedDict):
    """A ListedServer."""

    items: builtins.list[Server]
    next_cursor: NotRequired[str | None]


class ListedServiceAccount(TypedDict):
    """A ListedServiceAccount."""

    items: builtins.list[ServiceAccount]
    next_cursor: NotRequired[str | None]


class ListedSetting(TypedDict):
    """A ListedSetting."""

    items: builtins.list[Setting]
    next_cursor: NotRequired[str | None]


class ListedStoredFile(TypedDict):
    """A ListedStoredFile."""

    items: builtins.list[StoredFile]
    next_cursor: NotRequired[str | None]


class ListedTier(TypedDict):
    """A ListedTier."""

    items: builtins.list[Tier]
    next_cursor: NotRequired[str | None]


class ListedTool(TypedDict):
    """A ListedTool."""

    items: builtins.list[Tool]
    next_cursor: NotRequired[str | None]


class ListedUpstream(TypedDict):
    """A ListedUpstream."""

    items: builtins.list[Upstream]
    next_cursor: NotRequired[str | None]


class ListedUser(TypedDict):
    """A ListedUser."""

    items: builtins.list[User]
    next_cursor: NotRequired[str | None]


class Login(TypedDict):
    """One of the caller's logins."""

    id: str
    current: bool
    by_cookie: bool
    address: str
    agent: str
    created_at: str
    used_at: str
    expires_at: str


class LoginAnswer(TypedDict):
    """A login. By cookie there is no refresh token, but a token to be sent with each change as `toolyard-csrf`."""

    access_token: str
    token_type: NotRequired[str]
    expires_in: int
    organization_id: str
    refresh_token: NotRequired[str | None]
    csrf_token: NotRequired[str | None]
    user: Account


class LoginWanted(TypedDict):
    """User name or e-mail address, and the password."""

    username: NotRequired[str | None]
    email: NotRequired[str | None]
    password: str
    organization: NotRequired[str | None]


class LoginsEnded(TypedDict):
    """How many logins have ended."""

    ended: int


class Me(TypedDict):
    """Who is asking, and what they may do in the organization of the request."""

    id: str
    username: str
    kind: str
    user: NotRequired[Account | None]
    organization_id: str
    organizations: builtins.list[OwnOrganization]
    roles: builtins.list[str]
    tier: NotRequired[str | None]
    permissions: builtins.list[str]
    grants: builtins.list[builtins.list[str]]
    platform_admin: bool
    login_id: NotRequired[str | None]
    csrf_token: NotRequired[str | None]


class NewAccount(TypedDict):
    """An account, in no organization yet."""

    username: str
    email: NotRequired[str | None]
    full_name: NotRequired[str]
    password: NotRequired[str | None]
    platform_admin: NotRequired[bool]


class NewGrant(TypedDict):
    """A permission for a member beside their roles."""

    user_id: str
    permission: str
    resource: NotRequired[str]


class NewKey(TypedDict):
    """A key to be made. What is left out does not limit it."""

    name: NotRequired[str]
    scopes: NotRequired[
        builtins.list[
            Literal["complete", "prompts:get", "resources:read", "subscribe", "tasks", "tools:call", "tools:list"]
        ]
    ]
    tools: NotRequired[builtins.list[str]]
    networks: NotRequired[builtins.list[str]]
    rate: NotRequired[Rate | None]
    not_before: NotRequired[str | None]
    expires_at: NotRequired[str | None]
    user_id: NotRequired[str | None]


class NewMember(TypedDict):
    """Somebody with an account who shall belong to the organization too."""

    user: str
    roles: NotRequired[builtins.list[str]]
    tier: NotRequired[str | None]


class NewOrganization(TypedDict):
    """A tenant."""

    slug: str
    name: str
    description: NotRequired[str]


class NewPassword(TypedDict):
    """The password that somebody else shall have from now on."""

    password: str


class NewRole(TypedDict):
    """A role of the organization's own."""

    name: str
    description: NotRequired[str]
    permissions: builtins.list[str]


class NewSecret(TypedDict):
    """A secret for a service account."""

    name: str
    expires_at: NotRequired[str | None]


class NewServer(TypedDict):
    """A virtual server to be made. Without patterns and choices it offers nothing yet."""

    code: str
    title: NotRequired[str | None]
    description: NotRequired[str]
    instructions: NotRequired[str | None]
    names: NotRequired[Literal["prefixed", "plain"]]
    tools: NotRequired[builtins.list[str]]
    chosen: NotRequired[builtins.list[str]]
    prompts: NotRequired[builtins.list[str] | None]
    resources: NotRequired[builtins.list[str] | None]
    overrides: NotRequired[dict[str, ToolOverride]]
    roles: NotRequired[builtins.list[str]]
    tiers: NotRequired[builtins.list[str]]
    enabled: NotRequired[bool]
    per_key: NotRequired[Rate | None]
    per_server: NotRequired[Rate | None]


class NewServiceAccount(TypedDict):
    """A program that manages things or calls tools with a login of its own."""

    name: str
    description: NotRequired[str]
    roles: NotRequired[builtins.list[str]]
    tier: NotRequired[str | None]


class NewTier(TypedDict):
    """Limits that members have by the tier's name."""

    name: str
    description: NotRequired[str]
    per_minute: NotRequired[int | None]


class NewUpstream(TypedDict):
    """An upstream to be registered."""

    description: NotRequired[str]
    kind: NotRequired[Literal["mcp-http", "mcp-sse", "mcp-stdio", "websocket", "native"]]
    url: NotRequired[str | None]
    headers: NotRequired[dict[str, str]]
    command: NotRequired[builtins.list[str]]
    env: NotRequired[dict[str, str]]
    cwd: NotRequired[str | None]
    enabled: NotRequired[bool]
    timeout_s: NotRequired[float | None]
    isolation: NotRequired[Literal["shared", "per-principal", "per-session", "per-call", "per-handle"]]
    idle_s: NotRequired[float]
    max_connections: NotRequired[int]
    max_processes: NotRequired[int]
    allow_networks: NotRequired[builtins.list[str]]
    tls: NotRequired[Tls]
    limits: NotRequired[Limits]
    tasks: NotRequired[Tasks]
    tags: NotRequired[builtins.list[str]]
    own_tags: NotRequired[bool]
    name: str


class NewUser(TypedDict):
    """A person with a new account, who belongs to the organization."""

    username: str
    email: NotRequired[str | None]
    full_name: NotRequired[str]
    password: NotRequired[str | None]
    roles: NotRequired[builtins.list[str]]
    tier: NotRequired[str | None]


class OfferedTool(TypedDict):
    """A tool as a virtual server shows it."""

    name: str
    upstream: str
    tool: str
    title: str | None
    description: str | None
    input_schema: dict[str, Any]
    timeout_s: float


class OfferedTools(TypedDict):
    """One page of a server's tools, and what there is to know of the whole."""

    items: builtins.list[OfferedTool]
    next_cursor: NotRequired[str | None]
    total: int
    prompts: int
    resources: int
    switched_off: builtins.list[str]
    missing: builtins.list[str]
    unseen: builtins.list[str]
    collisions: builtins.list[str]


class Operation(TypedDict):
    """One of several changes."""

    operation: NotRequired[Literal["set", "reset"]]
    key: str
    value: NotRequired[JsonValue]


class Organization(TypedDict):
    """A tenant: it owns upstreams, servers, keys and people's roles."""

    id: str
    slug: str
    name: str
    description: NotRequired[str]
    enabled: NotRequired[bool]
    created_at: str


class OrganizationChange(TypedDict):
    """What shall be different. The slug stays: gateways know the organization by it."""

    name: NotRequired[str]
    description: NotRequired[str]
    enabled: NotRequired[bool]


class OwnOrganization(TypedDict):
    """An organization that one belongs to."""

    id: str
    slug: str
    name: str


class PasswordChange(TypedDict):
    """The password as it is, and as it shall be."""

    current_password: str
    new_password: str


class PasswordProof(TypedDict):
    """The caller's own password."""

    password: str


class PasswordProved(TypedDict):
    """Until when the proof counts for what needs a recent one."""

    fresh_until: str


class Place(TypedDict):
    """Where somebody belongs."""

    organization_id: str
    roles: builtins.list[str]
    tier: NotRequired[str | None]


class Preferences(TypedDict):
    """How one likes it: language, theme, anything that the console or a client keeps."""

    preferences: dict[str, Any]


class PreferencesChange(TypedDict):
    """Preferences to be merged; a null removes one."""

    preferences: dict[str, Any]


class Problem(TypedDict):
    """What went wrong, as RFC 9457 has it. `code` is stable; `title` is for people."""

    type: NotRequired[str]
    title: str
    status: int
    code: str
    detail: NotRequired[str | None]
    errors: NotRequired[builtins.list[FieldProblem] | None]
    request_id: NotRequired[str | None]


class Profile(TypedDict):
    """What one tells of oneself."""

    full_name: NotRequired[str]
    email: NotRequired[str | None]
    details: NotRequired[dict[str, Any]]


class ProfileChange(TypedDict):
    """What shall be different. `details` are merged; a null removes one."""

    full_name: NotRequired[str | None]
    email: NotRequired[str | None]
    details: NotRequired[dict[str, Any] | None]


class Question(TypedDict):
    """May this member do this?"""

    user_id: str
    action: str
    resource: NotRequired[str]


class Rate(TypedDict):
    """How often: `per_minute` calls refill evenly, `burst` of them may come at once."""

    per_minute: float
    burst: NotRequired[float | None]


class Refreshed(TypedDict):
    """An upstream that gateways look at again."""

    upstream: str
    restart_generation: int


class Registration(TypedDict):
    """A new account, made by its owner."""

    username: str
    email: str
    password: str
    full_name: NotRequired[str]


class ResetWanted(TypedDict):
    """What shall have its default again."""

    keys: NotRequired[builtins.list[str] | None]


class RevealedKey(TypedDict):
    """An API key, shown again."""

    id: str
    key: str


class Role(TypedDict):
    """What somebody with this role may do."""

    id: NotRequired[str | None]
    name: str
    description: NotRequired[str]
    permissions: builtins.list[str]
    built_in: NotRequired[bool]


class RoleChange(TypedDict):
    """What shall be different. A role's name stays, since members have it by name."""

    description: NotRequired[str]
    permissions: NotRequired[builtins.list[str]]


class RoleList(TypedDict):
    """All roles that members can have here."""

    items: builtins.list[Role]


class Rotation(TypedDict):
    """How a key is to be replaced."""

    grace_s: NotRequired[float]
    expires_at: NotRequired[str | None]


class Said(TypedDict):
    """What is said of one tool, to be taken elsewhere."""

    upstream: str
    kind: NotRequired[Literal["tool", "resource", "template", "prompt"]]
    name: str
    enabled: NotRequired[bool]
    timeout_s: NotRequired[float | None]
    category: NotRequired[str]
    tags: NotRequired[builtins.list[str]]
    config_data: NotRequired[dict[str, Any]]


class Search(TypedDict):
    """Where to look."""

    hosts: NotRequired[builtins.list[str]]
    loopback: NotRequired[bool]
    ports: NotRequired[builtins.list[int]]
    clients: NotRequired[bool]
    registry: NotRequired[str | None]
    q: NotRequired[str]
    configure: NotRequired[bool]


class SecretInfo(TypedDict):
    """A secret of a service account, without the secret."""

    id: str
    name: str
    last4: str
    expires_at: NotRequired[str | None]
    used_at: NotRequired[str | None]
    created_at: str


class SecretMade(TypedDict):
    """A new secret. This is the only time that it is shown."""

    id: str
    name: str
    last4: str
    expires_at: NotRequired[str | None]
    used_at: NotRequired[str | None]
    created_at: str
    client_secret: str


class Server(TypedDict):
    """A virtual server."""

    id: str
    code: str
    url: str
    title: str
    description: str
    instructions: str | None
    names: str
    tools: builtins.list[str]
    chosen: builtins.list[str]
    prompts: builtins.list[str] | None
    resources: builtins.list[str] | None
    overrides: dict[str, dict[str, JsonValue]]
    roles: builtins.list[str]
    tiers: builtins.list[str]
    access: str
    enabled: bool
    per_key: Rate | None
    per_server: Rate | None
    created_by: str
    created_at: str
    updated_at: str
    owner: str
    file: str | None
    line: int | None


class ServerChange(TypedDict):
    """What is to be different; fields that are left out stay. The code never changes."""

    title: NotRequired[str]
    description: NotRequired[str]
    instructions: NotRequired[str | None]
    names: NotRequired[Literal["prefixed", "plain"]]
    tools: NotRequired[builtins.list[str]]
    chosen: NotRequired[builtins.list[str]]
    prompts: NotRequired[builtins.list[str] | None]
    resources: NotRequired[builtins.list[str] | None]
    overrides: NotRequired[dict[str, ToolOverride]]
    roles: NotRequired[builtins.list[str]]
    tiers: NotRequired[builtins.list[str]]
    enabled: NotRequired[bool]
    per_key: NotRequired[Rate | None]
    per_server: NotRequired[Rate | None]


class ServerConnection(TypedDict):
    """How to connect clients to a virtual server. `YOUR-KEY` stands where a key of the server goes."""

    url: str
    needs_key: bool
    header: str | None
    addresses: Addresses
    clients: builtins.list[ClientSetting]
    commands: builtins.list[Command]


class ServersBulkDone(TypedDict):
    """The server to which it was done."""

    id: str
    code: str


class ServiceAccount(TypedDict):
    """A program's account."""

    id: str
    name: str
    description: str
    enabled: bool
    roles: builtins.list[str]
    tier: NotRequired[str | None]
    created_at: str


class ServiceAccountChange(TypedDict):
    """What shall be different."""

    description: NotRequired[str]
    enabled: NotRequired[bool]
    roles: NotRequired[builtins.list[str]]
    tier: NotRequired[str | None]


class ServiceTokenWanted(TypedDict):
    """The id and the secret of a service account's secret."""

    client_id: str
    client_secret: str


class Setting(TypedDict):
    """A setting as it is now. `source`: who said the value that holds."""

    key: str
    value: Any
    default: Any
    source: Literal["organization", "platform", "default"]
    kind: Literal["switch", "seconds", "value"]
    about: str
    of_platform: bool
    changed_at: str | None
    changed_by: str | None
    effective_immediately: bool


class SettingsExported(TypedDict):
    """Everything that was changed, to be taken in elsewhere."""

    format: NotRequired[Literal["toolyard-settings-1"]]
    settings: dict[str, JsonValue]


class SettingsImport(TypedDict):
    """Settings from an export. `replace`: what is not in it has its default again."""

    format: NotRequired[Literal["toolyard-settings-1"]]
    settings: dict[str, JsonValue]
    replace: NotRequired[bool]


class SettingsNewValue(TypedDict):
    """The value that a setting shall have."""

    value: JsonValue


class Setup(TypedDict):
    """The first administrator. `token` is in the set-up link that was printed at the start."""

    token: str
    username: str
    password: str
    email: NotRequired[str | None]


class SetupState(TypedDict):
    """Whether the first administrator has still to be made."""

    needed: bool


class SigningState(TypedDict):
    """The ids of the keys that sign and verify access tokens."""

    current: str
    verifying: builtins.list[str]


class Stats(TypedDict):
    """How much there is."""

    total: int
    enabled: int
    disabled: int
    gone: int
    by_kind: dict[str, int]
    by_upstream: builtins.list[UpstreamCount]


class StoredFile(TypedDict):
    """An uploaded file, without its content."""

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    description: str
    uploaded_by: str
    created_at: str
    url: str


class SwitchState(TypedDict):
    """Whether something is on."""

    key: str
    on: bool


class Tasks(TypedDict):
    """When calls become tasks, for callers that know tasks."""

    after_s: NotRequired[float | None]
    required: NotRequired[bool]


class Tier(TypedDict):
    """A tier."""

    name: str
    description: NotRequired[str]
    per_minute: NotRequired[int | None]
    id: str


class TierChange(TypedDict):
    """What shall be different. A tier's name stays, since members have it by name."""

    description: NotRequired[str]
    per_minute: NotRequired[int | None]


class Tls(TypedDict):
    """How TLS is verified."""

    verify: NotRequired[bool]
    ca_file: NotRequired[str | None]


class ToImport(TypedDict):
    """What was exported elsewhere, or a part of it: so much can be taken in at once."""

    version: NotRequired[Literal[1]]
    tools: builtins.list[Said]


class TokenAnswer(TypedDict):
    """An access token: send it as `Authorization: Bearer …`."""

    access_token: str
    token_type: NotRequired[str]
    expires_in: int
    organization_id: str


class TokenWanted(TypedDict):
    """For which organization."""

    organization: NotRequired[str | None]


class Tool(TypedDict):
    """A tool, resource, resource template or prompt of an upstream, and what is said of it here."""

    id: str
    kind: Literal["tool", "resource", "template", "prompt"]
    upstream: str
    upstream_id: str
    name: str
    title: str
    description: str
    enabled: bool
    timeout_s: float | None
    category: str
    tags: builtins.list[str]
    owner: str | None
    config_data: dict[str, Any]
    digest: str
    first_seen_at: str
    changed_at: str
    gone_at: str | None
    updated_at: str
    version: int


class ToolDetail(TypedDict):
    """A tool with its definition."""

    id: str
    kind: Literal["tool", "resource", "template", "prompt"]
    upstream: str
    upstream_id: str
    name: str
    title: str
    description: str
    enabled: bool
    timeout_s: float | None
    category: str
    tags: builtins.list[str]
    owner: str | None
    config_data: dict[str, Any]
    digest: str
    first_seen_at: str
    changed_at: str
    gone_at: str | None
    updated_at: str
    version: int
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    definition: dict[str, Any]


class ToolOverride(TypedDict):
    """How this server shows one tool; what is left out is as it is elsewhere."""

    name: NotRequired[str | None]
    title: NotRequired[str | None]
    description: NotRequired[str | None]
    annotations: NotRequired[dict[str, JsonValue] | None]
    enabled: NotRequired[bool | None]
    timeout_s: NotRequired[float | None]


class ToolsBulkChange(TypedDict):
    """One change of several tools."""

    ids: builtins.list[str]
    change: ChangedTool


class ToolsExported(TypedDict):
    """What is said of tools, for another place."""

    version: NotRequired[Literal[1]]
    tools: builtins.list[Said]


class ToolsRefreshWanted(TypedDict):
    """Which upstreams to look at again."""

    upstreams: NotRequired[builtins.list[str]]


class TryResult(TypedDict):
    """What came of a try."""

    id: str
    state: Literal["pending", "ready", "failing", "expired"]
    error: str | None
    error_code: str | None
    found: dict[str, Any]
    expires_at: str


class Upstream(TypedDict):
    """An upstream, and how gateways found it. Values of headers and variables are never shown, only what stands for
    them."""

    id: str
    name: str
    gateway_id: str
    description: str
    kind: Literal["mcp-http", "mcp-sse", "mcp-stdio", "websocket", "native"]
    url: str | None
    headers: dict[str, str]
    command: builtins.list[str]
    env: dict[str, str]
    cwd: str | None
    enabled: bool
    started: bool
    timeout_s: float | None
    isolation: Literal["shared", "per-principal", "per-session", "per-call", "per-handle"]
    idle_s: float
    max_connections: int
    max_processes: int
    allow_networks: builtins.list[str]
    tls: Tls
    limits: Limits
    tasks: Tasks
    tags: builtins.list[str]
    own_tags: bool
    approved: bool
    approved_by: str | None
    approved_at: str | None
    restart_generation: int
    state: Literal["unapproved", "disabled", "stopped", "pending", "ready", "failing", "unknown"]
    since: str | None
    last_error: str | None
    last_error_code: str | None
    discovered: dict[str, int]
    gateways: builtins.list[GatewayState]
    owner: Literal["database", "file"]
    file: str | None
    line: int | None
    created_by: str
    created_at: str
    updated_at: str
    version: int
    findings: NotRequired[builtins.list[FoundOut]]


class UpstreamCount(TypedDict):
    """How much an upstream offers."""

    upstream: str
    upstream_id: str
    count: int


class UpstreamLog(TypedDict):
    """The last lines that an upstream wrote, as one gateway told."""

    gateway: str
    lines: builtins.list[str]


class UpstreamsBulkChange(TypedDict):
    """A change of one of several upstreams."""

    id: str
    change: ChangedUpstream


class UpstreamsNewValue(TypedDict):
    """What a credential is to be."""

    value: str
    description: NotRequired[str | None]


class User(TypedDict):
    """A person in the organization."""

    id: str
    username: str
    email: NotRequired[str | None]
    full_name: NotRequired[str]
    enabled: NotRequired[bool]
    platform_admin: NotRequired[bool]
    is_service_account: NotRequired[bool]
    created_at: str
    last_login_at: NotRequired[str | None]
    roles: builtins.list[str]
    tier: NotRequired[str | None]
    managed_here: bool


class UserChange(TypedDict):
    """What shall be different: the place in the organization, and the account itself where it is managed here."""

    email: NotRequired[str | None]
    full_name: NotRequired[str]
    enabled: NotRequired[bool]
    roles: NotRequired[builtins.list[str]]
    tier: NotRequired[str | None]
