"""All settings of the gateway itself: one table, and frozen sections made of it.

A setting is looked for in the environment (its variables in order, the first that is set wins), then in the file under
its key, then its default holds. `SETTINGS` is the only list; the reference in the documentation is made from it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints
from urllib.parse import urlsplit

from toolyard.kit.quantities import seconds, size_bytes, switch, whole_number
from toolyard.kit.secret import Secret

Kind = Literal[
    "text",
    "url",
    "path",
    "port",
    "workers",
    "count",
    "bytes",
    "seconds",
    "level",
    "log format",
    "list",
    "networks",
    "secret",
    "switch",
]
MIN_TOKEN_CHARACTERS = 16
MAX_WORKERS = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its `key` in the file, the environment variables that override it, its default as it would be
    written, and what it means."""

    key: str
    kind: Kind
    default: str
    meaning: str
    env: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def field(self) -> str:
        """The attribute in the section, with its unit."""
        name = self.key.partition(".")[2].replace(".", "_")
        return name + {"seconds": "_s", "bytes": "_bytes"}.get(self.kind, "")


SETTINGS: tuple[Setting, ...] = (
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
    Setting("control.enabled", "switch", "false",
            "Whether `toolyard up` runs the control plane beside the gateway; `toolyard gateway` never does.",
            ("TOOLYARD_CONTROL",)),
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
    """Whether there is a control plane."""

    enabled: bool


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

    gateway: GatewaySettings
    control: ControlSettings
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
    sections = {name: _section(cls, name, values) for name, cls in get_type_hints(Settings).items()}
    return Settings(**sections)


def from_environment(setting: Setting, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """(variable, text) of the first of the setting's variables that is set and not empty."""
    return next(((name, environ[name]) for name in setting.env if environ.get(name)), None)


def default_settings(base: Path) -> Settings:
    """Every setting at its default."""
    return make_settings(lambda _setting: None, lambda _setting, _reason: None, base=base)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _value(setting: Setting, text: str | None, complain: Complain, base: Path) -> Any:
    if text is not None:
        try:
            return _parse(setting.kind, text, base)
        except ValueError as error:
            complain(setting, str(error))
    return _parse(setting.kind, setting.default, base)


def _section(cls: type[Any], name: str, values: Mapping[str, Any]) -> Any:
    mine = {setting.field: values[setting.key] for setting in SETTINGS if setting.section == name}
    return cls(**{field.name: mine[field.name] for field in fields(cls)})


def _parse(kind: Kind, text: str, base: Path) -> Any:
    if kind == "path":
        return (base / Path(text).expanduser()).absolute() if text else None
    return _PARSERS[kind](text)


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        lowered = text.strip().lower()
        if lowered not in allowed:
            raise ValueError(f"'{text}' is not one of {', '.join(allowed)}")
        return lowered

    return parse


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _networks(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(part, strict=False)) for part in _list(text))


def _url(text: str) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"'{text}' is not a URL such as https://tools.example.com")
    return text.rstrip("/")


def _token(text: str) -> Secret | None:
    """A bearer token. The message never repeats it."""
    if not text:
        return None
    if len(text) < MIN_TOKEN_CHARACTERS:
        raise ValueError(f"must have at least {MIN_TOKEN_CHARACTERS} characters")
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", text):
        raise ValueError("contains a character that a bearer token cannot have; allowed: A-Z a-z 0-9 - . _ ~ + / =")
    return Secret(text)


def _positive_seconds(text: str) -> float:
    value = seconds(text)
    if value <= 0:
        raise ValueError(f"'{text}' must be more than nothing")
    return value


_PARSERS: dict[str, Callable[[str], Any]] = {
    "text": str.strip,
    "url": _url,
    "port": lambda text: whole_number(text, 0, 65535),
    "workers": lambda text: whole_number(text, 1, MAX_WORKERS),
    "count": lambda text: whole_number(text, 1, 10_000_000),
    "bytes": size_bytes,
    "seconds": _positive_seconds,
    "level": _one_of("debug", "info", "warning", "error"),
    "log format": _one_of("auto", "console", "json"),
    "list": _list,
    "networks": _networks,
    "secret": _token,
    "switch": switch,
}
