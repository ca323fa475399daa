"""What stands while a group of cases is measured: every contestant before its upstreams, frozen between its turns."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bench.backing import Backing, Ground
from bench.contestants.standing import Contestant, Standing, answers
from bench.installing import NotInstalled
from bench.processes import DidNotStart

SETTLE_S = 0.05
_NUMBERS = itertools.count(1)
"""Of all starts, so that the files of one are never those of another."""
_ADDRESS = re.compile(r"https?://[^\s'\")]+")
_PATH = re.compile(r"/(?:tmp|home|root|usr|opt|var|work|srv|etc)/[^\s'\":)]*")
TROUBLE = (
    DidNotStart,
    NotInstalled,
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    HTTPException,
    subprocess.SubprocessError,
)
"""What a peer that cannot be installed, started or understood ends in; its row says so and the run goes on."""


@dataclass(slots=True)
class Stand:
    """One contestant before one backing: standing, or the reason why it does not."""

    contestant: Contestant
    backing: Backing
    standing: Standing | None = None
    reason: str = ""
    loaded_rss_mib: float = 0.0

    def facts(self) -> dict[str, Any]:
        """How it started and what it weighed, as the results keep it."""
        found: dict[str, Any] = {"contestant": self.contestant.name, "backing": self.backing.name}
        if self.standing is None:
            return {**found, "reason": self.reason}
        idle = self.standing.idle
        return {
            **found,
            "start_s": self.standing.start_s,
            "idle_rss_mib": idle.rss_mib,
            "idle_pss_mib": idle.pss_mib,
            "processes": idle.processes,
            "loaded_rss_mib": self.loaded_rss_mib or None,
        }


@dataclass(slots=True)
class Stands:
    """All that stand together."""

    ground: Ground
    found: dict[tuple[str, str], Stand] = field(default_factory=dict)

    def start(self, contestant: Contestant, backing: Backing) -> Stand:
        """The stand of this contestant before this backing, started now if it is not there; frozen."""
        key = (contestant.name, backing.name)
        if key not in self.found:
            stand = self.found[key] = Stand(contestant, backing)
            try:
                stand.standing = contestant.start(contestant, self.ground, backing, next(_NUMBERS))
                stand.standing.program.freeze()
                print(
                    f"{contestant.name:30} {backing.name:28} answers after {stand.standing.start_s:.2f} s", flush=True
                )
            except TROUBLE as error:
                stand.reason = plain_reason(error, self.ground.work)
                print(f"{contestant.name:30} {backing.name:28} DID NOT START: {stand.reason}", flush=True)
        return self.found[key]

    def stop(self) -> None:
        """End them all, also when this run is told to end meanwhile."""
        with contextlib.ExitStack() as stack:
            for stand in self.found.values():
                if stand.standing is not None:
                    stack.callback(stand.standing.program.stop)


@contextlib.contextmanager
def turn(standing: Standing) -> Iterator[None]:
    """While this runs, the gateway runs too; and it has answered once before."""
    standing.program.thaw()
    with contextlib.suppress(OSError):
        answers(standing.endpoint, standing.speaks, standing.prefix)
    time.sleep(SETTLE_S)
    try:
        yield
    finally:
        standing.program.freeze()


def plain_reason(error: Exception, work: Path) -> str:
    """One line of the error, without paths of this machine or addresses of registries."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{lines[0]} {lines[-1]}" if len(lines) > 1 else "".join(lines)
    text = _ADDRESS.sub("…", text.replace(str(work), "…"))
    return _PATH.sub("…", text or type(error).__name__).replace("|", "/")[:240]
