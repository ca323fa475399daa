"""Taking in an upload: `multipart/form-data`, counted while it arrives, so that nothing too large is ever kept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from toolyard.control.files.errors import FileNameRefused, FileTooLarge, UploadRefused

MAX_FILE_BYTES: Final = 25 * 1024 * 1024
MAX_NAME_BYTES: Final = 255
MAX_DESCRIPTION: Final = 2000
_AROUND_THE_FILE: Final = 64 * 1024
_FIELDS: Final = 2
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_UNKNOWN_TYPE: Final = "application/octet-stream"


class _MoreThanAllowed(MultiPartException):
    """More came than a file may have. The parser closes what it has opened only for errors of its own."""


class _Broken(MultiPartException):
    """The client went away in the middle."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file as it came in; `content` is good within the block only."""

    name: str
    media_type: str
    description: str
    content: BinaryIO


@asynccontextmanager
async def uploaded(request: Request, *, max_bytes: int = MAX_FILE_BYTES) -> AsyncIterator[Upload]:
    """The file that a request brings. Raises UploadRefused, FileTooLarge, FileNameRefused."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise UploadRefused
    form = await _parsed(request, max_bytes)
    try:
        file, description = form.get("file"), form.get("description", "")
        if not isinstance(file, UploadFile) or not isinstance(description, str) or set(form) - {"file", "description"}:
            raise UploadRefused
        if file.size is None or file.size > max_bytes:
            raise FileTooLarge
        yield Upload(_name(file.filename), _media_type(file.content_type), _description(description), file.file)
    finally:
        await form.close()


async def _parsed(request: Request, max_bytes: int) -> FormData:
    stream = _counted(request, max_bytes + _AROUND_THE_FILE)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=_FIELDS, max_part_size=_AROUND_THE_FILE)
    try:
        return await parser.parse()
    except _MoreThanAllowed:
        raise FileTooLarge(f"this file is larger than {max_bytes} bytes") from None
    except MultiPartException as error:
        raise UploadRefused(f"this is no upload: {error.message}") from None


async def _counted(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    came = 0
    try:
        async for chunk in request.stream():
            came += len(chunk)
            if came > most:
                raise _MoreThanAllowed("too large")
            yield chunk
    except ClientDisconnect:
        raise _Broken("it ended in the middle") from None


def _name(name: str | None) -> str:
    if not name:
        raise UploadRefused
    odd = any(unicodedata.category(one) in ("Cc", "Cs", "Cf", "Zl", "Zp") or one in "/\\" for one in name)
    if odd or name.strip() in ("", ".", "..") or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise FileNameRefused
    return name


def _media_type(text: str | None) -> str:
    plain = (text or "").partition(";")[0].strip().lower()
    return plain if _MEDIA_TYPE.fullmatch(plain) else _UNKNOWN_TYPE


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION or any(
        unicodedata.category(one) in ("Cc", "Cs") and one not in "\r\n\t" for one in text
    ):
        raise UploadRefused(f"a description has at most {MAX_DESCRIPTION} characters, and no control characters")
    return text
