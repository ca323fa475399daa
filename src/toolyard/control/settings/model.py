"""Settings and switches that were changed from their defaults: for one organization, or for the whole platform."""

from __future__ import annotations

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.columns import Json
from toolyard.control.base.tables import Changing, Owned, Table, owned


class SettingRow(Table, Owned):
    """What one organization says of a setting. `value` is {"value": …}, so that null is a value too."""

    __tablename__ = "settings"
    __table_args__ = owned(UniqueConstraint("organization_id", "key"))

    key: Mapped[str] = mapped_column(String(200))
    value: Mapped[dict[str, object]] = mapped_column(Json)
    changed_by: Mapped[str] = mapped_column(String(200), default="")


class PlatformSettingRow(Table, Changing):
    """What the platform says of a setting; every organization may read it."""

    __tablename__ = "platform_settings"

    key: Mapped[str] = mapped_column(String(200), unique=True)
    value: Mapped[dict[str, object]] = mapped_column(Json)
    changed_by: Mapped[str] = mapped_column(String(200), default="")
