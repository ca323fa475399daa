"""All settings of the gateway itself: one table, and frozen sections made of it.

A setting is looked for in the environment (its variables in order, the first that is set wins), then in the file under
its key, then its default holds. `SETTINGS` is the only list; the reference in the documentation and `.env.example` are
made from it. One that names no variable has `TOOLYARD_<SECTION>_<NAME>`, so that each can come from the environment.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from toolyard.kit.database_url import DatabaseUrl, is_supported
from toolyard.kit.quantities import switch
from toolyard.kit.secret import Secret
from toolyard.setting_kinds import Kind, parse


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its `key` in the file, the environment variables that override it, its default as it would be
    written, and what it means."""

    key: str
    kind: Kind
    default: str
    meaning: str
    env: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.env:
            object.__setattr__(self, "env", (f"TOOLYARD_{self.key.upper().replace('.', '_')}",))

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def field(self) -> str:
        """The attribute in the section, with its unit."""
        name = self.key.partition(".")[2].replace(".", "_")
        return name + {"seconds": "_s", "bytes": "_bytes"}.get(self.kind, "")


SETTINGS: tuple[Setting, ...] = (
    Setting("app.name", "text", "Toolyard", "What this installation is called.", ("TOOLYARD_NAME",)),
    Setting("app.version", "text", "", "Its version, as its operators count; empty: the program's own."),
    Setting("app.environment", "text", "production", "What it is for: production, staging, development and so on.",
            ("TOOLYARD_ENVIRONMENT", "ENVIRONMENT")),
    Setting("app.debug", "switch", "false", "Whether everything is logged, as with `logging.level: debug`.",
            ("TOOLYARD_DEBUG", "DEBUG")),
    Setting("gateway.host", "text", "127.0.0.1", "Address to listen on.", ("TOOLYARD_HOST", "HOST")),
    Setting("gateway.port", "port", "8000", "Port to listen on; 0 takes a free one.", ("TOOLYARD_PORT", "PORT")),
    Setting("gateway.public_url", "url", "", "URL under which clients reach the gateway, if a proxy stands before it.",
            ("TOOLYARD_PUBLIC_URL",)),
    Setting("gateway.allowed_hosts", "list", "", "Further names that the Host header may have.",
            ("TOOLYARD_ALLOWED_HOSTS",)),
    Setting("gateway.allowed_origins", "list", "", "Web origins that browsers may call from.",
            ("TOOLYARD_ALLOWED_ORIGINS",)),
    Setting("gateway.trusted_proxies", "networks", "",
            "Networks whose X-Forwarded-For is believed; no other forwarding header is read.",
            ("TOOLYARD_TRUSTED_PROXIES",)),
    Setting("gateway.metrics_token", "secret", "",
            "Bearer token for /metrics, at least 16 characters, as `${NAME}` or `file:PATH`; once it is set, /metrics "
            "wants it. Without it, /metrics is read on the gateway's machine only.",
            ("TOOLYARD_METRICS_TOKEN",)),
    Setting("gateway.tls.cert", "path", "", "Certificate chain (PEM), to serve HTTPS directly.",
            ("TOOLYARD_TLS_CERT",)),
    Setting("gateway.tls.key", "path", "", "Private key of the certificate (PEM).", ("TOOLYARD_TLS_KEY",)),
    Setting("gateway.data_dir", "path", ".toolyard",
            "Directory for keys, journal, socket and logs; relative to the file.",
            ("TOOLYARD_DATA_DIR",)),
    Setting("gateway.workers", "workers", "1",
            "Processes that serve the port together, as one gateway; on a machine with several processors.",
            ("TOOLYARD_WORKERS",)),
    Setting("gateway.drain", "seconds", "10s", "How long calls may finish after SIGTERM.", ("TOOLYARD_DRAIN",)),
    Setting("control.enabled", "switch", "true",
            "Whether `toolyard up` runs the control plane beside the gateway; `toolyard gateway` never does.",
            ("TOOLYARD_CONTROL",)),
    Setting("control.registration", "switch", "false", "Whether people may make accounts for themselves."),
    Setting("control.access_token", "seconds", "10m", "How long an access token holds."),
    Setting("control.login_idle", "seconds", "30m", "Idle time after which a login ends."),
    Setting("control.login_max", "seconds", "12h", "Longest time that a login lasts."),
    Setting("control.reveal_keys", "switch", "false",
            "Whether an API key can be shown again after it was made; it is then kept, sealed."),
    Setting("control.aliases", "switch", "true",
            "Whether the founding documents' own paths work, such as /groups and /services."),
    Setting("control.vault_key", "keys", "",
            "Key that seals the secrets in the database: 64 hexadecimal digits, as `${NAME}` or `file:PATH`; older "
            "ones after it, separated by commas. Empty: `vault.key` in the data directory.",
            ("TOOLYARD_VAULT_KEY",)),
    Setting("control.vault_key_command", "command", "",
            "Program that writes this key to its standard output; no shell reads it.",
            ("TOOLYARD_VAULT_KEY_COMMAND",)),
    Setting("database.url", "database", "",
            "sqlite:///PATH (relative to the file) or postgresql://USER:PASSWORD@HOST/NAME, also as `${NAME}` or "
            "`file:PATH`. Empty: `toolyard.db` in the data directory.",
            ("TOOLYARD_DATABASE_URL", "DATABASE_URL")),
    Setting("database.pool_size", "count", "10", "Connections that each process keeps open."),
    Setting("database.echo", "switch", "false", "Whether every statement is logged."),
    Setting("database.replica_url", "database", "",
            "The same database elsewhere, kept equal by the database itself; heavy reads go there."),
    Setting("logging.level", "level", "info", "Least severe log entries to write: debug, info, warning or error.",
            ("TOOLYARD_LOG_LEVEL", "LOG_LEVEL")),
    Setting("logging.format", "log format", "auto", "console, json, or auto (console on a terminal).",
            ("TOOLYARD_LOG_FORMAT",)),
    Setting("logging.dir", "path", "", "Directory for log files; empty means `logs` in the data directory.",
            ("TOOLYARD_LOG_DIR", "LOG_DIR")),
    Setting("logging.max_file", "bytes", "10MiB", "Size at which a log file is rotated."),
    Setting("logging.files", "count", "5", "Rotated log files that are kept."),
    Setting("sessions.max", "count", "1000", "MCP sessions of older revisions in all.", ("MCP_MAX_SESSIONS",)),
    Setting("sessions.idle", "seconds", "3600s", "Idle time after which a session ends.", ("MCP_SESSION_TIMEOUT",)),
    Setting("sessions.per_principal", "count", "50", "Sessions that one principal may have."),
    Setting("tasks.running", "count", "256", "Tasks that run at once."),
    Setting("tasks.max", "count", "10000", "Tasks in all, running or kept with their results."),
    Setting("tasks.per_principal", "count", "1000", "Tasks of one principal, running or kept with their results."),
    Setting("tasks.ttl", "seconds", "1h", "How long a task may run, and how long its result is kept afterwards."),
    Setting("defaults.timeout", "seconds", "30s", "Time for one call where an upstream or tool says nothing else.",
            ("MCP_TIMEOUT",)),
    Setting("defaults.max_connections", "count", "100", "Connections to one upstream.", ("MCP_MAX_CONNECTIONS",)),
    Setting("limits.body", "bytes", "4MiB", "Largest request body."),
    Setting("limits.upload", "bytes", "64MiB", "Largest body of a request to the control plane."),
    Setting("limits.header_total", "bytes", "32KiB", "Largest sum of a request's headers."),
    Setting("limits.header_field", "bytes", "8KiB", "Largest single header."),
    Setting("limits.header_count", "count", "100", "Most headers in a request."),
    Setting("limits.header_read", "seconds", "10s", "Time for a request's headers to arrive."),
    Setting("limits.body_read", "seconds", "30s", "Time for a request's body to arrive."),
    Setting("limits.connections", "count", "2000", "Client connections at once."),
    Setting("limits.memory", "bytes", "0",
            "Memory of one gateway process; near it load is shed. 0: the container's limit, if there is one, shared by "
            "the workers."),
    Setting("limits.in_flight", "count", "512", "Calls at once."),
    Setting("limits.in_flight_per_server", "count", "64", "Calls at once on one virtual server."),
    Setting("limits.in_flight_per_upstream", "count", "32", "Calls at once to one upstream."),
    Setting("limits.in_flight_per_principal", "count", "64",
            "Calls at once of one principal (an API key); at an open server all callers together have the server's."),
    Setting("limits.processes", "count", "64", "Processes of all stdio upstreams together."),
    Setting("limits.queue_wait", "seconds", "250ms", "How long a call waits for a place before it is refused."),
    Setting("limits.parked", "count", "1000", "Calls at once that wait for answers of their callers."),
    Setting("limits.parked_per_principal", "count", "200", "Such calls of one principal."),
    Setting("limits.parked_for", "seconds", "600s", "How long such a call waits before it is given up."),
    Setting("limits.call_timeout", "seconds", "600s", "Longest time that any upstream or tool may be given."),
    Setting("limits.response", "bytes", "16MiB", "Largest answer of an upstream."),
    Setting("limits.event", "bytes", "4MiB", "Largest event of a stream, and line of a stdio upstream."),
    Setting("limits.stream_buffer", "bytes", "1MiB", "Most that waits for a slow reader."),
    Setting("limits.notifications_per_second", "count", "200", "Notifications that one call may emit in a second."),
    Setting("limits.subscriptions", "count", "200", "Open subscription streams in all."),
    Setting("limits.subscriptions_per_principal", "count", "10", "Open subscription streams of one principal."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What this installation is called and for."""

    name: str
    version: str
    environment: str
    debug: bool


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the gateway listens and whom it believes."""

    host: str
    port: int
    public_url: str | None
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    metrics_token: Secret | None
    tls_cert: Path | None
    tls_key: Path | None
    data_dir: Path
    workers: int
    drain_s: float


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Whether there is a control plane, who may enter it, and with what it seals secrets."""

    enabled: bool
    registration: bool
    access_token_s: float
    login_idle_s: float
    login_max_s: float
    reveal_keys: bool
    aliases: bool
    vault_key: Secret | None
    vault_key_command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the control plane keeps its rows."""

    url: DatabaseUrl
    pool_size: int
    echo: bool
    replica_url: DatabaseUrl | None


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """What is logged, how, and where to."""

    level: str
    format: str
    dir: Path | None
    max_file_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Sessions of clients that speak an older revision."""

    max: int
    idle_s: float
    per_principal: int


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """Tasks that calls of slow tools become."""

    running: int
    max: int
    per_principal: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class DefaultSettings:
    """What holds for an upstream that says nothing else."""

    timeout_s: float
    max_connections: int


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Limits on the wire and in the gateway."""

    body_bytes: int
    upload_bytes: int
    header_total_bytes: int
    header_field_bytes: int
    header_count: int
    header_read_s: float
    body_read_s: float
    connections: int
    memory_bytes: int
    in_flight: int
    in_flight_per_server: int
    in_flight_per_upstream: int
    in_flight_per_principal: int
    processes: int
    queue_wait_s: float
    parked: int
    parked_per_principal: int
    parked_for_s: float
    call_timeout_s: float
    response_bytes: int
    event_bytes: int
    stream_buffer_bytes: int
    notifications_per_second: int
    subscriptions: int
    subscriptions_per_principal: int


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections. Each part of the program receives only its own."""

    app: AppSettings
    gateway: GatewaySettings
    control: ControlSettings
    database: DatabaseSettings
    logging: LoggingSettings
    sessions: SessionSettings
    tasks: TaskSettings
    defaults: DefaultSettings
    limits: LimitSettings


Written = Callable[[Setting], str | None]
Complain = Callable[[Setting, str], None]


def make_settings(written: Written, complain: Complain, *, base: Path) -> Settings:
    """Settings from texts: `written(setting)` is what the environment or the file says, None for the default. A text
    that cannot be read goes to `complain` with the reason, and the default holds. Paths are relative to `base`."""
    values = {setting.key: _value(setting, written(setting), complain, base) for setting in SETTINGS}
    _settle_databases(values, complain)
    sections = {name: _section(cls, name, values) for name, cls in get_type_hints(Settings).items()}
    return Settings(**sections)


def from_environment(setting: Setting, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """(variable, text) of the first of the setting's variables that is set and not empty. A switch such as DEBUG that
    other programs read too may mean something else to them, and a DATABASE_URL may be of a kind that is not for us:
    these are passed over."""
    found = ((name, environ[name]) for name in setting.env if environ.get(name))
    return next((one for one in found if not _is_for_others(setting, *one)), None)


def default_settings(base: Path) -> Settings:
    """Every setting at its default."""
    return make_settings(lambda _setting: None, lambda _setting, _reason: None, base=base)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _settle_databases(values: dict[str, Any], complain: Complain) -> None:
    """The default lies in the data directory. A kind that is not supported matters to the control plane only: a
    DATABASE_URL in the environment may be meant for others."""
    kept = DatabaseUrl.of_file(values["gateway.data_dir"] / "toolyard.db")
    values["database.url"] = values["database.url"] or kept
    for setting in SETTINGS:
        url = values[setting.key] if setting.kind == "database" else None
        if url is not None and not url.supported and values["control.enabled"]:
            complain(setting, f"'{url.kind}' is not supported; take postgresql or sqlite")


def _is_for_others(setting: Setting, name: str, text: str) -> bool:
    if name.startswith("TOOLYARD_"):
        return False
    if setting.kind == "database":
        return not is_supported(text)
    try:
        return setting.kind == "switch" and switch(text) is None
    except ValueError:
        return True


def _value(setting: Setting, text: str | None, complain: Complain, base: Path) -> Any:
    if text is not None:
        try:
            return parse(setting.kind, text, base)
        except ValueError as error:
            complain(setting, str(error))
    return parse(setting.kind, setting.default, base)


def _section(cls: type[Any], name: str, values: Mapping[str, Any]) -> Any:
    mine = {setting.field: values[setting.key] for setting in SETTINGS if setting.section == name}
    return cls(**{field.name: mine[field.name] for field in fields(cls)})
