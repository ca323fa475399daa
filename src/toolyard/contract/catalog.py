"""The catalog: snapshot and observations merged by one pure function.

A request reads one catalog from beginning to end. Order is stable: upstreams as configured, definitions by name within
an upstream. A name or URI belongs to one upstream; what collides is renamed (tools, prompts) or left to the first
upstream (resources), and reported.

Theory of operation. Each upstream brings its share to each server (`shares.py`); here shares are put together, which
costs a few dictionary updates for each upstream. What was in force before is handed in, and what has not changed is
taken over from it: shares, the tables made of them, whole servers. Nothing may depend on it but time: with and without
it the catalog is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolyard.contract.bindings import Binding, ResourceBinding, ToolTasks
from toolyard.contract.choice import BOTH, Choice, Rest
from toolyard.contract.definitions import Json, Observation
from toolyard.contract.given_names import GivenNames
from toolyard.contract.naming import Names, Origin
from toolyard.contract.shares import Share
from toolyard.contract.snapshot import ServerSpec, Snapshot, UpstreamSpec
from toolyard.contract.tables import Ground, Tables
from toolyard.protocol.header_parameters import HeaderParameter, InvalidToolHeaders, header_parameters
from toolyard.protocol.tasks import TASKS_EXTENSION

RELAYED_EXTENSIONS = frozenset({"io.modelcontextprotocol/ui", TASKS_EXTENSION})


@dataclass(frozen=True, slots=True)
class ServerCatalog:
    """All that one virtual server offers at this moment."""

    spec: ServerSpec
    upstream_ids: tuple[str, ...]
    tools: Mapping[str, Binding]
    prompts: Mapping[str, Binding]
    resources: Mapping[str, ResourceBinding]
    templates: tuple[ResourceBinding, ...]
    resource_owners: Mapping[str, float]
    """The upstreams that resources and templates here are of, with their time limits."""
    disabled_tools: frozenset[str]
    capabilities: Json
    instructions: str | None
    collisions: tuple[str, ...]
    unobserved: tuple[str, ...]
    ttl_ms: int
    compiled: dict[str, tuple[HeaderParameter, ...]] = field(default_factory=dict, compare=False, repr=False)
    tables: Tables | None = field(default=None, compare=False, repr=False)
    """What all of this was made of, for the catalog after this one."""
    choice: Choice | None = field(default=None, compare=False, repr=False)

    def lets_read(self, upstream_id: str, uri: str, *, by_template: bool) -> bool:
        """Whether a resource may be read that is in no list: by a template that is here, or because its upstream is the
        only one with resources."""
        if self.spec.resources is None or self.choice is None or self.tables is None:
            return True
        upstream = self.tables.upstreams[upstream_id]
        if by_template:
            return not self.choice.leaves_out_resource(upstream, uri)
        return self.choice.names_resource(upstream, uri)

    def header_parameters_of(self, tool: str) -> tuple[HeaderParameter, ...] | None:
        """The parameters of a tool that travel as headers, worked out once; None for a tool that is not here."""
        known = self.compiled.get(tool)
        if known is None and tool in self.tools:
            known = self.compiled[tool] = _header_parameters(self.tools[tool].definition)
        return known


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog of a whole gateway. `fresh` are the names in it that were not given before: to be stored and handed
    in next time. `seen` is what it was made of, also what no server offers."""

    snapshot: Snapshot
    servers: Mapping[str, ServerCatalog]
    fresh: Names = field(default_factory=dict)
    seen: Mapping[str, Observation] = field(default_factory=dict, compare=False, repr=False)

    @property
    def names(self) -> Names:
        """Every name in it."""
        return {
            Origin(*named.book, upstream_id, name): exposed
            for share in self._shares()
            for upstream_id, named in ((share.upstream.id, share.tools), (share.upstream.id, share.prompts))
            for name, exposed in named.bound.names.items()
        }

    def name_of(self, origin: Origin) -> str | None:
        """The name that a tool or prompt has here, if it is here."""
        server = self.servers.get(origin.server)
        share = server.tables.shares.get(origin.upstream_id) if server is not None and server.tables else None
        if share is None or share.tools.book.naming != origin.naming:
            return None
        return (share.tools if origin.kind == "tool" else share.prompts).bound.names.get(origin.name)

    def _shares(self) -> Iterator[Share]:
        for server in self.servers.values():
            if server.tables is not None:
                yield from server.tables.shares.values()


def build_catalog(
    snapshot: Snapshot, observations: Mapping[str, Observation], stored_names: Names, before: Catalog | None = None
) -> Catalog:
    """Merge intent and observations. Pure: equal arguments give equal catalogs, with any catalog `before`."""
    given = stored_names if isinstance(stored_names, GivenNames) else GivenNames(stored_names)
    kept: Mapping[str, ServerCatalog] = before.servers if before is not None else {}
    servers = {
        spec.code: _build_server(spec, snapshot, observations, given, kept.get(spec.code))
        for spec in snapshot.servers.values()
    }
    fresh = {o: n for server in servers.values() if server.tables for o, n in server.tables.fresh.items()}
    return Catalog(snapshot, servers, fresh, dict(observations))


def _header_parameters(definition: Json) -> tuple[HeaderParameter, ...]:
    try:
        return header_parameters(definition.get("inputSchema") or {})
    except InvalidToolHeaders:
        return ()


def _build_server(
    spec: ServerSpec,
    snapshot: Snapshot,
    observations: Mapping[str, Observation],
    given: GivenNames,
    before: ServerCatalog | None,
) -> ServerCatalog:
    choice = before.choice if before is not None and _chosen_alike(before.spec, spec) else None
    kept = before.tables if before is not None and choice is not None else None
    choice = choice or Choice(spec)
    upstreams = {u.id: u for u in snapshot.upstreams.values() if u.enabled and choice.may_offer(u)}
    seen = [(u, observations[u.id]) for u in upstreams.values() if u.id in observations]
    tables = Ground(spec, upstreams, given, choice).tables(seen, kept)
    shares = tables.shares
    unobserved = tuple(i for i in upstreams if i not in shares)
    rest = {i: shares[i].rest if i in shares else choice.rest(u) for i, u in upstreams.items()}
    here = {
        *(i for i, more in rest.items() if more), *unobserved,
        *(i for i, s in shares.items() if s.tools.bound.bindings),
    }  # fmt: skip
    made = ServerCatalog(
        spec=spec,
        upstream_ids=tuple(upstream_id for upstream_id in upstreams if upstream_id in here),
        tools=tables.tools,
        prompts=tables.prompts,
        resources=tables.resources,
        templates=tables.templates,
        resource_owners=tables.resource_owners,
        disabled_tools=tables.disabled_tools,
        capabilities=_with_tasks(
            _merge_capabilities(
                [_offered(o.capabilities, rest[u.id]) for u, o in seen if u.id in here],
                pending=frozenset().union(*(rest[upstream_id] for upstream_id in unobserved)),
            ),
            tables,
        ),
        instructions=_merge_instructions(spec, [(u, o) for u, o in seen if u.id in here]),
        collisions=tables.collisions,
        unobserved=unobserved,
        ttl_ms=0 if unobserved else min((o.ttl_ms for _, o in seen), default=0),
        tables=tables,
        choice=choice,
    )
    return before if before is not None and tables is before.tables and made == before else made


def _with_tasks(capabilities: Json, tables: Tables) -> Json:
    """The gateway itself offers tasks where the operator wants it."""
    if not any(share.tools.bound.becomes_tasks for share in tables.shares.values()):
        return capabilities
    extensions = {**_object(capabilities, "extensions"), TASKS_EXTENSION: {}}
    return {**capabilities, "extensions": extensions}


def _chosen_alike(before: ServerSpec, after: ServerSpec) -> bool:
    """Whether what upstreams bring to a server, and under which names, is the same for both."""
    one, other = ((s.tools, s.names, s.organization, s.overrides, s.prompts, s.resources) for s in (before, after))
    return one == other


def _offered(capabilities: Mapping[str, Any], rest: Rest) -> Json:
    """What an upstream declares for what is offered of it."""
    of_all = {"logging", "extensions"} | ({"completions"} if rest else set())
    if rest == BOTH:
        return dict(capabilities)
    return {name: value for name, value in capabilities.items() if name in of_all or name in rest}


def _merge_capabilities(offered: list[Mapping[str, Any]], *, pending: Rest) -> Json:
    """What at least one upstream offers and the gateway can honour. While an upstream has never been seen, the lists
    are declared: they are served, and a change of them is announced."""
    merged: Json = {"tools": {"listChanged": True}}
    if "resources" in pending or any(isinstance(c.get("resources"), dict) for c in offered):
        merged["resources"] = {"listChanged": True}
        if any(_object(c, "resources").get("subscribe") is True for c in offered):
            merged["resources"]["subscribe"] = True
    if "prompts" in pending or any(isinstance(c.get("prompts"), dict) for c in offered):
        merged["prompts"] = {"listChanged": True}
    for name in ("completions", "logging"):
        if any(name in c for c in offered):
            merged[name] = {}
    extensions = {k: v for c in offered for k, v in _object(c, "extensions").items() if k in RELAYED_EXTENSIONS}
    if extensions:
        merged["extensions"] = extensions
    return merged


def _object(capabilities: Mapping[str, Any], name: str) -> Json:
    found = capabilities.get(name)
    return found if isinstance(found, dict) else {}


def _merge_instructions(spec: ServerSpec, seen: list[tuple[UpstreamSpec, Observation]]) -> str | None:
    if spec.instructions is not None:
        return spec.instructions
    said = [(u.prefix, o.instructions) for u, o in seen if o.instructions]
    if not said:
        return None
    if len(said) == 1:
        return said[0][1]
    return "\n\n".join(f"## {namespace}\n{text[:4096]}" for namespace, text in said if text)


__all__ = [
    "RELAYED_EXTENSIONS",
    "Binding",
    "Catalog",
    "ResourceBinding",
    "ServerCatalog",
    "ToolTasks",
    "build_catalog",
]
