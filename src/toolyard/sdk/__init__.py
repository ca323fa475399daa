"""The public Python face of the management API: `Client`, `AsyncClient`, and the errors they raise.

`operations.py`, `models.py`, `api_sync.py` and `api_async.py` are made of the API's own OpenAPI document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolyard.sdk.async_client import AsyncClient
    from toolyard.sdk.client import Client
    from toolyard.sdk.errors import AnswerUnreadable, ApiError, ApiUnreachable
    from toolyard.sdk.login import Tokens
    from toolyard.sdk.options import Options
    from toolyard.sdk.requests import Upload

__all__ = ["AnswerUnreadable", "ApiError", "ApiUnreachable", "AsyncClient", "Client", "Options", "Tokens", "Upload"]

_PLACES = {
    "AnswerUnreadable": "errors",
    "ApiError": "errors",
    "ApiUnreachable": "errors",
    "AsyncClient": "async_client",
    "Client": "client",
    "Options": "options",
    "Tokens": "login",
    "Upload": "requests",
}


def __getattr__(name: str) -> Any:
    """Imported on first use: the command line reads the table of operations without an HTTP client."""
    if name not in _PLACES:
        raise AttributeError(f"module 'toolyard.sdk' has no attribute '{name}'")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"toolyard.sdk.{_PLACES[name]}"), name)
