"""How Alembic reaches the database: over a connection that it is given (`control.base.migrate` is the only caller)."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

from toolyard.control.base.columns import Instant, Json
from toolyard.control.base.tables import Table
from toolyard.control.tables import load_all

load_all()


def render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Our own column types by their names."""
    if kind == "type" and isinstance(item, Instant):
        return "Instant()"
    return "Json" if kind == "type" and item is Json else False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    transaction_per_migration=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
