"""What the API gives of files."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, Field

from toolyard.control.base.pages import PageQuery
from toolyard.control.files.model import FileRow


class StoredFile(BaseModel):
    """An uploaded file, without its content."""

    id: str = Field(examples=["fi_01jd3q"])
    name: str = Field(examples=["logo.png"])
    media_type: str = Field(examples=["image/png"], description="As its uploader said.")
    size: int = Field(description="In bytes.")
    sha256: str
    description: str
    uploaded_by: str
    created_at: dt.datetime
    url: str = Field(description="Where its content is.")

    @classmethod
    def of(cls, row: FileRow) -> StoredFile:
        """As a row has it."""
        fields = {name: getattr(row, name) for name in cls.model_fields if name != "url"}
        return cls(**fields, url=f"/api/v1/files/{row.id}/content")


class FilesQuery(PageQuery):
    """Which files are wanted."""

    media_type: str | None = Field(None, max_length=255)
    uploaded_by: str | None = Field(None, max_length=200)


UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "description": {"type": "string", "maxLength": 2000},
                    },
                }
            }
        },
    }
}
"""How an upload is described in the API's document."""
