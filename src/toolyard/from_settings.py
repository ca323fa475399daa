"""What the parts of a gateway are given, as its settings say."""

from __future__ import annotations

import ssl
from typing import Literal

from toolyard.gateway.assembly import Bounds
from toolyard.gateway.events import StreamLimits
from toolyard.gateway.framing import WireLimits
from toolyard.gateway.interceptors.in_flight import InFlightLimits
from toolyard.gateway.overload import OverloadLimits, container_limit
from toolyard.gateway.parking import ParkingLimits
from toolyard.gateway.sessions import SessionLimits
from toolyard.gateway.tasks.tasks import TaskLimits
from toolyard.kit.logs import LogSettings, configure
from toolyard.settings import Settings, is_loopback


def bounds_of(settings: Settings) -> Bounds:
    """The gateway's bounds as the settings say."""
    limits = settings.limits
    return Bounds(
        in_flight=InFlightLimits(
            process=limits.in_flight,
            server=limits.in_flight_per_server,
            upstream=limits.in_flight_per_upstream,
            principal=limits.in_flight_per_principal,
            wait_s=limits.queue_wait_s,
        ),
        streams=StreamLimits(limits.subscriptions, limits.subscriptions_per_principal),
        timeout_s=settings.defaults.timeout_s,
        parking=ParkingLimits(limits.parked, limits.parked_per_principal, limits.parked_for_s),
        sessions=SessionLimits(settings.sessions.max, settings.sessions.per_principal, settings.sessions.idle_s),
        tasks=TaskLimits(
            settings.tasks.running, settings.tasks.max, settings.tasks.per_principal, settings.tasks.ttl_s
        ),
        overload=OverloadLimits(memory_bytes=limits.memory_bytes or container_limit() // settings.gateway.workers),
    )


def wire_limits_of(settings: Settings) -> WireLimits:
    """The limits on the wire as the settings say."""
    limits = settings.limits
    return WireLimits(
        body_bytes=limits.body_bytes,
        head_bytes=limits.header_total_bytes,
        fields=limits.header_count,
        field_bytes=limits.header_field_bytes,
        head_s=limits.header_read_s,
        body_s=limits.body_read_s,
        connections=limits.connections,
        write_bytes=limits.stream_buffer_bytes,
        message_bytes=limits.body_bytes,
    )


def metrics_for(settings: Settings, host: str) -> Literal["anyone", "operator", "token"]:
    """Who reads the metrics: with a token who shows it, else everybody on this machine, else the operator alone."""
    if settings.gateway.metrics_token is not None:
        return "token"
    return "anyone" if is_loopback(host) else "operator"


def configure_logs(settings: Settings, log_format: str | None, log_name: str) -> None:
    logs = settings.logging
    configure(
        LogSettings(
            level="debug" if settings.app.debug else logs.level,
            format=log_format or logs.format,
            directory=logs.dir or settings.gateway.data_dir / "logs",
            max_bytes=logs.max_file_bytes,
            backups=logs.files,
            name=log_name,
        )
    )


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """What HTTPS is served with; None for plain HTTP. Raises OSError, ssl.SSLError."""
    if settings.gateway.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.gateway.tls_cert, settings.gateway.tls_key)
    return context
