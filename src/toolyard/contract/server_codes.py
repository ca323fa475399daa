"""Codes of virtual servers: what they are called in URLs. The same grammar for the operator's file and the API."""

from __future__ import annotations

import re
from typing import Final

DEFAULT_CODE: Final = "default"
"""The server at `/mcp` itself."""
RESERVED_CODES: Final = frozenset({"server", "info", "health"})
CODE_GRAMMAR: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def server_code_problem(code: str) -> str | None:
    """Why `code` cannot be the code of a virtual server, or None."""
    if code in RESERVED_CODES:
        return f"'{code}' is reserved; choose another code"
    if not CODE_GRAMMAR.fullmatch(code):
        return f"'{code}' is not a server code: use a-z, 0-9, '-' and '_', at most 63, beginning with a letter or digit"
    return None


def server_path(code: str) -> str:
    """The path of a virtual server."""
    return "/mcp" if code == DEFAULT_CODE else f"/mcp/{code}"
