"""What a virtual server offers: worked out from what was seen of its organization's upstreams, by the very function
that gateways use. Only where two tools want one name may a gateway, which remembers who had it first, decide otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolyard.contract.bindings import Binding
from toolyard.contract.catalog import ServerCatalog, build_catalog
from toolyard.contract.choice import Choice
from toolyard.contract.definitions import Observation
from toolyard.contract.patterns import compile_pattern
from toolyard.contract.snapshot import ServerSpec, Snapshot, ToolRule, UpstreamSpec
from toolyard.control.base.work import Work
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.specs import spec_of
from toolyard.control.servers.store import seen_of, upstreams_of
from toolyard.control.settings.service import tools_switched_off
from toolyard.control.tools.model import ToolRow
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.rules import is_approved


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offers at this moment. `missing`: patterns that name no upstream, and chosen tools that are not
    there."""

    server: ServerCatalog
    upstreams: Mapping[str, UpstreamSpec]
    missing: tuple[str, ...]

    def tools(self, text: str) -> list[Binding]:
        """Its tools, by their names here; with a text, those that have it in a name or the description."""
        wanted = text.casefold()
        found = sorted(self.server.tools.values(), key=lambda tool: tool.exposed_name)
        return [tool for tool in found if wanted in _described(tool)] if wanted else found


async def offer_of(work: Work, row: ServerRow) -> Offer:
    """What one server offers."""
    off = await tools_switched_off(work)
    spec = spec_of(row, off.get(None, frozenset()) | off.get(row.organization_id, frozenset()))
    choice, rows = Choice(spec), await upstreams_of(work)
    seen = [one for one in rows if choice.may_offer(_upstream(one, ()))]
    tools: dict[str, list[tuple[ToolRow, Mapping[str, Any]]]] = {one.id: [] for one in seen}
    for tool, content in await seen_of(work, list(tools)):
        tools[tool.upstream_id].append((tool, content))
    upstreams = {one.name: _upstream(one, (tool for tool, _ in tools.get(one.id, ()))) for one in rows}
    observations = {one.name: _observation(one.name, tools[one.id]) for one in seen if tools[one.id]}
    snapshot = Snapshot(0, "", upstreams=upstreams, servers={spec.code: spec}, keys={})
    server = build_catalog(snapshot, observations, {}).servers[spec.code]
    return Offer(server, upstreams, tuple(_missing(row, spec, upstreams.values(), server)))


def _upstream(row: UpstreamRow, tools: Iterable[ToolRow]) -> UpstreamSpec:
    """As much of an upstream as choosing from it needs. Within one organization its name is its id."""
    return UpstreamSpec(
        id=row.name,
        kind="mcp-http",
        enabled=row.enabled and row.started and is_approved(row),
        timeout_s=row.timeout_s,
        tools={one.name: ToolRule(one.enabled, one.timeout_s, tags=_tags(one)) for one in tools if one.kind == "tool"},
        tags=tuple(row.tags),
        own_tags=row.own_tags,
        organization=row.organization_id,
    )


def _tags(tool: ToolRow) -> tuple[str, ...]:
    return tuple(tag for tag in tool.tags.split(",") if tag)


def _observation(upstream: str, tools: Sequence[tuple[ToolRow, Mapping[str, Any]]]) -> Observation:
    def of(kind: str) -> tuple[dict[str, Any], ...]:
        return tuple(dict(content) for tool, content in tools if tool.kind == kind)

    return Observation(
        upstream_id=upstream,
        era="modern",
        revision="",
        server_info={},
        capabilities={},
        instructions=None,
        tools=of("tool"),
        resources=of("resource"),
        resource_templates=of("template"),
        prompts=of("prompt"),
        observed_at=0.0,
    )


def _missing(
    row: ServerRow, spec: ServerSpec, upstreams: Iterable[UpstreamSpec], server: ServerCatalog
) -> Iterable[str]:
    known = list(upstreams)
    for pattern in row.tools:
        compiled = compile_pattern(pattern.removeprefix("!"))
        if not any(compiled.may_name_one_of(one) for one in known):
            yield pattern
    here = {f"{tool.namespace}/{tool.upstream_name}" for tool in server.tools.values()}
    off = {member for member, override in spec.overrides.items() if override.enabled is False}
    off |= {f"{one.prefix}/{name}" for one in known for name, rule in one.tools.items() if not rule.enabled}
    yield from (member for member in row.chosen if member not in here | off)


def _described(tool: Binding) -> str:
    told = (tool.exposed_name, tool.upstream_name, tool.definition.get("title"), tool.definition.get("description"))
    return "\n".join(str(one) for one in told if one).casefold()
