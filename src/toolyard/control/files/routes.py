"""Files over HTTP. What somebody uploaded is never shown by a browser as a page of ours: it is saved."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Query, Request
from fastapi.responses import FileResponse

from toolyard.control.base.declaration import Declared
from toolyard.control.base.declared import Slice
from toolyard.control.base.gate import CallerParam, Gate, WorkParam
from toolyard.control.base.pages import Listed
from toolyard.control.base.problems import PROBLEM_ANSWERS
from toolyard.control.base.work import Works
from toolyard.control.files.errors import FileNotHere
from toolyard.control.files.schema import UPLOAD, FilesQuery, StoredFile
from toolyard.control.files.service import Files, find
from toolyard.control.files.store import FileStore
from toolyard.control.files.upload import uploaded

READ, WRITE = "files.read", "files.write"
_UPLOADS: Final = Declared("login", WRITE, "token", "heavy", transaction=False)
_REMOVES: Final = Declared("login", WRITE, "token", "write", transaction=False)
_TOO_LARGE: Final[dict[int | str, dict[str, Any]]] = {413: {**PROBLEM_ANSWERS[422], "description": "Too large a file"}}
_FULL: Final[dict[int | str, dict[str, Any]]] = {507: {**PROBLEM_ANSWERS[503], "description": "The disk is full"}}
_CONTENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The content", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
}
_AS_A_DOWNLOAD: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}


def files_slice(files: Files) -> Slice:
    """Routes for uploaded files."""
    one = Slice("files")
    _changing(one, files)

    @one.get("/files", action=READ, operation_id="files_list")
    async def every(work: WorkParam, query: Annotated[FilesQuery, Query()]) -> Listed[StoredFile]:
        """List uploaded files."""
        store = FileStore(work)
        page = await store.page(query, *store.conditions(media_type=query.media_type, uploaded_by=query.uploaded_by))
        return Listed(items=[StoredFile.of(row) for row in page.rows], next_cursor=page.next_cursor)

    @one.get("/files/{file_id}", action=READ, operation_id="files_get")
    async def get(work: WorkParam, file_id: str) -> StoredFile:
        """Get what is known of a file."""
        return StoredFile.of(await find(work, file_id))

    @one.get(
        "/files/{file_id}/content",
        action=READ,
        operation_id="files_download",
        response_class=FileResponse,
        responses=_CONTENT,
    )
    async def content(work: WorkParam, file_id: str) -> FileResponse:
        """Download a file."""
        row = await find(work, file_id)
        path = files.blobs.path(row.organization_id, row.id)
        if not path.is_file():
            raise FileNotHere
        return FileResponse(path, media_type=row.media_type, filename=row.name, headers=_AS_A_DOWNLOAD)

    return one


def _changing(one: Slice, files: Files) -> None:
    @one.route(
        "POST",
        "/system/upload",
        _UPLOADS,
        operation_id="files_upload",
        status_code=201,
        openapi_extra=UPLOAD,
        responses={**_TOO_LARGE, **_FULL},
    )
    async def upload(request: Request, caller: CallerParam) -> StoredFile:
        """Upload a file.

        `multipart/form-data` with one part called `file`, and `description` if wanted."""
        async with uploaded(request, max_bytes=files.limits.file_bytes) as came:
            row = await files.add(_works(request), caller, came)
        return StoredFile.of(row)

    @one.route("DELETE", "/files/{file_id}", _REMOVES, operation_id="files_delete", status_code=204)
    async def remove(request: Request, caller: CallerParam, file_id: str) -> None:
        """Delete a file."""
        await files.remove(_works(request), caller, file_id)


def _works(request: Request) -> Works:
    gate: Gate = request.app.state.gate
    return gate.works
