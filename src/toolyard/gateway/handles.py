"""State handles: the name a client gives to a piece of state at stateful upstreams (see `gateway/isolation.py`).

A client of any era names it in a request's `_meta`; over HTTP a header may, so that a client whose `_meta` nobody can
reach is configured with it. It is for the gateway and goes no further. It is no secret: it is looked up among the
handles of the caller's own principal only.
"""

from __future__ import annotations

import re
from typing import Any, Final

from toolyard.contract.definitions import Json
from toolyard.gateway.call import Head
from toolyard.protocol.errors import InvalidParams

HANDLE_KEY: Final = "toolyard/handle"
HANDLE_HEADER: Final = "toolyard-handle"
_HANDLE: Final = re.compile(r"[\x21-\x7e]{1,128}")


def read_handle(meta: Json, head: Head) -> str:
    """The handle that a request names; empty if it names none. Raises InvalidParams."""
    sent = head.headers.get(HANDLE_HEADER) if head.transport in ("http", "sse") else None
    if HANDLE_KEY not in meta and sent is None:
        return ""
    named: Any = meta.get(HANDLE_KEY, sent)
    if sent is not None and HANDLE_HEADER in head.repeated:
        raise InvalidParams("Toolyard-Handle came twice")
    if sent is not None and named != sent:
        raise InvalidParams(f'Toolyard-Handle and "{HANDLE_KEY}" name different handles')
    if not isinstance(named, str) or not _HANDLE.fullmatch(named):
        raise InvalidParams(f'"{HANDLE_KEY}" must be 1 to 128 visible ASCII characters')
    return named


def without_handle(meta: Json) -> Json:
    """What of `meta` goes further."""
    return {name: value for name, value in meta.items() if name != HANDLE_KEY} if HANDLE_KEY in meta else meta
