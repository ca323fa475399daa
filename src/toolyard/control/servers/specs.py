"""Rows into what gateways are to have: for the publisher, over all organizations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from toolyard.contract.pattern_form import exactly
from toolyard.contract.snapshot import Access, Naming, Override, RateLimit, ServerSpec
from toolyard.control.base.work import Work
from toolyard.control.servers.model import ServerRow
from toolyard.control.servers.store import of_all_organizations
from toolyard.control.settings.service import tools_switched_off

_OFF: Final = Override(enabled=False)
_NONE: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Described:
    """One virtual server for gateways, and who describes it: `database` or `file`."""

    spec: ServerSpec
    owner: str


async def server_specs(work: Work) -> list[Described]:
    """All virtual servers of all organizations. Those of a disabled organization are off, and so are tools that are
    switched off."""
    off = await tools_switched_off(work)
    found = []
    for row, organization in await of_all_organizations(work):
        tools = off.get(None, _NONE) | off.get(row.organization_id, _NONE)
        spec = spec_of(row, tools)
        found.append(Described(spec if organization.enabled else replace(spec, enabled=False), row.owner))
    return found


def spec_of(row: ServerRow, switched_off: frozenset[str] = _NONE) -> ServerSpec:
    """What gateways are to have of one virtual server."""
    return ServerSpec(
        code=row.code,
        tools=(*row.tools, *(exactly(*_parts(member)) for member in row.chosen)),
        names=cast(Naming, row.names),
        access=cast(Access, row.access),
        enabled=row.enabled,
        title=row.title,
        instructions=row.instructions,
        per_key=_rate(row.per_key),
        per_server=_rate(row.per_server),
        organization=row.organization_id,
        overrides=_overrides(row.overrides, switched_off),
        resources=_patterns(row.resources),
        prompts=_patterns(row.prompts),
        roles=tuple(row.roles),
        tiers=tuple(row.tiers),
    )


def _overrides(kept: Mapping[str, Mapping[str, Any]], switched_off: frozenset[str]) -> dict[str, Override]:
    overrides = {member: Override(**fields) for member, fields in sorted(kept.items())}
    for member in sorted(switched_off):
        overrides[member] = replace(overrides.get(member, _OFF), enabled=False)
    return overrides


def _parts(member: str) -> tuple[str, str]:
    namespace, _, tool = member.partition("/")
    return namespace, tool


def _patterns(patterns: list[str] | None) -> tuple[str, ...] | None:
    return None if patterns is None else tuple(patterns)


def _rate(kept: Mapping[str, float] | None) -> RateLimit | None:
    return RateLimit(**kept) if kept else None
