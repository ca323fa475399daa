"""Upstreams, their state as gateways report it, credentials towards them, and tries before anything is saved."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Instant, Json
from toolyard.control.base.tables import ID_CHARS, Owned, Table, owned, refers_to

NAME_CHARS = 63
URL_CHARS = 8192
PATH_CHARS = 4096
CREDENTIAL_CHARS = 200


class UpstreamRow(Table, Owned):
    """One upstream as it is wanted. Values of `headers` and `env` are templates with `secret://name` in them, never
    secrets. `approved`: the digest of the program and its surroundings that somebody who may has allowed to run.
    `owner` "file": described in the configuration file, at `line`, and read-only here."""

    __tablename__ = "upstreams"
    __table_args__ = owned(UniqueConstraint("organization_id", "name"))

    name: Mapped[str] = mapped_column(String(NAME_CHARS))
    description: Mapped[str] = mapped_column(String(2000), default="")
    kind: Mapped[str] = mapped_column(String(20))
    url: Mapped[str | None] = mapped_column(String(URL_CHARS))
    headers: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    command: Mapped[list[str]] = mapped_column(Json, default=list)
    env: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    cwd: Mapped[str | None] = mapped_column(String(PATH_CHARS))
    enabled: Mapped[bool] = mapped_column(default=True)
    started: Mapped[bool] = mapped_column(default=True)
    restart_generation: Mapped[int] = mapped_column(default=0)
    timeout_s: Mapped[float | None]
    isolation: Mapped[str] = mapped_column(String(20), default="per-principal")
    idle_s: Mapped[float] = mapped_column(default=600.0)
    max_connections: Mapped[int] = mapped_column(default=100)
    max_processes: Mapped[int] = mapped_column(default=8)
    allow_networks: Mapped[list[str]] = mapped_column(Json, default=list)
    tls_verify: Mapped[bool] = mapped_column(default=True)
    tls_ca_file: Mapped[str | None] = mapped_column(String(PATH_CHARS))
    limits: Mapped[dict[str, int]] = mapped_column(Json, default=dict)
    task_after_s: Mapped[float | None]
    task_required: Mapped[bool] = mapped_column(default=False)
    tags: Mapped[list[str]] = mapped_column(Json, default=list)
    own_tags: Mapped[bool] = mapped_column(default=False)
    approved: Mapped[str | None] = mapped_column(String(64))
    approved_by: Mapped[str | None] = mapped_column(String(ID_CHARS))
    approved_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    created_by: Mapped[str] = mapped_column(String(ID_CHARS), default="")
    owner: Mapped[str] = mapped_column(String(20), default="database")
    file: Mapped[str | None] = mapped_column(String(PATH_CHARS))
    line: Mapped[int | None]


class CredentialRow(Table, Owned):
    """A secret towards upstreams. `changes` is part of what it is sealed for. With `upstream_id` it belongs to that one
    upstream, can be used by no other, and goes with it."""

    __tablename__ = "credentials"
    __table_args__ = owned(UniqueConstraint("organization_id", "name"), refers_to("upstreams", "upstream_id"))

    name: Mapped[str] = mapped_column(String(CREDENTIAL_CHARS))
    description: Mapped[str] = mapped_column(String(500), default="")
    sealed: Mapped[str] = mapped_column(Text)
    last4: Mapped[str] = mapped_column(String(4), default="")
    changes: Mapped[int] = mapped_column(default=1)
    upstream_id: Mapped[str | None] = mapped_column(String(ID_CHARS), index=True)


class UpstreamStateRow(Table, Owned):
    """How one gateway found an upstream the last time it told."""

    __tablename__ = "upstream_states"
    __table_args__ = owned(
        UniqueConstraint("organization_id", "upstream_id", "gateway"), refers_to("upstreams", "upstream_id")
    )

    upstream_id: Mapped[str] = mapped_column(String(ID_CHARS))
    gateway: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[str] = mapped_column(String(40))
    error_code: Mapped[str | None] = mapped_column(String(100))
    error: Mapped[str | None] = mapped_column(String(2000))
    failures: Mapped[int] = mapped_column(default=0)
    since: Mapped[dt.datetime] = mapped_column(Instant)
    told_at: Mapped[dt.datetime] = mapped_column(Instant)
    seen_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    counts: Mapped[dict[str, int]] = mapped_column(Json, default=dict)
    log: Mapped[list[str]] = mapped_column(Json, default=list)


class TryRow(Table, Owned):
    """An upstream that somebody wants tried before saving it. It is published for a moment, as one that no server can
    offer; what gateways report of it is the answer. `sealed` are its headers, as JSON."""

    __tablename__ = "upstream_tries"
    __table_args__ = owned()

    wanted: Mapped[dict[str, object]] = mapped_column(Json)
    sealed: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    asked_by: Mapped[str] = mapped_column(String(ID_CHARS))
    state: Mapped[str] = mapped_column(String(40), default="pending")
    error_code: Mapped[str | None] = mapped_column(String(100))
    error: Mapped[str | None] = mapped_column(String(2000))
    found: Mapped[dict[str, object]] = mapped_column(Json, default=dict)
    answered_at: Mapped[dt.datetime | None] = mapped_column(Instant)
