"""Values as people write them: durations, sizes, rates, switches, keys. Each raises ValueError with what it wants."""

from __future__ import annotations

import base64
import binascii
import re

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|min|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_SIZE = re.compile(r"([0-9]+)\s*(B|KiB|MiB|GiB|KB|MB|GB|K|M|G)?", re.IGNORECASE)
_BYTES = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 10**6, "gb": 10**9}
_BYTES |= {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "": 1}
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*(s|sec|second|min|minute|m|h|hour)")
_URL_SAFE = str.maketrans("-_", "+/")
_TIMES_A_MINUTE = {"s": 60.0, "sec": 60.0, "second": 60.0, "h": 1 / 60, "hour": 1 / 60}


def seconds(text: str) -> float:
    """ "30", "30s", "500ms", "2m", "1h", "1d" → seconds."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"'{text}' is not a duration such as 30, 30s, 500ms or 2m")
    return round(float(found[1]) * _SECONDS[found[2]], 6)


def size_bytes(text: str) -> int:
    """ "65536", "64KiB", "4 MiB" → bytes."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"'{text}' is not a size such as 65536, 64KiB or 4MiB")
    return int(found[1]) * _BYTES[(found[2] or "").lower()]


def rate(text: str) -> tuple[float, float]:
    """ "600/min" → (600 in a minute, 600 at once); "5/s" → (300 in a minute, 5 at once)."""
    found = _RATE.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise ValueError(f"'{text}' is not a rate such as 600/min or 10/s")
    count = float(found[1])
    return count * _TIMES_A_MINUTE.get(found[2], 1.0), max(1.0, count)


def switch(text: str) -> bool:
    """ "true", "yes", "on", "1" and their opposites → bool."""
    lowered = text.strip().lower()
    if lowered in {"true", "yes", "on", "1"}:
        return True
    if lowered in {"false", "no", "off", "0"}:
        return False
    raise ValueError(f"'{text}' is neither true nor false")


def whole_number(text: str, least: int, most: int) -> int:
    """A whole number between `least` and `most`, both allowed."""
    stripped = text.strip()
    if not re.fullmatch(r"-?[0-9]{1,18}", stripped) or not least <= int(stripped) <= most:
        raise ValueError(f"'{text}' is not a whole number from {least} to {most}")
    return int(stripped)


def keys(text: str) -> tuple[bytes, ...]:
    """Keys of 32 bytes, each as 64 hexadecimal digits or in base64, separated by commas or line breaks. The message
    never repeats them."""
    found = tuple(_key(part) for part in re.split(r"[,\s]+", text) if part)
    if not found:
        raise ValueError("there is no key (64 hexadecimal digits, as of `openssl rand -hex 32`)")
    return found


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text.translate(_URL_SAFE), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ValueError("is not a key of 32 bytes: 64 hexadecimal digits, as of `openssl rand -hex 32`, or base64")
    return key
