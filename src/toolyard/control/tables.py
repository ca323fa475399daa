"""All tables, for what has to know them all: migrations, checks, backups."""

from __future__ import annotations

from importlib import import_module

MODELS = (
    "gateways.model",
    "base.facts",
    "base.idempotency",
    "base.vault_tables",
    "identity.model",
    "access.model",
    "upstreams.model",
    "tools.model",
    "settings.model",
    "servers.model",
    "keys.model",
    "files.model",
)


def load_all() -> None:
    """Import every table, so that the metadata is whole."""
    for name in MODELS:
        import_module(f"toolyard.control.{name}")
