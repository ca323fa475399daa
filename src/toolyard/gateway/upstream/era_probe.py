"""Which era an HTTP upstream speaks (2026-07-28, basic/versioning; transports, backward compatibility).

`server/discover` is asked first, the modern way. An answer that only a modern server gives decides: its result, or an
error of the modern era that does not exclude our revision. Anything else leads to `initialize`; where that is refused
with 400, 404 or 405 the server may speak HTTP+SSE, and HttpSseExpected says so. A server that cannot be reached,
refuses the credentials or is busy says nothing about its era.
"""

from __future__ import annotations

import asyncio
from typing import Any

from toolyard.contract.definitions import Json
from toolyard.gateway.upstream.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from toolyard.gateway.upstream.http_era import MODERN_CODES, EraContradicted, HttpSseExpected
from toolyard.gateway.upstream.http_legacy import LegacyDriver
from toolyard.gateway.upstream.http_modern import UNSUPPORTED_REVISION, ModernDriver
from toolyard.protocol.errors import RelayedError
from toolyard.protocol.revisions import LEGACY, MODERN

DISCOVER_S = 10.0
SSE_STATUSES = frozenset({400, 404, 405})
SAYS_NOTHING = (UpstreamUnreachable, UpstreamRefused, UpstreamBusy)


async def probe(modern: ModernDriver, legacy: LegacyDriver, upstream_id: str) -> ModernDriver | LegacyDriver:
    """The driver that the server understands. Raises HttpSseExpected, UpstreamError, RelayedError."""
    if await _is_modern(modern, upstream_id) or not await _is_legacy(legacy, upstream_id):
        return modern
    return legacy


async def _is_modern(modern: ModernDriver, upstream_id: str) -> bool:
    deadline = asyncio.get_running_loop().time() + DISCOVER_S
    try:
        return _offers_modern(await modern.discover(deadline))
    except EraContradicted as contradiction:
        return _speaks_modern(contradiction.error, upstream_id)
    except RelayedError as error:
        return _speaks_modern(error, upstream_id)
    except SAYS_NOTHING:
        raise
    except UpstreamTimedOut:
        return False  # a server that does not know the question may also never answer it
    except UpstreamError:
        return False


def _offers_modern(found: Json) -> bool:
    """A result without a list of revisions is not a DiscoverResult; one without ours is a legacy server's."""
    offered = found.get("supportedVersions")
    return isinstance(offered, list) and MODERN in offered


def _speaks_modern(error: UpstreamError | RelayedError, upstream_id: str) -> bool:
    """Does an error show a modern server? Raises UpstreamInvalid if it shows one that shares no revision with us."""
    if not isinstance(error, RelayedError) or error.rpc_code not in MODERN_CODES:
        return False
    if error.rpc_code != UNSUPPORTED_REVISION:
        return True
    supported = _supported(error.data)
    if supported and not any(revision in LEGACY or revision == MODERN for revision in supported):
        raise UpstreamInvalid(f"Upstream {upstream_id!r} speaks only revisions that are not spoken here.")
    return MODERN in supported


def _supported(data: Any) -> list[str]:
    supported = data.get("supported") if isinstance(data, dict) else None
    return [revision for revision in supported if isinstance(revision, str)] if isinstance(supported, list) else []


async def _is_legacy(legacy: LegacyDriver, upstream_id: str) -> bool:
    """True if the handshake went well, false if its refusal shows a modern server (which was too slow before)."""
    try:
        await legacy.connect()
    except EraContradicted as contradiction:
        error = contradiction.error
        if _speaks_modern(error, upstream_id):
            return False
        if isinstance(error, RelayedError):
            raise UpstreamInvalid(f"Upstream {upstream_id!r} refused the handshake.") from error
        if error.context.get("http_status") in SSE_STATUSES:
            raise HttpSseExpected(f"Upstream {upstream_id!r} does not speak Streamable HTTP.") from error
        raise error from contradiction
    return True
