"""The catalog in force. It swaps whole; a bad snapshot never replaces a good one.

`Lists` keeps what is asked for most, the encoded list results, as long as the catalog they were made of is in force.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from toolyard.contract.catalog import Binding, Catalog, ResourceBinding, ServerCatalog, build_catalog
from toolyard.contract.definitions import Json, Observation
from toolyard.contract.given_names import GivenNames
from toolyard.contract.naming import Names
from toolyard.contract.shares import Share
from toolyard.contract.snapshot import Snapshot

ListKind = Literal["tools", "resources", "prompts"]
KINDS: Final[tuple[ListKind, ...]] = ("tools", "resources", "prompts")
Changed = Callable[[str, frozenset[ListKind]], None]


class CatalogHolder:
    """Owns the catalog in force and everything it is made of.

    `on_change(server_code, kinds)` is called after a swap for every server whose lists changed.
    """

    def __init__(
        self, snapshot: Snapshot, observations: Mapping[str, Observation], names: Names, *, assigns: bool = True
    ) -> None:
        """`assigns`: names that are given here stay. Otherwise another process gives them (`take_names`), and those
        that are given here meanwhile hold until then."""
        self._assigns = assigns
        self._observations = dict(observations)
        self._names = GivenNames(names)
        self.current = build_catalog(snapshot, self._observations, self._names)
        if assigns:
            self._names = self._names.updated(self.current.fresh)
        self.on_change: Changed = lambda _code, _kinds: None
        self.on_swap: Callable[[Catalog], None] = lambda _catalog: None
        """Told of every catalog when it has come into force."""
        self._unsaved = dict(self.current.fresh)
        self.prepared: Catalog | None = None
        """The next catalog as far as it was made ahead. The one that comes into force takes over what it can of it."""
        self._preparing = threading.Lock()
        self._save_names: Callable[[Names], None] | None = None

    @property
    def on_names(self) -> Callable[[Names], None] | None:
        """Who keeps names that were given; gets those at once that were given while the first catalog was made."""
        return self._save_names

    @on_names.setter
    def on_names(self, save: Callable[[Names], None]) -> None:
        self._save_names = save
        self._save({})

    @property
    def names(self) -> Names:
        """All names that were given."""
        return self._names

    def take_names(self, names: Names) -> None:
        """Take over names that another process has given."""
        self._names = self._names.updated(names)
        if any(self.current.name_of(origin) not in (None, name) for origin, name in names.items()):
            self._swap(self.current.snapshot)

    def observation(self, upstream_id: str) -> Observation | None:
        """What was last seen on an upstream."""
        return self._observations.get(upstream_id)

    def prepare(self, *, snapshot: Snapshot | None = None, observation: Observation | None = None) -> None:
        """Do the work ahead that `offer` or `observe` would do: 2,000 definitions take 13 ms, which is too long for the
        event loop. To be called in another thread; whatever happens meanwhile, what comes into force is the same."""
        with self._preparing:
            seen = dict(self._observations)
            if observation is not None:
                known = seen.get(observation.upstream_id)
                fresh = seen[observation.upstream_id] = observation.since(known)
                if fresh is not observation:
                    return
            base = self.prepared or self.current
            self.prepared = build_catalog(snapshot or self.current.snapshot, seen, self._names, base)

    def offer(self, snapshot: Snapshot) -> bool:
        """Put a newer snapshot in force; False if it is not newer."""
        if snapshot.revision <= self.current.snapshot.revision:
            return False
        self._swap(snapshot)
        return True

    def observe(self, observation: Observation) -> bool:
        """Take in what an upstream offers now; False if nothing but the time changed."""
        known = self._observations.get(observation.upstream_id)
        seen = self._observations[observation.upstream_id] = observation.since(known)
        if known is not None and known.digest() == seen.digest() and known.ttl_ms == seen.ttl_ms:
            return False
        self._swap(self.current.snapshot)
        return True

    def _swap(self, snapshot: Snapshot) -> None:
        before, after = (
            self.current,
            build_catalog(snapshot, self._observations, self._names, self.prepared or self.current),
        )
        self.prepared = None
        if self._assigns:
            self._names = self._names.updated(after.fresh)
        self.current = after
        self.on_swap(after)
        self._save(after.fresh)
        for code, server in after.servers.items():
            kinds = _changed_lists(before.servers.get(code), server)
            if kinds:
                self.on_change(code, kinds)

    def _save(self, fresh: Names) -> None:
        self._unsaved.update(fresh)
        if self._unsaved and self._save_names is not None:
            self._save_names(self._unsaved)
            self._unsaved = {}


def _changed_lists(before: ServerCatalog | None, after: ServerCatalog) -> frozenset[ListKind]:
    """The lists that a client would find to be others. Where a call goes and how long it may take is not in them. What
    upstreams bring that have not changed need not be looked at: that is most of it."""
    if before is None or before is after:
        return frozenset()
    kinds: set[ListKind] = set()
    old, new = _shares(before), _shares(after)
    pairs = [(o, n) for o, n in zip(old, new, strict=False) if o is not n]
    others = [s.upstream.id for s in old] != [s.upstream.id for s in new]
    if others:
        return frozenset(kind for kind in KINDS if _list(before, kind) != _list(after, kind))
    if any(_shown(_tools(o)) != _shown(_tools(n)) for o, n in pairs):
        kinds.add("tools")
    if any(_shown(_prompts(o)) != _shown(_prompts(n)) for o, n in pairs):
        kinds.add("prompts")
    differ = any((o.resources, o.templates) != (n.resources, n.templates) for o, n in pairs)
    if differ and _list(before, "resources") != _list(after, "resources"):  # else another upstream's hides what changed
        kinds.add("resources")
    return frozenset(kinds)


def _shares(server: ServerCatalog) -> list[Share]:
    return list(server.tables.shares.values()) if server.tables is not None else []


def _tools(share: Share) -> Iterable[Binding]:
    return share.tools.bound.bindings.values()


def _prompts(share: Share) -> Iterable[Binding]:
    return share.prompts.bound.bindings.values()


def _list(server: ServerCatalog, kind: ListKind) -> list[Json]:
    if kind == "resources":
        return _shown((*server.resources.values(), *server.templates))
    return _shown((server.tools if kind == "tools" else server.prompts).values())


def _shown(bindings: Iterable[Binding | ResourceBinding]) -> list[Json]:
    return [binding.definition for binding in bindings]


__all__ = ["Catalog", "CatalogHolder", "ListKind"]
