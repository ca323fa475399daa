"""Upstreams, credentials, and the tools that were seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from toolyard.control.base.columns import Instant, Json
from toolyard.migrations.isolation import isolate

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vault",
        sa.Column("check_value", sa.String(length=500), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vault")),
    )
    op.create_table(
        "data_keys",
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.String(length=500), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_data_keys_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_data_keys_organization_id_id")),
        sa.UniqueConstraint("organization_id", "key_version", name=op.f("uq_data_keys_organization_id_key_version")),
    )
    with op.batch_alter_table("data_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_data_keys_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "definitions",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_definitions_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_definitions")),
        sa.UniqueConstraint("organization_id", "digest", name=op.f("uq_definitions_organization_id_digest")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_definitions_organization_id_id")),
    )
    with op.batch_alter_table("definitions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_definitions_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "upstream_tries",
        sa.Column("wanted", Json, nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.Column("asked_by", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("error_code", sa.String(length=100), nullable=True),
        sa.Column("error", sa.String(length=2000), nullable=True),
        sa.Column("found", Json, nullable=False),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_upstream_tries_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upstream_tries")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_upstream_tries_organization_id_id")),
    )
    with op.batch_alter_table("upstream_tries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_upstream_tries_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_upstream_tries_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "upstreams",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("url", sa.String(length=8192), nullable=True),
        sa.Column("headers", Json, nullable=False),
        sa.Column("command", Json, nullable=False),
        sa.Column("env", Json, nullable=False),
        sa.Column("cwd", sa.String(length=4096), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("started", sa.Boolean(), nullable=False),
        sa.Column("restart_generation", sa.Integer(), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=False),
        sa.Column("isolation", sa.String(length=20), nullable=False),
        sa.Column("idle_s", sa.Double(), nullable=False),
        sa.Column("max_connections", sa.Integer(), nullable=False),
        sa.Column("max_processes", sa.Integer(), nullable=False),
        sa.Column("allow_networks", Json, nullable=False),
        sa.Column("tls_verify", sa.Boolean(), nullable=False),
        sa.Column("tls_ca_file", sa.String(length=4096), nullable=True),
        sa.Column("limits", Json, nullable=False),
        sa.Column("task_after_s", sa.Double(), nullable=True),
        sa.Column("task_required", sa.Boolean(), nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("own_tags", sa.Boolean(), nullable=False),
        sa.Column("approved", sa.String(length=64), nullable=True),
        sa.Column("approved_by", sa.String(length=40), nullable=True),
        sa.Column("approved_at", Instant(), nullable=True),
        sa.Column("created_by", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=20), nullable=False),
        sa.Column("file", sa.String(length=4096), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_upstreams_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upstreams")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_upstreams_organization_id_id")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_upstreams_organization_id_name")),
    )
    with op.batch_alter_table("upstreams", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_upstreams_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "credentials",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("upstream_id", sa.String(length=40), nullable=True),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "upstream_id"],
            ["upstreams.organization_id", "upstreams.id"],
            name=op.f("fk_credentials_organization_id_upstream_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_credentials_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credentials")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_credentials_organization_id_id")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_credentials_organization_id_name")),
    )
    with op.batch_alter_table("credentials", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_credentials_organization_id"), ["organization_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_credentials_upstream_id"), ["upstream_id"], unique=False)

    op.create_table(
        "observed",
        sa.Column("upstream_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=100), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("era", sa.String(length=20), nullable=False),
        sa.Column("revision", sa.String(length=40), nullable=False),
        sa.Column("server", Json, nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "upstream_id"],
            ["upstreams.organization_id", "upstreams.id"],
            name=op.f("fk_observed_organization_id_upstream_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_observed_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_observed")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_observed_organization_id_id")),
        sa.UniqueConstraint("organization_id", "upstream_id", name=op.f("uq_observed_organization_id_upstream_id")),
    )
    with op.batch_alter_table("observed", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_observed_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "tools",
        sa.Column("upstream_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("first_seen_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("gone_at", Instant(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("timeout_s", sa.Double(), nullable=True),
        sa.Column("category", sa.String(length=100), nullable=False),
        sa.Column("tags", sa.String(length=2200), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=True),
        sa.Column("settings", Json, nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "upstream_id"],
            ["upstreams.organization_id", "upstreams.id"],
            name=op.f("fk_tools_organization_id_upstream_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_tools_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["owner"], ["users.id"], name=op.f("fk_tools_owner"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tools")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_tools_organization_id_id")),
        sa.UniqueConstraint(
            "organization_id", "upstream_id", "key", name=op.f("uq_tools_organization_id_upstream_id_key")
        ),
    )
    with op.batch_alter_table("tools", schema=None) as batch_op:
        batch_op.create_index("ix_tools_label", ["organization_id", "label", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tools_organization_id"), ["organization_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tools_owner"), ["owner"], unique=False)
        batch_op.create_index(batch_op.f("ix_tools_upstream_id"), ["upstream_id"], unique=False)

    op.create_table(
        "upstream_states",
        sa.Column("upstream_id", sa.String(length=40), nullable=False),
        sa.Column("gateway", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("error_code", sa.String(length=100), nullable=True),
        sa.Column("error", sa.String(length=2000), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("told_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=True),
        sa.Column("counts", Json, nullable=False),
        sa.Column("log", Json, nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "upstream_id"],
            ["upstreams.organization_id", "upstreams.id"],
            name=op.f("fk_upstream_states_organization_id_upstream_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_upstream_states_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upstream_states")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_upstream_states_organization_id_id")),
        sa.UniqueConstraint(
            "organization_id",
            "upstream_id",
            "gateway",
            name=op.f("uq_upstream_states_organization_id_upstream_id_gateway"),
        ),
    )
    with op.batch_alter_table("upstream_states", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_upstream_states_organization_id"), ["organization_id"], unique=False)
    isolate("data_keys", "definitions", "upstream_tries", "upstreams", "credentials", "observed", "tools")
    isolate("upstream_states")


def downgrade() -> None:
    with op.batch_alter_table("upstream_states", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_upstream_states_organization_id"))

    op.drop_table("upstream_states")
    with op.batch_alter_table("tools", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tools_upstream_id"))
        batch_op.drop_index(batch_op.f("ix_tools_owner"))
        batch_op.drop_index(batch_op.f("ix_tools_organization_id"))
        batch_op.drop_index("ix_tools_label")

    op.drop_table("tools")
    with op.batch_alter_table("observed", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_observed_organization_id"))

    op.drop_table("observed")
    with op.batch_alter_table("credentials", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_credentials_upstream_id"))
        batch_op.drop_index(batch_op.f("ix_credentials_organization_id"))

    op.drop_table("credentials")
    with op.batch_alter_table("upstreams", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_upstreams_organization_id"))

    op.drop_table("upstreams")
    with op.batch_alter_table("upstream_tries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_upstream_tries_organization_id"))
        batch_op.drop_index(batch_op.f("ix_upstream_tries_expires_at"))

    op.drop_table("upstream_tries")
    with op.batch_alter_table("definitions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_definitions_organization_id"))

    op.drop_table("definitions")
    with op.batch_alter_table("data_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_data_keys_organization_id"))

    op.drop_table("data_keys")
    op.drop_table("vault")
