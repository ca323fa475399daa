"""What one upstream brings to one virtual server.

Most of the work on a catalog is done here, and once: a share is good as long as the upstream is configured the same,
offers the same, and is chosen from by the same patterns. A new catalog takes over the shares of the one before, and
makes only those anew that another observation or another intent calls for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from toolyard.contract.bindings import Binding, ResourceBinding, ToolTasks
from toolyard.contract.choice import Choice, Rest
from toolyard.contract.definitions import Json, Observation
from toolyard.contract.given_names import Book
from toolyard.contract.naming import Claims, Origin, chosen_name, claims, wanted_name
from toolyard.contract.snapshot import Override, ServerSpec, ToolRule, UpstreamSpec
from toolyard.contract.tags import operators_tags, own_tags, with_tags
from toolyard.protocol.tasks import TASKS_EXTENSION, needs_old_tasks

_USUAL = ToolRule()
_AS_IT_IS = Override()


@dataclass(frozen=True, slots=True)
class Part:
    """One tool or prompt before it has its exposed name. `binding` has the upstream's own."""

    binding: Binding
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Bound:
    """An upstream's tools or prompts under the exposed `names`, those that are on and the names of those that are
    off."""

    names: Mapping[str, str]
    bindings: dict[str, Binding]
    disabled: frozenset[str]
    becomes_tasks: bool = False
    """Whether a call of one of them may become a task here."""


@dataclass(frozen=True, slots=True)
class Named:
    """Tools or prompts of an upstream at a server, and the names that they claim and have."""

    book: Book
    parts: dict[str, Part]
    claims: Claims
    bound: Bound

    def claiming(self, given: Mapping[str, str]) -> Named:
        """The same with what it claims of the names `given` to the upstream now."""
        if given is self.claims.given:
            return self
        own = self.claims
        return replace(self, claims=claims(own.origins, own.wanted, given, own.chosen, own.namespace))

    def bound_to(self, names: Mapping[str, str]) -> Named:
        """The same under these names."""
        if names is self.bound.names:
            return self
        same = names == self.bound.names
        return replace(self, bound=replace(self.bound, names=names) if same else _bound(self.parts, names))


@dataclass(frozen=True, slots=True)
class Share:
    """What one upstream brings to one server. `rest`: what besides tools."""

    upstream: UpstreamSpec
    seen: Observation
    rest: Rest
    tools: Named
    prompts: Named
    resources: dict[str, ResourceBinding]
    templates: dict[str, ResourceBinding]

    def still_of(self, upstream: UpstreamSpec, seen: Observation) -> bool:
        """Whether this is what `upstream` brings when `seen` is what it offers, if the server's patterns and names are
        the same. Definitions that did not change are the very same tuples (`Observation.since`)."""
        before = self.seen
        return self.upstream == upstream and (
            before is seen
            or (
                before.tools is seen.tools
                and before.prompts is seen.prompts
                and before.resources is seen.resources
                and before.resource_templates is seen.resource_templates
                and (before.era, before.capabilities) == (seen.era, seen.capabilities)
            )
        )


def share(spec: ServerSpec, upstream: UpstreamSpec, seen: Observation, chosen: Choice) -> Share:
    """What `upstream`, which offers what was `seen`, brings to a server, before anything is named."""
    rest, allowed = chosen.rest(upstream), chosen.tools
    offered, all_of_it = _by_name(seen.tools), allowed.names_all(upstream)
    makes_tasks = seen.era == "modern" and _offers_tasks(seen.capabilities)
    overrides = _overrides_of(spec, upstream)
    tools = {
        tool["name"]: _tool(upstream, tool, overrides.get(tool["name"], _AS_IT_IS), makes_tasks=makes_tasks)
        for tool in offered
        if all_of_it or allowed.names_tool(upstream, tool)
    }
    prompts = {
        prompt["name"]: _prompt(upstream, prompt)
        for prompt in (_by_name(seen.prompts) if "prompts" in rest else ())
        if chosen.prompts is None or chosen.prompts.names(upstream, prompt["name"])
    }
    readable = "resources" in rest
    return Share(
        upstream,
        seen,
        rest,
        _unnamed(Book(spec.code, spec.names, "tool"), upstream, tools, overrides),
        _unnamed(Book(spec.code, spec.names, "prompt"), upstream, prompts, {}),
        _resources(upstream, "uri", seen.resources if readable else (), chosen),
        _resources(upstream, "uriTemplate", seen.resource_templates if readable else (), chosen),
    )


def _overrides_of(spec: ServerSpec, upstream: UpstreamSpec) -> dict[str, Override]:
    """The server's overrides of an upstream's tools, by their own names."""
    start = f"{upstream.prefix}/"
    return {key[len(start) :]: override for key, override in spec.overrides.items() if key.startswith(start)}


def _unnamed(book: Book, upstream: UpstreamSpec, parts: dict[str, Part], overrides: Mapping[str, Override]) -> Named:
    origins = tuple([Origin(*book, upstream.id, name) for name in parts])
    chosen = {
        origin.name: chosen_name(origin, override.name)
        for origin in (origins if overrides else ())
        if (override := overrides.get(origin.name)) is not None and override.name
    }
    wanted = {origin.name: wanted_name(origin, upstream.prefix) for origin in origins}
    nothing = claims(origins, {**wanted, **chosen} if chosen else wanted, {}, chosen, upstream.prefix)
    return Named(book, parts, nothing, Bound({}, {}, frozenset()))


def _bound(parts: dict[str, Part], names: Mapping[str, str]) -> Bound:
    bindings = {names[name]: _under(names[name], part.binding) for name, part in parts.items()}
    disabled = frozenset(names[name] for name, part in parts.items() if not part.enabled)
    if disabled:
        bindings = {name: binding for name, binding in bindings.items() if name not in disabled}
    after = any(b.tasks is not None and b.tasks.rule.after_s is not None for b in bindings.values())
    return Bound(names, bindings, disabled, after)


def _under(exposed: str, own: Binding) -> Binding:
    if exposed == own.exposed_name:
        return own
    shown = {**own.definition, "name": exposed}
    return Binding(exposed, own.upstream_id, own.upstream_name, shown, own.timeout_s, own.tasks, own.namespace)


def _tool(upstream: UpstreamSpec, tool: Json, override: Override, *, makes_tasks: bool) -> Part:
    name = tool["name"]
    rule = upstream.tools.get(name, _USUAL)
    limits = (override.timeout_s, rule.timeout_s, upstream.timeout_s)
    timeout_s = next(limit for limit in limits if limit is not None)
    tasks = _tasks_of(upstream, tool, rule, makes_tasks=makes_tasks)
    shown = _tagged(upstream, tool)
    if override is not _AS_IT_IS:
        shown = _shown_as(shown, override)
    enabled = rule.enabled and override.enabled is not False
    return Part(Binding(name, upstream.id, name, shown, timeout_s, tasks, upstream.prefix), enabled)


def _shown_as(tool: Json, override: Override) -> Json:
    """A definition as the server shows it; its name comes later."""
    said = {"title": override.title, "description": override.description}
    changed: Json = {name: text for name, text in said.items() if text is not None}
    if override.annotations is not None:
        own = tool.get("annotations")
        changed["annotations"] = {**(own if isinstance(own, dict) else {}), **override.annotations}
    return {**tool, **changed} if changed else tool


def _prompt(upstream: UpstreamSpec, prompt: Json) -> Part:
    return Part(Binding(prompt["name"], upstream.id, prompt["name"], prompt, upstream.timeout_s, None, upstream.prefix))


def _tagged(upstream: UpstreamSpec, tool: Json) -> Json:
    given = operators_tags(upstream, tool["name"])
    return with_tags(tool, given | own_tags(tool)) if given or "_meta" in tool else tool


def _tasks_of(upstream: UpstreamSpec, tool: Json, rule: ToolRule, *, makes_tasks: bool) -> ToolTasks | None:
    """None for a tool that has nothing to do with tasks, as most have."""
    wanted, old_only = rule.task if rule.task is not None else upstream.tasks, needs_old_tasks(tool)
    return ToolTasks(wanted, makes_tasks, old_only) if wanted.after_s is not None or makes_tasks or old_only else None


def _offers_tasks(capabilities: Mapping[str, Any]) -> bool:
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and isinstance(extensions.get(TASKS_EXTENSION), dict)


def _resources(
    upstream: UpstreamSpec, member: Literal["uri", "uriTemplate"], definitions: Iterable[Json], chosen: Choice
) -> dict[str, ResourceBinding]:
    found: dict[str, ResourceBinding] = {}
    for definition in sorted(definitions, key=lambda d: str(d[member])):
        key = definition[member]
        if chosen.resources is not None and not chosen.resources.names(upstream, key):
            continue
        found.setdefault(key, ResourceBinding(key, upstream.id, definition, upstream.timeout_s, key.partition("{")[0]))
    return found


def _by_name(definitions: tuple[Json, ...]) -> list[Json]:
    unique = {d["name"]: d for d in reversed(definitions)}
    return [unique[name] for name in sorted(unique)]
