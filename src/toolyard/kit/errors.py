"""The root of all errors a user can meet.

One class for each condition; `code` is API and never changes; the docstring of the class is the default message;
context is structured and free of secrets. Each edge (HTTP, JSON-RPC, CLI) has one translator and nothing else does.
"""

from __future__ import annotations

from typing import ClassVar


class PlatformError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "platform_error"
    status: ClassVar[int] = 500
    retry_after_s: float = 0.0
    """When it is worth trying again, of what passes by itself; 0.0 of all else."""

    def __init__(self, message: str | None = None, **context: object) -> None:
        self.message = message or " ".join((type(self).__doc__ or type(self).__name__).split())
        self.context = context
        super().__init__(self.message)
