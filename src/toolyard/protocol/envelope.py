"""What every request says about itself in `params._meta`: read from clients, stamped for upstreams.

Modern requests carry revision and client capabilities on each request (2026-07-28 basic/index, `_meta`); legacy
requests have only a progress token there, and the rest is the session's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from toolyard.protocol.errors import InvalidParams, RequestId
from toolyard.protocol.request_ids import is_request_id
from toolyard.protocol.revisions import (
    LOG_LEVELS,
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_LOG_LEVEL,
    META_PROTOCOL_VERSION,
    MODERN,
    PROGRESS_TOKEN,
    unsupported,
)

Json = dict[str, Any]

_OWN_KEYS: Final = frozenset(
    {META_PROTOCOL_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, PROGRESS_TOKEN}
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a request says about itself. `client_info` is for display only and never a reason to trust anything.

    `rest` is what else `_meta` has: trace ids and keys of vendors."""

    revision: str
    client_capabilities: Json
    client_info: Json | None = None
    log_level: str | None = None
    progress_token: RequestId | None = None
    rest: Json = field(default_factory=dict)
    stamps: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What goes upstream of it, by revision, where somebody worked it out."""


def is_modern_request(params: Json) -> bool:
    """True if the parameters name a revision in `_meta`, which only modern requests do."""
    meta = params.get("_meta")
    return type(meta) is dict and META_PROTOCOL_VERSION in meta


def read_envelope(params: Json) -> Envelope:
    """The envelope of a modern request. Raises InvalidParams for what is missing or malformed, UnsupportedRevision for
    another revision than ours. Over HTTP, check the headers first: they must agree with it before anything counts."""
    meta = params.get("_meta")
    if type(meta) is not dict:
        raise InvalidParams("`_meta` with the protocol version and the client capabilities is missing.")
    revision = meta.get(META_PROTOCOL_VERSION)
    if type(revision) is not str:
        raise InvalidParams(f"`_meta` needs {META_PROTOCOL_VERSION}, a string.")
    if revision != MODERN:
        raise unsupported(revision)
    capabilities = meta.get(META_CLIENT_CAPABILITIES)
    if type(capabilities) is not dict:
        raise InvalidParams(f"`_meta` needs {META_CLIENT_CAPABILITIES}, an object.")
    return Envelope(revision, capabilities, _client_info(meta), _log_level(meta), _progress_token(meta), _rest(meta))


def read_legacy(params: Json, *, revision: str, client_capabilities: Json, client_info: Json | None) -> Envelope:
    """The envelope of a legacy request, from its `_meta` and what its session knows. Raises InvalidParams."""
    meta = params.get("_meta")
    if meta is None:
        return Envelope(revision, client_capabilities, client_info)
    if type(meta) is not dict:
        raise InvalidParams("`_meta` is an object.")
    return Envelope(revision, client_capabilities, client_info, None, _progress_token(meta), _rest(meta))


def stamp(
    params: Json,
    *,
    revision: str,
    client_capabilities: Json,
    client_info: Json | None,
    log_level: str | None = None,
    progress_token: RequestId | None = None,
    rest: Json | None = None,
) -> Json:
    """New parameters for a modern upstream: `params` with a `_meta` of exactly these values. `rest` cannot override."""
    meta = _rest(rest or {})
    meta[META_PROTOCOL_VERSION] = revision
    meta[META_CLIENT_CAPABILITIES] = client_capabilities
    if client_info is not None:
        meta[META_CLIENT_INFO] = client_info
    if log_level is not None:
        meta[META_LOG_LEVEL] = log_level
    if progress_token is not None:
        meta[PROGRESS_TOKEN] = progress_token
    return {**params, "_meta": meta}


def stamp_legacy(params: Json, *, progress_token: RequestId | None = None, rest: Json | None = None) -> Json:
    """New parameters for a legacy upstream: `params` with progress token and `rest` in `_meta`, if there are any."""
    meta = _rest(rest or {})
    if progress_token is not None:
        meta[PROGRESS_TOKEN] = progress_token
    plain = {name: value for name, value in params.items() if name != "_meta"}
    return {**plain, "_meta": meta} if meta else plain


def _rest(meta: Json) -> Json:
    return {key: value for key, value in meta.items() if key not in _OWN_KEYS}


def _client_info(meta: Json) -> Json | None:
    info = meta.get(META_CLIENT_INFO)
    if info is not None and type(info) is not dict:
        raise InvalidParams(f"{META_CLIENT_INFO} is an object.")
    return info


def _log_level(meta: Json) -> str | None:
    level = meta.get(META_LOG_LEVEL)
    if level is not None and level not in LOG_LEVELS:
        raise InvalidParams(f"{META_LOG_LEVEL} is one of {', '.join(LOG_LEVELS)}.")
    return level


def _progress_token(meta: Json) -> RequestId | None:
    token = meta.get(PROGRESS_TOKEN)
    if token is not None and not is_request_id(token):
        raise InvalidParams("The progress token is a string of at most 256 bytes or an integer.")
    return token
