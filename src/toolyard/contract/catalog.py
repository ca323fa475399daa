"""The catalog: snapshot and observations merged by one pure function.

A request reads one catalog from beginning to end. Order is stable: upstreams as configured, definitions by name within
an upstream. A name or URI belongs to one upstream; what collides is renamed (tools, prompts) or left to the first
upstream (resources), and reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal

from toolyard.contract.definitions import Json, Observation
from toolyard.contract.naming import Names, NameTable, Origin
from toolyard.contract.patterns import Patterns
from toolyard.contract.snapshot import ServerSpec, Snapshot, TaskRule, ToolRule, UpstreamSpec
from toolyard.contract.tags import operators_tags, own_tags, with_tags
from toolyard.protocol.header_parameters import HeaderParameter, InvalidToolHeaders, header_parameters
from toolyard.protocol.tasks import TASKS_EXTENSION, needs_old_tasks

Kind = Literal["tool", "prompt"]
RELAYED_EXTENSIONS = frozenset({"io.modelcontextprotocol/ui", TASKS_EXTENSION})


@dataclass(frozen=True, slots=True)
class ToolTasks:
    """What a tool has to do with tasks: the operator's `rule`, whether its upstream may make tasks itself, and whether
    it can be called only as a task of 2025-11-25, which is not offered."""

    rule: TaskRule
    upstream_makes: bool
    old_only: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """One tool or prompt as one virtual server exposes it. `definition` is what clients see; it carries the exposed
    name."""

    exposed_name: str
    upstream_id: str
    upstream_name: str
    definition: Json
    timeout_s: float
    tasks: ToolTasks | None = None


@dataclass(frozen=True, slots=True)
class ResourceBinding:
    """One resource or resource template; `key` is its URI or URI template, unchanged."""

    key: str
    upstream_id: str
    definition: Json
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ServerCatalog:
    """All that one virtual server offers at this moment."""

    spec: ServerSpec
    upstream_ids: tuple[str, ...]
    tools: Mapping[str, Binding]
    prompts: Mapping[str, Binding]
    resources: Mapping[str, ResourceBinding]
    templates: tuple[ResourceBinding, ...]
    disabled_tools: frozenset[str]
    capabilities: Json
    instructions: str | None
    collisions: tuple[str, ...]
    unobserved: tuple[str, ...]
    ttl_ms: int
    compiled: dict[str, tuple[HeaderParameter, ...]] = field(default_factory=dict, compare=False, repr=False)

    def header_parameters_of(self, tool: str) -> tuple[HeaderParameter, ...] | None:
        """The parameters of a tool that travel as headers, worked out once; None for a tool that is not here."""
        known = self.compiled.get(tool)
        if known is None and tool in self.tools:
            known = self.compiled[tool] = _header_parameters(self.tools[tool].definition)
        return known


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog of a whole gateway. `names` is every assignment in it, to be stored and handed in next time."""

    snapshot: Snapshot
    servers: Mapping[str, ServerCatalog]
    names: Names = field(default_factory=dict)


def build_catalog(snapshot: Snapshot, observations: Mapping[str, Observation], stored_names: Names) -> Catalog:
    """Merge intent and observations. Pure: equal arguments give equal catalogs."""
    names: dict[Origin, str] = {}
    stored: defaultdict[tuple[str, str, str], dict[Origin, str]] = defaultdict(dict)
    for origin, name in stored_names.items():
        stored[origin[:3]][origin] = name
    servers = {
        spec.code: _build_server(spec, snapshot, observations, stored, names) for spec in snapshot.servers.values()
    }
    return Catalog(snapshot, servers, names)


def _header_parameters(definition: Json) -> tuple[HeaderParameter, ...]:
    try:
        return header_parameters(definition.get("inputSchema") or {})
    except InvalidToolHeaders:
        return ()


def _build_server(
    spec: ServerSpec,
    snapshot: Snapshot,
    observations: Mapping[str, Observation],
    stored: Mapping[tuple[str, str, str], Names],
    names: dict[Origin, str],
) -> ServerCatalog:
    allowed = Patterns(spec.tools)
    upstreams = {u.id: u for u in snapshot.upstreams.values() if u.enabled and allowed.may_offer(u)}
    whole = {u.id for u in upstreams.values() if allowed.offers_rest(u)}
    seen = [(u, observations[u.id]) for u in upstreams.values() if u.id in observations]
    rest = [(u, o) for u, o in seen if u.id in whole]
    of_tools, of_prompts = (stored.get((spec.code, spec.names, kind), {}) for kind in ("tool", "prompt"))
    tools = NameTable(
        of_tools, lambda o: o.upstream_id in upstreams and allowed.may_name_tool(upstreams[o.upstream_id], o.name)
    )
    prompts = NameTable(of_prompts, lambda o: o.upstream_id in whole)
    tool_bindings, disabled = _bind_tools(spec, seen, allowed, tools, names)
    prompt_bindings = _bind(spec, "prompt", [(u, p) for u, o in rest for p in _by_name(o.prompts)], prompts, names)
    resources, clashes = _bind_resources("uri", [(u, o.resources) for u, o in rest])
    templates, same_templates = _bind_resources("uriTemplate", [(u, o.resource_templates) for u, o in rest])
    unobserved = tuple(upstream_id for upstream_id in upstreams if upstream_id not in observations)
    here = whole.union(unobserved, (b.upstream_id for b in tool_bindings.values()))
    return ServerCatalog(
        spec=spec,
        upstream_ids=tuple(upstream_id for upstream_id in upstreams if upstream_id in here),
        tools=tool_bindings,
        prompts=prompt_bindings,
        resources=resources,
        templates=tuple(templates.values()),
        disabled_tools=disabled,
        capabilities=_with_tasks(
            _merge_capabilities(
                [o.capabilities if u.id in whole else _of_tools(o.capabilities) for u, o in seen if u.id in here],
                pending=any(upstream_id in whole for upstream_id in unobserved),
            ),
            tool_bindings,
        ),
        instructions=_merge_instructions(spec, [(u, o) for u, o in seen if u.id in here]),
        collisions=(*tools.collisions, *prompts.collisions, *clashes, *same_templates),
        unobserved=unobserved,
        ttl_ms=0 if unobserved else min((o.ttl_ms for _, o in seen), default=0),
    )


def _bind_tools(
    spec: ServerSpec,
    seen: list[tuple[UpstreamSpec, Observation]],
    allowed: Patterns,
    table: NameTable,
    names: dict[Origin, str],
) -> tuple[dict[str, Binding], frozenset[str]]:
    offered = [
        (u, tool) for u, observation in seen for tool in _by_name(observation.tools) if allowed.names_tool(u, tool)
    ]
    makers = frozenset(u.id for u, o in seen if o.era == "modern" and _offers_tasks(o.capabilities))
    bindings = _bind(spec, "tool", offered, table, names, makers)
    rules = {u.id: u.tools for u, _ in seen}
    disabled = frozenset(
        name
        for name, binding in bindings.items()
        if not rules[binding.upstream_id].get(binding.upstream_name, ToolRule()).enabled
    )
    return {name: b for name, b in bindings.items() if name not in disabled}, disabled


def _bind(
    spec: ServerSpec,
    kind: Kind,
    offered: list[tuple[UpstreamSpec, Json]],
    table: NameTable,
    names: dict[Origin, str],
    task_makers: Set[str] = frozenset(),
) -> dict[str, Binding]:
    origins = [Origin(spec.code, spec.names, kind, u.id, d["name"]) for u, d in offered]
    assigned = table.assign(origins)
    names.update(assigned)
    bindings = {}
    for (upstream, definition), origin in zip(offered, origins, strict=True):
        exposed = assigned[origin]
        rule = upstream.tools.get(definition["name"]) if kind == "tool" else None
        timeout_s = rule.timeout_s if rule is not None and rule.timeout_s is not None else upstream.timeout_s
        shown = _tagged(upstream, definition) if kind == "tool" else definition
        if exposed != definition["name"]:
            shown = {**shown, "name": exposed}
        tasks = _tasks_of(upstream, definition, rule, task_makers) if kind == "tool" else None
        bindings[exposed] = Binding(exposed, upstream.id, definition["name"], shown, timeout_s, tasks)
    return bindings


def _tagged(upstream: UpstreamSpec, definition: Json) -> Json:
    given, own = operators_tags(upstream, definition["name"]), own_tags(definition)
    return with_tags(definition, given | own)


def _tasks_of(
    upstream: UpstreamSpec, definition: Json, rule: ToolRule | None, task_makers: Set[str]
) -> ToolTasks | None:
    """None for a tool that has nothing to do with tasks, as most have."""
    wanted = rule.task if rule is not None and rule.task is not None else upstream.tasks
    makes, old_only = upstream.id in task_makers, needs_old_tasks(definition)
    return ToolTasks(wanted, makes, old_only) if wanted.after_s is not None or makes or old_only else None


def _offers_tasks(capabilities: Mapping[str, Any]) -> bool:
    return isinstance(_object(capabilities, "extensions").get(TASKS_EXTENSION), dict)


def _with_tasks(capabilities: Json, tools: Mapping[str, Binding]) -> Json:
    """The gateway itself offers tasks where the operator wants it."""
    if not any(b.tasks is not None and b.tasks.rule.after_s is not None for b in tools.values()):
        return capabilities
    extensions = {**_object(capabilities, "extensions"), TASKS_EXTENSION: {}}
    return {**capabilities, "extensions": extensions}


def _bind_resources(
    member: Literal["uri", "uriTemplate"], offered: list[tuple[UpstreamSpec, tuple[Json, ...]]]
) -> tuple[dict[str, ResourceBinding], list[str]]:
    bindings: dict[str, ResourceBinding] = {}
    clashes = []
    for upstream, definitions in offered:
        for definition in sorted(definitions, key=lambda d: str(d[member])):
            key = definition[member]
            holder = bindings.setdefault(key, ResourceBinding(key, upstream.id, definition, upstream.timeout_s))
            if holder.upstream_id != upstream.id:
                clashes.append(f"resource {key!r} of {upstream.id!r} is hidden: it belongs to {holder.upstream_id!r}")
    return bindings, clashes


def _by_name(definitions: tuple[Json, ...]) -> list[Json]:
    unique = {d["name"]: d for d in reversed(definitions)}
    return [unique[name] for name in sorted(unique)]


def _of_tools(capabilities: Mapping[str, Any]) -> Json:
    """What an upstream declares for its tools, where nothing else of it is offered."""
    return {name: value for name, value in capabilities.items() if name in ("logging", "extensions")}


def _merge_capabilities(offered: list[Mapping[str, Any]], *, pending: bool) -> Json:
    """What at least one upstream offers and the gateway can honour. While an upstream has never been seen, the lists
    are declared: they are served, and a change of them is announced."""
    merged: Json = {"tools": {"listChanged": True}}
    if pending or any(isinstance(c.get("resources"), dict) for c in offered):
        merged["resources"] = {"listChanged": True}
        if any(_object(c, "resources").get("subscribe") is True for c in offered):
            merged["resources"]["subscribe"] = True
    if pending or any(isinstance(c.get("prompts"), dict) for c in offered):
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
    said = [(u.id, o.instructions) for u, o in seen if o.instructions]
    if not said:
        return None
    if len(said) == 1:
        return said[0][1]
    return "\n\n".join(f"## {upstream_id}\n{text[:4096]}" for upstream_id, text in said if text)
