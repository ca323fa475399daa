"""Upstreams may leave their time limit to their organization."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("upstreams", schema=None) as batch_op:
        batch_op.alter_column("timeout_s", existing_type=sa.Float(), nullable=True)


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("SELECT set_config('toolyard.organization', '*', true)")
    op.execute("UPDATE upstreams SET timeout_s = 30 WHERE timeout_s IS NULL")
    with op.batch_alter_table("upstreams", schema=None) as batch_op:
        batch_op.alter_column("timeout_s", existing_type=sa.Float(), nullable=False)
