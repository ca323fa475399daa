"""MCP servers that are started as child processes and spoken to over standard input and output, of both eras."""

from __future__ import annotations

import random

from toolyard.contract.snapshot import UpstreamSpec
from toolyard.gateway.call import UpstreamEvents
from toolyard.gateway.upstream.child import ChildChannel, start_child
from toolyard.gateway.upstream.child_process import Command
from toolyard.gateway.upstream.duplex import DuplexUpstream
from toolyard.gateway.upstream.opening import Dialling
from toolyard.gateway.upstream.processes import Processes
from toolyard.gateway.upstream.restarts import Restarts
from toolyard.kit.clock import Clock

PROBE_S = 10.0
"""Interpreters and package runners start slowly; who does not answer `server/discover` in time is initialized."""


class StdioUpstream(DuplexUpstream):
    """One command as an upstream. Each legacy session is a process of its own; a modern upstream is one process. All
    of them count in `processes`, which other upstreams share."""

    def __init__(
        self,
        spec: UpstreamSpec,
        *,
        events: UpstreamEvents,
        clock: Clock,
        era_hint: str | None = None,
        rng: random.Random | None = None,
        processes: Processes | None = None,
    ) -> None:
        dialling = Dialling(self._spawn, max_sessions=spec.max_processes, probe_timeout_s=PROBE_S, processes=processes)
        super().__init__(spec, dialling, events=events, clock=clock, restarts=Restarts(clock, rng), era_hint=era_hint)

    async def _spawn(self) -> ChildChannel:
        return await start_child(Command.of(self.spec))
