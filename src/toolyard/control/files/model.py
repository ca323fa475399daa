"""Uploaded files."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from toolyard.control.base.tables import Owned, Table, owned


class FileRow(Table, Owned):
    """One file; its content is on disk under its id. `media_type` is what its uploader said."""

    __tablename__ = "files"
    __table_args__ = owned()

    name: Mapped[str] = mapped_column(String(255))
    media_type: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(String(2000), default="")
    uploaded_by: Mapped[str] = mapped_column(String(200), default="")
