"""Rows into what gateways are to have: for the publisher, over all organizations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

from toolyard.contract.snapshot import Isolation, TaskRule, ToolRule, UpstreamKind, UpstreamLimits, UpstreamSpec
from toolyard.contract.upstream_form import header_problem, variable_problem
from toolyard.control.base.vault import Vault
from toolyard.control.base.work import Work
from toolyard.control.identity.model import DEFAULT_ORGANIZATION
from toolyard.control.upstreams.credentials import opened
from toolyard.control.upstreams.model import CredentialRow, UpstreamRow
from toolyard.control.upstreams.references import filled
from toolyard.control.upstreams.rules import credentials_of, is_approved
from toolyard.control.upstreams.store import all_credentials, all_upstreams
from toolyard.control.upstreams.tries import try_specs
from toolyard.kit.errors import PlatformError
from toolyard.kit.logs import get_logger
from toolyard.kit.secret import Secret

log = get_logger(__name__)
Problem = Callable[[str, str], str | None]
Rules = Mapping[str, Mapping[str, ToolRule]]
DATABASE: Final = "database"
UNSAID: Final = 0.0
"""The time limit of an upstream that says none, until whoever publishes it puts the organization's in its place."""
NO_RULES: Final[Rules] = {}


@dataclass(frozen=True, slots=True)
class Described:
    """One upstream for gateways: `id` is that of its row, `owner` who describes it."""

    id: str
    spec: UpstreamSpec
    owner: str


def gateway_id(slug: str, name: str) -> str:
    """What gateways call an upstream of the organization with this slug."""
    return name if slug == DEFAULT_ORGANIZATION else f"{slug}.{name}"


def called(upstream_id: str) -> tuple[str, str]:
    """The organization's slug and the name of what gateways call so."""
    slug, dot, name = upstream_id.rpartition(".")
    return (slug, name) if dot else (DEFAULT_ORGANIZATION, name)


async def upstream_specs(
    work: Work, vault: Vault, *, rules: Rules = NO_RULES, only: Collection[str] | None = None
) -> list[Described]:
    """All upstreams of all organizations that gateways are to know, with their secrets; `rules` of tools by the ids of
    upstreams' rows. Programs that nobody approved are left out. One whose credentials do not open is left out and
    logged: it must not keep the others from being published. What is to be tried is among them."""
    credentials: dict[str, dict[str, CredentialRow]] = {}
    for row in await all_credentials(work):
        credentials.setdefault(row.organization_id, {})[row.name] = row
    found: list[Described] = []
    for upstream, slug in await all_upstreams(work, only):
        if not is_approved(upstream):
            continue
        needed = [credentials.get(upstream.organization_id, {}).get(name) for name in credentials_of(upstream)]
        try:
            values = await opened(work, vault, _all_of(upstream, needed))
            spec = spec_of(upstream, slug, values, rules.get(upstream.id, {}))
        except (PlatformError, ValueError) as error:
            log.error("upstream_not_published", upstream=gateway_id(slug, upstream.name), reason=str(error))
            continue
        found.append(Described(upstream.id, spec, upstream.owner))
    if only is None:
        found += [Described(spec.id, spec, DATABASE) for spec in await try_specs(work, vault)]
    return found


def spec_of(row: UpstreamRow, slug: str, values: Mapping[str, Secret], tools: Mapping[str, ToolRule]) -> UpstreamSpec:
    """What a gateway is to have of one upstream. Raises ValueError for a header or variable that cannot be."""
    texts = {name: secret.reveal() for name, secret in values.items()}
    return UpstreamSpec(
        id=gateway_id(slug, row.name),
        kind=cast(UpstreamKind, row.kind),
        url=row.url,
        headers=_secrets(row.headers, texts, header_problem),
        command=tuple(row.command),
        env=_secrets(row.env, texts, variable_problem),
        cwd=row.cwd,
        enabled=row.enabled and row.started,
        timeout_s=UNSAID if row.timeout_s is None else row.timeout_s,
        isolation=cast(Isolation, row.isolation),
        idle_s=row.idle_s,
        max_processes=row.max_processes,
        max_connections=row.max_connections,
        allow_networks=tuple(row.allow_networks),
        tls_verify=row.tls_verify,
        tls_ca_file=row.tls_ca_file,
        limits=UpstreamLimits(**row.limits),
        tasks=TaskRule(row.task_after_s, row.task_required),
        tools=dict(tools),
        tags=tuple(row.tags),
        own_tags=row.own_tags,
        organization=row.organization_id,
        namespace=row.name if slug != DEFAULT_ORGANIZATION else None,
        restart_generation=row.restart_generation,
    )


def with_timeout(spec: UpstreamSpec, timeout_s: float) -> UpstreamSpec:
    """An upstream with a time limit: its own, or this one."""
    return spec if spec.timeout_s != UNSAID else replace(spec, timeout_s=timeout_s)


def _secrets(
    templates: Mapping[str, str], values: Mapping[str, str], problem: Problem
) -> tuple[tuple[str, Secret], ...]:
    pairs = []
    for name, text in sorted(templates.items()):
        value = filled(text, values)
        if wrong := problem(name, value):
            raise ValueError(f"{name}: {wrong}")
        pairs.append((name, Secret(value)))
    return tuple(pairs)


def _all_of(upstream: UpstreamRow, rows: Iterable[CredentialRow | None]) -> list[CredentialRow]:
    found = [row for row in rows if row is not None and row.upstream_id in (None, upstream.id)]
    if len(found) < len(credentials_of(upstream)):
        raise ValueError("a credential that it refers to is gone")
    return found
