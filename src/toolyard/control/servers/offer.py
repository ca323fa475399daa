"""What a virtual server offers: worked out from what was seen of its organization's upstreams, by the very function
that gateways use. Only where two tools want one name may a gateway, which remembers who had it first, decide otherwise.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from toolyard.contract.bindings import Binding
from toolyard.contract.catalog import ServerCatalog, build_catalog
from toolyard.contract.choice import Choice
from toolyard.contract.definitions import Observation
from toolyard.contract.patterns import compile_pattern
from toolyard.contract.snapshot import ServerSpec, Snapshot, ToolRule, UpstreamSpec
from toolyard.control.base.work import Work
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.specs import spec_of
from toolyard.control.servers.store import Seen, mark_of_tools, seen_of, upstreams_of
from toolyard.control.settings.service import default_timeouts, tools_switched_off
from toolyard.control.upstreams.model import UpstreamRow
from toolyard.control.upstreams.rules import is_approved

KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offers at this moment; `tools` are ordered by their names. `missing`: patterns that name no
    upstream, and chosen tools that are not there."""

    server: ServerCatalog
    tools: tuple[Binding, ...]
    missing: tuple[str, ...]

    def found(self, text: str) -> Sequence[Binding]:
        """Its tools by their names here; with a text, those that have it in a name or the description."""
        wanted = text.casefold()
        return [tool for tool in self.tools if wanted in _described(tool)] if wanted else self.tools


class Offers:
    """Works out what servers offer, and keeps the last few for the pages after the first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Offer] = OrderedDict()

    async def of(self, work: Work, row: ServerRow) -> Offer:
        """What one server offers."""
        off = await tools_switched_off(work)
        spec = spec_of(row, off.get(None, frozenset()) | off.get(row.organization_id, frozenset()))
        rows, timeout_s = await upstreams_of(work), (await default_timeouts(work))(row.organization_id)
        versions = tuple((one.id, one.version) for one in rows)
        mark = (row.id, row.version, tuple(spec.overrides), timeout_s, versions, await mark_of_tools(work))
        offer = self._kept.pop(mark, None)
        if offer is None:
            choice = Choice(spec)
            wanted = [one.id for one in rows if choice.may_offer(_upstream(one, (), timeout_s))]
            seen = await seen_of(work, wanted)
            offer = await asyncio.to_thread(_work_out, row, spec, rows, seen, timeout_s)
        self._kept[mark] = offer
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return offer


def _work_out(
    row: ServerRow, spec: ServerSpec, rows: Sequence[UpstreamRow], seen: Sequence[Seen], timeout_s: float
) -> Offer:
    by_upstream: dict[str, list[Seen]] = {}
    for one in seen:
        by_upstream.setdefault(one.upstream_id, []).append(one)
    upstreams = {one.name: _upstream(one, by_upstream.get(one.id, ()), timeout_s) for one in rows}
    observations = {one.name: _observation(one.name, by_upstream[one.id]) for one in rows if by_upstream.get(one.id)}
    snapshot = Snapshot(0, "", upstreams=upstreams, servers={spec.code: spec}, keys={})
    server = build_catalog(snapshot, observations, {}).servers[spec.code]
    tools = tuple(sorted(server.tools.values(), key=lambda tool: tool.exposed_name))
    return Offer(server, tools, tuple(_missing(row, spec, upstreams.values(), server)))


def _upstream(row: UpstreamRow, seen: Iterable[Seen], timeout_s: float) -> UpstreamSpec:
    """As much of an upstream as choosing from it needs. Within one organization its name is its id."""
    return UpstreamSpec(
        id=row.name,
        kind="mcp-http",
        enabled=row.enabled and row.started and is_approved(row),
        timeout_s=row.timeout_s or timeout_s,
        tools={one.name: _rule(one) for one in seen if one.kind == "tool"},
        tags=tuple(row.tags),
        own_tags=row.own_tags,
        organization=row.organization_id,
    )


def _rule(tool: Seen) -> ToolRule:
    return ToolRule(tool.enabled, tool.timeout_s, tags=tuple(tag for tag in tool.tags.split(",") if tag))


def _observation(upstream: str, seen: Sequence[Seen]) -> Observation:
    def of(kind: str) -> tuple[dict[str, Any], ...]:
        return tuple(_decode(one.content) for one in seen if one.kind == kind)

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


_decode = msgspec.json.Decoder(dict[str, Any]).decode


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
