"""Everything that can be compared, in the order of the tables."""

from __future__ import annotations

from bench.contestants.contextforge import CONTEXTFORGE, CONTEXTFORGE_STATEFUL
from bench.contestants.node_peers import MCP_HUB, SUPERGATEWAY, SUPERGATEWAY_STATELESS
from bench.contestants.proxies import HAPROXY, NGINX, NGINX_LEGACY
from bench.contestants.python_peers import (
    FASTMCP,
    FASTMCP_SHARED,
    FASTMCP_SHARED_STREAMS,
    FASTMCP_STREAMS,
    LITELLM,
    MCP_PROXY,
    MCP_PROXY_STATELESS,
    memoised,
)
from bench.contestants.standing import Contestant
from bench.contestants.toolyard import TOOLYARD, TOOLYARD_LEGACY, TOOLYARD_WORKERS

PEERS = (
    CONTEXTFORGE,
    memoised(CONTEXTFORGE, best=False),
    CONTEXTFORGE_STATEFUL,
    memoised(CONTEXTFORGE_STATEFUL, best=True),
    FASTMCP,
    memoised(FASTMCP, best=False),
    FASTMCP_SHARED,
    memoised(FASTMCP_SHARED, best=True),
    LITELLM,
    memoised(LITELLM, best=True),
    MCP_PROXY,
    MCP_PROXY_STATELESS,
    MCP_HUB,
    SUPERGATEWAY,
    SUPERGATEWAY_STATELESS,
)
BEST = tuple(peer for peer in PEERS if peer.best)
CONTESTANTS = (
    NGINX,
    NGINX_LEGACY,
    HAPROXY,
    TOOLYARD,
    TOOLYARD_LEGACY,
    TOOLYARD_WORKERS,
    *PEERS,
    FASTMCP_STREAMS,
    FASTMCP_SHARED_STREAMS,
)
EVERYBODY_ONCE = frozenset(one.name for one in CONTESTANTS if not one.name.endswith("-memoised"))
"""One mode less of those that are there with their TLS contexts memoised too."""


def named(name: str) -> Contestant:
    """The contestant of that name. Raises KeyError."""
    return {contestant.name: contestant for contestant in CONTESTANTS}[name]


def title_of(name: str) -> str:
    """How the tables call a contestant."""
    return next((contestant.title for contestant in CONTESTANTS if contestant.name == name), name)
