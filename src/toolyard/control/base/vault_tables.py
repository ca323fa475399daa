"""The vault's tables: wrapped data keys, and the value that tells whether the right vault key is there."""

from __future__ import annotations

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.tables import Changing, Owned, Table, owned


class DataKeyRow(Table, Owned):
    """One organization's key for its secrets, wrapped with the vault key. Without this row they are gone for good."""

    __tablename__ = "data_keys"
    __table_args__ = owned(UniqueConstraint("organization_id", "key_version"))

    key_version: Mapped[int]
    wrapped: Mapped[str] = mapped_column(String(500))


class VaultRow(Table, Changing):
    """What must open with the vault key before anything is sealed with it."""

    __tablename__ = "vault"

    check_value: Mapped[str] = mapped_column(String(500))
