"""The second wall between organizations: PostgreSQL's row-level security.

Each transaction says for which organization it works (`control.base.database`); rows of others are not there for it,
whatever a statement forgot. SQLite has nothing of the kind: there the stores are the only wall.
"""

from __future__ import annotations

from alembic import op

_MINE = (
    "current_setting('toolyard.organization', true) = '*' "
    "OR organization_id = current_setting('toolyard.organization', true)"
)


def isolate(*tables: str) -> None:
    """Let rows of these tables be seen and written only by work for their organization, or for the platform."""
    if op.get_context().dialect.name != "postgresql":
        return
    for table in tables:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_of_organization ON {table} USING ({_MINE}) WITH CHECK ({_MINE})")
