"""What is measured: the calls, before which upstreams, at which concurrency, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import backing as back
from bench.backing import Backing
from bench.calls import Kind
from bench.contestants.all import BEST, PEERS
from bench.contestants.contextforge import CONTEXTFORGE_STATEFUL
from bench.contestants.node_peers import MCP_HUB, SUPERGATEWAY, SUPERGATEWAY_STATELESS
from bench.contestants.proxies import HAPROXY, NGINX, NGINX_LEGACY
from bench.contestants.python_peers import (
    FASTMCP_SHARED,
    FASTMCP_SHARED_STREAMS,
    FASTMCP_STREAMS,
    LITELLM,
    MCP_PROXY,
    MCP_PROXY_STATELESS,
)
from bench.contestants.standing import Contestant
from bench.contestants.toolyard import TOOLYARD, TOOLYARD_LEGACY, TOOLYARD_WORKERS

CORE_LEVELS = (1, 16)
LIMITS = (NGINX, HAPROXY)
MATRIX = (*LIMITS, TOOLYARD, *BEST)
EVERYBODY = (*LIMITS, TOOLYARD, *PEERS)
BRIDGES = (MCP_PROXY, SUPERGATEWAY, FASTMCP_SHARED)
UNTUNED = (CONTEXTFORGE_STATEFUL, FASTMCP_SHARED, LITELLM, MCP_PROXY, MCP_HUB, SUPERGATEWAY)
"""One mode of each peer, for what is only in the long run."""
STREAMING = (CONTEXTFORGE_STATEFUL, FASTMCP_STREAMS, FASTMCP_SHARED_STREAMS, LITELLM, MCP_PROXY, MCP_HUB, SUPERGATEWAY)
"""The same in modes that can bring notifications."""
REFUSALS = """Refused calls (429, 503) are in brackets behind the wrong answers. They are not among the calls per
second, but their latencies are among the others."""
FIRST_PAGE = """Toolyard answers with a page of 1,000 tools, and its figures are of the first of ten; the others
answer with all 10,000 at once."""


@dataclass(frozen=True, slots=True)
class Case:
    """One table. Cases of one `group` stand at the same time and take turns; what may break somebody is in a group of
    its own: one peer's shared session does not outlive callers that go away in the middle of long answers. `half` adds,
    for each, calls at half the throughput it had at concurrency 16, sent by the clock. `may_refuse`: so many call that
    a gateway may turn some away, which is counted apart. `note` is what the reader of the table has to know; without
    `alike` no throughput is shown as a share of nginx's."""

    name: str
    title: str
    group: str
    backing: Backing
    kind: Kind
    who: Sequence[Contestant]
    levels: Sequence[int] = CORE_LEVELS
    traced: bool = False
    half: Sequence[Contestant] = ()
    may_refuse: bool = False
    alike: bool = True
    note: str = ""

    def cannot(self, contestant: Contestant) -> str | None:
        """Why this contestant has no figure here, if there is a reason known beforehand."""
        reasons = contestant.cannot
        if self.backing.kind in reasons:
            return reasons[self.backing.kind]
        if self.backing.upstreams > 1 and self.kind != "list" and "upstreams" in reasons:
            return reasons["upstreams"]
        return reasons.get(self.kind)


ECHO = Case("echo", "tools/call, echo (about 130 bytes)", "calls", back.PLAIN, "echo", MATRIX, half=(NGINX, TOOLYARD))
PAGE = Case("page", "tools/call, result of 10 KiB", "calls", back.PLAIN, "page", MATRIX)
TRACED = Case(
    "traced", "echo, every request with a traceparent of its own", "calls", back.PLAIN, "echo", (NGINX, TOOLYARD),
    traced=True,
)  # fmt: skip
LEGACY = Case(
    "legacy", "echo, 2025-11-25 client with sessions, 2025-11-25 upstream", "calls", back.PLAIN, "echo",
    (NGINX_LEGACY, TOOLYARD_LEGACY), (16,),
)  # fmt: skip
WORKERS = Case("workers", "echo, two worker processes on the one core", "calls", back.PLAIN, "echo",
               (TOOLYARD_WORKERS,), (16,))  # fmt: skip
MEGA = Case("mega", "tools/call, result of 1 MiB", "large", back.PLAIN, "mega", (NGINX, TOOLYARD), (16,))
STDIO = Case("stdio", "echo, stdio upstream", "calls", back.STDIO, "echo", (TOOLYARD, *BRIDGES), (16,))
LIST_1000 = Case("list-1000", "tools/list of 1,000 tools, from 20 upstreams", "lists", back.LISTED, "list", MATRIX)
ONE = Case("upstreams-1", "echo among 10 tools of 1 upstream", "many", back.ONE, "echo", (TOOLYARD,), (16,))
HUNDRED = Case(
    "upstreams-100", "echo among 10,000 tools of 100 upstreams", "many", back.HUNDRED, "echo", (TOOLYARD,), (16,)
)

CORE = (ECHO, PAGE, TRACED, LEGACY, WORKERS, MEGA, STDIO, LIST_1000, ONE, HUNDRED)
QUICK = tuple(
    replace(case, who=tuple(one for one in (NGINX, TOOLYARD) if one in case.who), half=())
    for case in (ECHO, PAGE, LIST_1000)
)
MODES = (SUPERGATEWAY_STATELESS, MCP_PROXY_STATELESS)
ALL = (
    replace(ECHO, who=EVERYBODY, half=(*LIMITS, TOOLYARD, *UNTUNED)),
    replace(PAGE, who=EVERYBODY),
    replace(TRACED, who=(NGINX, HAPROXY, TOOLYARD)),
    LEGACY,
    WORKERS,
    Case("echo-many", "echo, many clients", "crowd", back.PLAIN, "echo", (*LIMITS, TOOLYARD, *UNTUNED), (64, 256),
         may_refuse=True, note=REFUSALS),
    replace(STDIO, who=(TOOLYARD, *BRIDGES, *MODES, LITELLM, MCP_HUB), levels=CORE_LEVELS),
    Case("progress", "tools/call with 100 notifications of progress before the answer", "large", back.PLAIN,
         "progress", (*LIMITS, TOOLYARD, *STREAMING)),
    replace(MEGA, who=(*LIMITS, TOOLYARD, *UNTUNED), levels=CORE_LEVELS),
    Case("tls", "echo, upstream reached by TLS", "tls", back.TLS, "echo", (*LIMITS, TOOLYARD, *UNTUNED)),
    replace(LIST_1000, who=EVERYBODY),
    Case("list-10", "tools/list of 10 tools, from 1 upstream", "many", back.ONE, "list",
         (*LIMITS, TOOLYARD, *UNTUNED)),
    replace(ONE, who=(*LIMITS, TOOLYARD, *UNTUNED)),
    Case("upstreams-10", "echo among 1,000 tools of 10 upstreams", "many", back.TEN, "echo",
         (*LIMITS, TOOLYARD, *UNTUNED), (16,)),
    replace(HUNDRED, who=(*LIMITS, TOOLYARD, *UNTUNED)),
    Case("list-10000", "tools/list of 10,000 tools, from 100 upstreams", "many", back.HUNDRED, "list",
         (*LIMITS, TOOLYARD, *UNTUNED), alike=False, note=FIRST_PAGE),
)  # fmt: skip


def groups(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases by group, in the order in which they are written."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.group, []).append(case)
    return list(found.values())
