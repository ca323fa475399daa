"""Random identifiers. Ids say nothing about who or what they name."""

from __future__ import annotations

import itertools
import secrets

_PROCESS = secrets.token_hex(4)
_numbers = itertools.count(1)


def short_id() -> str:
    """An id for logs and requests: unique in this process, and elsewhere in all likelihood. Not a secret."""
    return f"{_PROCESS}{next(_numbers):06x}"


def secret_id() -> str:
    """A 192-bit id nobody can guess, of URL-safe visible ASCII: session ids and the like."""
    return secrets.token_urlsafe(24)
