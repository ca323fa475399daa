"""What can go wrong with files."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Conflict, Invalid, NotFound
from toolyard.kit.errors import PlatformError


class FileNotHere(NotFound):
    """There is no file with that id here."""

    code: ClassVar[str] = "file_not_found"


class FileTooLarge(PlatformError):
    """This file is larger than a file may be."""

    code: ClassVar[str] = "file_too_large"
    status: ClassVar[int] = 413


class QuotaExceeded(Conflict):
    """The organization has no room left for this file: remove some first."""

    code: ClassVar[str] = "file_quota_exceeded"


class UploadRefused(Invalid):
    """This is no upload: send `multipart/form-data` with one part called `file`, which has a file name."""

    code: ClassVar[str] = "upload_refused"


class FileNameRefused(Invalid):
    """A file's name has 1 to 255 bytes, no path and no control characters."""

    code: ClassVar[str] = "file_name_refused"
