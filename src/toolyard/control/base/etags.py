"""ETags: the version of a row, so that nobody overwrites what they have not seen (RFC 9110 §13.1.1)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Response

from toolyard.control.base.errors import VersionOutdated
from toolyard.control.base.tables import Changing

IfMatch = Annotated[
    str | None, Header(description="The ETag of what you read: refuse the change if it has been changed since.")
]


def etag(row: Changing) -> str:
    """The ETag of a row as it is now."""
    return f'"{row.version}"'


def check_match(row: Changing, if_match: str | None) -> None:
    """Raises VersionOutdated if the caller has seen another version than this."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag(row) not in [one.strip().removeprefix("W/") for one in if_match.split(",")]:
        raise VersionOutdated


def tagged(response: Response, row: Changing) -> None:
    """Give an answer the ETag of the row that is in it."""
    response.headers["etag"] = etag(row)
