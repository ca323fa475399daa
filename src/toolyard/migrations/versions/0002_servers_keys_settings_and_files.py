"""Virtual servers, API keys, settings and files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from toolyard.control.base.columns import Instant, Json
from toolyard.migrations.isolation import isolate

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "platform_settings",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("value", Json, nullable=False),
        sa.Column("changed_by", sa.String(length=200), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_settings")),
        sa.UniqueConstraint("key", name=op.f("uq_platform_settings_key")),
    )
    op.create_table(
        "files",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("uploaded_by", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_files_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_files_organization_id_id")),
    )
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_files_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "servers",
        sa.Column("code", sa.String(length=63), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=True),
        sa.Column("names", sa.String(length=20), nullable=False),
        sa.Column("tools", Json, nullable=False),
        sa.Column("chosen", Json, nullable=False),
        sa.Column("prompts", Json, nullable=True),
        sa.Column("resources", Json, nullable=True),
        sa.Column("overrides", Json, nullable=False),
        sa.Column("roles", Json, nullable=False),
        sa.Column("tiers", Json, nullable=False),
        sa.Column("access", sa.String(length=20), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("per_key", Json, nullable=True),
        sa.Column("per_server", Json, nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=20), nullable=False),
        sa.Column("file", sa.String(length=1000), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_servers_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_servers")),
        sa.UniqueConstraint("code", name=op.f("uq_servers_code")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_servers_organization_id_id")),
        sa.UniqueConstraint("organization_id", "title", name=op.f("uq_servers_organization_id_title")),
    )
    with op.batch_alter_table("servers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_servers_created_by"), ["created_by"], unique=False)
        batch_op.create_index(batch_op.f("ix_servers_enabled"), ["enabled"], unique=False)
        batch_op.create_index(batch_op.f("ix_servers_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "settings",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("value", Json, nullable=False),
        sa.Column("changed_by", sa.String(length=200), nullable=False),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_settings_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_settings_organization_id_id")),
        sa.UniqueConstraint("organization_id", "key", name=op.f("uq_settings_organization_id_key")),
    )
    with op.batch_alter_table("settings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_settings_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "keys",
        sa.Column("server_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("pepper_version", sa.Integer(), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("tools", Json, nullable=False),
        sa.Column("networks", Json, nullable=False),
        sa.Column("per_minute", Json, nullable=True),
        sa.Column("not_before", Instant(), nullable=True),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("retires_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.Column("replaced_by", sa.String(length=40), nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.String(length=40), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("last_used_at", Instant(), nullable=True),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("organization_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "server_id"],
            ["servers.organization_id", "servers.id"],
            name=op.f("fk_keys_organization_id_server_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_keys_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("organization_id", "id", name=op.f("uq_keys_organization_id_id")),
    )
    with op.batch_alter_table("keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_keys_organization_id"), ["organization_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_keys_server_id"), ["server_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_keys_user_id"), ["user_id"], unique=False)
    isolate("servers", "keys", "settings", "files")


def downgrade() -> None:
    with op.batch_alter_table("keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_keys_user_id"))
        batch_op.drop_index(batch_op.f("ix_keys_server_id"))
        batch_op.drop_index(batch_op.f("ix_keys_organization_id"))

    op.drop_table("keys")
    with op.batch_alter_table("settings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_settings_organization_id"))

    op.drop_table("settings")
    with op.batch_alter_table("servers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_servers_organization_id"))
        batch_op.drop_index(batch_op.f("ix_servers_enabled"))
        batch_op.drop_index(batch_op.f("ix_servers_created_by"))

    op.drop_table("servers")
    with op.batch_alter_table("files", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_files_organization_id"))

    op.drop_table("files")
    op.drop_table("platform_settings")
