"""Exposed names: which name a tool or prompt of an upstream has at one virtual server.

Theory: a name, once given, stays. Assigned names are stored by the gateway and handed in again, so a name is never
found by splitting a string and never moves because another upstream appeared. The name of a tool that is away stays its
own as long as its upstream is configured: nobody else's tool is called in its place. New names are given in the order
of the configuration; a wanted name that is taken is made unique with a digest of its origin. Whoever does not have the
name it wanted is reported, today and after every restart.

A name that the operator chose for a tool at a server (`Override.name`) comes after the names given and before new ones.
It is not stored: without it the tool has its own name again, which nobody but another chosen name takes meanwhile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal, NamedTuple

from toolyard.contract.snapshot import Naming

SEPARATOR = "__"
MAX_NAME_CHARS = 128
Kind = Literal["tool", "prompt"]
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.-]")


class Origin(NamedTuple):
    """Where an exposed name comes from; the key of the stored mapping."""

    server: str
    naming: Naming
    kind: Kind
    upstream_id: str
    name: str


Names = Mapping[Origin, str]
_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Claims:
    """The names that one upstream's tools or prompts were given earlier, as long as nobody else takes them: worked out
    once, and good as long as the upstream offers the same and the names are the same.

    `wanted`: what they would get if nobody else was there, and `names`: what they have, both by what the upstream calls
    them; `claimed`: the origins by these names; `unclaimed`: those to be named; `displaced`: those that have another
    name than the wanted one; `chosen`: the names that the operator chose, which are wanted and claim nothing;
    `namespace`: the upstream's."""

    origins: tuple[Origin, ...]
    wanted: Mapping[str, str]
    given: Mapping[str, str]
    names: Mapping[str, str]
    claimed: dict[str, Origin]
    unclaimed: tuple[Origin, ...]
    displaced: tuple[Origin, ...]
    chosen: Mapping[str, str]
    namespace: str


def claims(
    origins: tuple[Origin, ...],
    wanted: Mapping[str, str],
    given: Mapping[str, str],
    chosen: Mapping[str, str] = _NONE,
    namespace: str = "",
) -> Claims:
    """What these origins, all of one upstream, claim of the names `given` to it."""
    claimed: dict[str, Origin] = {}
    names: dict[str, str] = {}
    for origin in origins:
        exposed = given.get(origin.name)
        if exposed is not None and exposed not in claimed and origin.name not in chosen:
            claimed[exposed] = origin
            names[origin.name] = exposed
    unclaimed = tuple(o for o in origins if o.name not in names) if len(names) < len(origins) else ()
    displaced = tuple(o for o in claimed.values() if names[o.name] != wanted[o.name])
    return Claims(origins, wanted, given, names, claimed, unclaimed, displaced, chosen, namespace)


class NameTable:
    """The names of one kind at one server while a catalog is being made. `holders` says who was given a name last;
    `keeps` says of one whose tool is not there now whether nobody else may have it."""

    def __init__(self, holders: Mapping[str, Origin], keeps: Callable[[Origin], bool] = lambda _origin: False) -> None:
        self._holders = holders
        self._keeps = keeps
        self.taken: dict[str, Origin] = {}
        self.collisions: list[str] = []
        self.fresh: dict[Origin, str] = {}
        """Names that were not given before."""
        self._renamed: frozenset[Origin] = frozenset()
        """Those for which other names were chosen than they were given."""

    def assign(self, claimants: Sequence[Claims]) -> list[Mapping[str, str]]:
        """Give every origin its exposed name: claimed ones first, then new ones in the order given. For each of the
        claimants: names by what its upstream calls them; its own `names` where that is all."""
        left = [self._take_claimed(c) for c in claimants]
        self._renamed = frozenset(o for c in claimants if c.chosen for o in c.origins if o.name in c.chosen)
        for c in claimants:
            self._take_chosen(c)
        assigned = [self._names(c, o) if o else c.names for c, o in zip(claimants, left, strict=True)]
        for c, names in zip(claimants, assigned, strict=True):
            concerned = c.displaced if names is c.names else c.origins
            for o in concerned:
                if names[o.name] != c.wanted[o.name]:
                    self._tell_collision(o, names[o.name], c.wanted[o.name], chosen=o.name in c.chosen)
        return assigned

    def _take_claimed(self, c: Claims) -> Sequence[Origin]:
        """Take what is claimed and free; who is left without a name."""
        if self.taken.keys().isdisjoint(c.claimed):
            self.taken.update(c.claimed)
            return c.unclaimed
        for name, origin in c.claimed.items():
            self.taken.setdefault(name, origin)
        return [o for o in c.origins if self.taken.get(c.names.get(o.name, "")) is not o]

    def _take_chosen(self, c: Claims) -> None:
        """Take the names that the operator chose, as far as they are free."""
        for origin in c.origins if c.chosen else ():
            name = c.chosen.get(origin.name)
            if name is not None and self._holder(name, origin, chosen=True) is None:
                self.taken[name] = origin

    def _names(self, c: Claims, left: Sequence[Origin]) -> dict[str, str]:
        """The names of all, with new ones for who is `left` without."""
        names = dict(c.wanted)
        names.update(c.names)
        for origin in left:
            if origin.name in c.chosen and self.taken.get(c.chosen[origin.name]) is origin:
                continue
            name = self._new_name(c, origin)
            if origin.name not in c.chosen or origin.name not in c.given:
                self.fresh[origin] = name
            self.taken[name] = origin
            names[origin.name] = name
        return names

    def _new_name(self, c: Claims, origin: Origin) -> str:
        wanted = c.wanted[origin.name]
        if origin.name in c.chosen:
            wanted = c.given.get(origin.name) or wanted_name(origin, c.namespace)
        if self._holder(wanted, origin) is None:
            return wanted
        return next(name for name in _candidates(origin, c.namespace) if self._holder(name, origin) is None)

    def _holder(self, name: str, origin: Origin, *, chosen: bool = False) -> Origin | None:
        """Whose a name is, if it is not `origin`'s to have. A `chosen` name may be one that was given to somebody for
        whom another was chosen."""
        holder = self.taken.get(name)
        if holder is None:
            holder = self._holders.get(name, origin)
            if holder != origin and ((chosen and holder in self._renamed) or not self._keeps(holder)):
                return None
        return None if holder == origin else holder

    def _tell_collision(self, origin: Origin, name: str, wanted: str, *, chosen: bool) -> None:
        holder = self._holder(wanted, origin, chosen=chosen)
        if holder is not None:
            self.collisions.append(
                f"{origin.kind} {origin.name!r} of {origin.upstream_id!r} is exposed as {name!r}: "
                f"{wanted!r} belongs to {holder.upstream_id!r}"
            )


def wanted_name(origin: Origin, namespace: str = "") -> str:
    """The exposed name an origin gets where nobody else has it: allowed characters only, at most 128 of them. Without a
    `namespace` the upstream's id keeps prefixed names apart."""
    name = _clean(origin.name)
    if origin.naming == "prefixed":
        name = f"{namespace or origin.upstream_id}{SEPARATOR}{name}"
    return _fit(name, origin)


def chosen_name(origin: Origin, text: str) -> str:
    """The exposed name that an operator's `text` is."""
    return _fit(_clean(text), origin)


def _candidates(origin: Origin, namespace: str) -> Iterator[str]:
    """The names an origin may get, the one it wants first."""
    wanted = wanted_name(origin, namespace)
    yield wanted
    if origin.naming == "plain":
        yield _fit(f"{namespace or origin.upstream_id}{SEPARATOR}{_clean(origin.name)}", origin)
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
