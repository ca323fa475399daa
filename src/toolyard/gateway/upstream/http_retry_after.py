"""`Retry-After` (RFC 9110 section 10.2.3), as far as it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MAX_SECONDS = 60.0
UNKNOWN_SECONDS = 1.0


def retry_after_s(headers: Mapping[str, str]) -> float:
    """How long to wait, from 0 to 60 seconds; 1 where it is not said. A date counts from the answer's own Date, so that
    the other side's clock does not matter."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return MAX_SECONDS if len(value) > 3 else min(float(value), MAX_SECONDS)
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return UNKNOWN_SECONDS
    return min(max(wait.total_seconds(), 0.0), MAX_SECONDS)
