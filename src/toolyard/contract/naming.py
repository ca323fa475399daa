"""Exposed names: which name a tool or prompt of an upstream has at one virtual server.

Theory: a name, once given, stays. Assigned names are stored by the gateway and handed in again, so a name is never
found by splitting a string and never moves because another upstream appeared. The name of a tool that is away stays its
own as long as its upstream is configured: nobody else's tool is called in its place. New names are given in the order
of the configuration; a wanted name that is taken is made unique with a digest of its origin. Whoever does not have the
name it wanted is reported, today and after every restart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Literal, NamedTuple

from toolyard.contract.snapshot import Naming

SEPARATOR = "__"
MAX_NAME_CHARS = 128
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.-]")


class Origin(NamedTuple):
    """Where an exposed name comes from; the key of the stored mapping."""

    server: str
    naming: Naming
    kind: Literal["tool", "prompt"]
    upstream_id: str
    name: str


Names = Mapping[Origin, str]


class NameTable:
    """The names of one kind at one server while a catalog is being made. `stored` are those given earlier; `keeps` says
    of one whose tool is not there now whether nobody else may have it."""

    def __init__(self, stored: Names, keeps: Callable[[Origin], bool] = lambda _origin: False) -> None:
        self._stored = stored
        self._holders = {name: origin for origin, name in stored.items()}
        self._keeps = keeps
        self.taken: dict[str, Origin] = {}
        self.collisions: list[str] = []

    def assign(self, origins: list[Origin]) -> dict[Origin, str]:
        """Give every origin its exposed name: stored ones first, then new ones in the order given."""
        assigned: dict[Origin, str] = {}
        for origin in origins:
            name = self._stored.get(origin)
            if name is not None and name not in self.taken:
                self.taken[name] = origin
                assigned[origin] = name
        for origin in origins:
            if origin not in assigned:
                assigned[origin] = name = self._new_name(origin)
                self.taken[name] = origin
        self.collisions += [told for o in origins if (told := self._collision(o, assigned[o])) is not None]
        return assigned

    def _new_name(self, origin: Origin) -> str:
        return next(name for name in _candidates(origin) if self._holder(name, origin) is None)

    def _holder(self, name: str, origin: Origin) -> Origin | None:
        """Whose a name is, if it is not `origin`'s to have."""
        holder = self.taken.get(name)
        if holder is None:
            holder = self._holders.get(name, origin)
            if holder != origin and not self._keeps(holder):
                return None
        return None if holder == origin else holder

    def _collision(self, origin: Origin, name: str) -> str | None:
        wanted = wanted_name(origin)
        holder = self._holder(wanted, origin) if name != wanted else None
        if holder is None:
            return None
        return (
            f"{origin.kind} {origin.name!r} of {origin.upstream_id!r} is exposed as {name!r}: "
            f"{wanted!r} belongs to {holder.upstream_id!r}"
        )


def wanted_name(origin: Origin) -> str:
    """The exposed name an origin gets where nobody else has it: allowed characters only, at most 128 of them."""
    name = _clean(origin.name)
    if origin.naming == "prefixed":
        name = f"{origin.upstream_id}{SEPARATOR}{name}"
    return _fit(name, origin)


def _candidates(origin: Origin) -> Iterator[str]:
    """The names an origin may get, the one it wants first."""
    wanted = wanted_name(origin)
    yield wanted
    if origin.naming == "plain":
        yield _fit(f"{origin.upstream_id}{SEPARATOR}{_clean(origin.name)}", origin)
    for attempt in count():
        yield _with_digest(wanted, origin, attempt)


def _clean(name: str) -> str:
    return _FORBIDDEN.sub("_", name) or "_"


def _fit(name: str, origin: Origin) -> str:
    return name if len(name) <= MAX_NAME_CHARS else _with_digest(name, origin)


def _with_digest(name: str, origin: Origin, attempt: int = 0) -> str:
    parts = [origin.upstream_id, origin.name, *([str(attempt)] if attempt else [])]
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: MAX_NAME_CHARS - 9]}_{digest}"
