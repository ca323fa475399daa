"""How a client goes about asking, beyond whom and as whom."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Final

MAX_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """`timeout_s`: for each request. `retries`: how often a request is sent again that was refused with 429 or 503 and
    a time to wait, if sending it twice does no harm. `max_wait_s`: longer is not waited. `verify`: how TLS is checked.
    `transport`: what requests travel by, if not the network (an `httpx2` transport)."""

    timeout_s: float = 30.0
    retries: int = 3
    max_wait_s: float = MAX_WAIT_S
    verify: ssl.SSLContext | bool = True
    transport: Any = None
