"""Random identifiers. Ids say nothing about who or what they name."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def short_id() -> str:
    """A 60-bit id for logs and requests: twelve characters of 0-9 a-z."""
    number = secrets.randbits(60)
    characters = []
    for _ in range(12):
        number, digit = divmod(number, 36)
        characters.append(_ALPHABET[digit])
    return "".join(characters)


def secret_id() -> str:
    """A 192-bit id nobody can guess, of URL-safe visible ASCII: session ids and the like."""
    return secrets.token_urlsafe(24)
