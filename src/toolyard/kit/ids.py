"""Random identifiers. Ids say nothing about who or what they name."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator

REQUEST_ID_CHARACTERS = 12
_AT_ONCE = 256

_PROCESS = secrets.token_hex(4)
_numbers = itertools.count(1)


def short_id() -> str:
    """An id for logs and requests: unique in this process, and elsewhere in all likelihood. Not a secret.
    For the event loop's thread only."""
    return f"{_PROCESS}{next(_numbers):06x}"


def secret_id() -> str:
    """A 192-bit id nobody can guess, of URL-safe visible ASCII: session ids and the like."""
    return secrets.token_urlsafe(24)


def _request_ids() -> Iterator[str]:
    """Random hexadecimal ids without end, drawn many at a time: a system call for each costs 2 % of a plain call."""
    while True:
        drawn = secrets.token_hex(_AT_ONCE * REQUEST_ID_CHARACTERS // 2)
        for start in range(0, len(drawn), REQUEST_ID_CHARACTERS):
            yield drawn[start : start + REQUEST_ID_CHARACTERS]


request_id = _request_ids().__next__
"""The id of one request in logs and answers: 48 random bits that say nothing of how many there were. Not a secret.
For the event loop's thread only."""
