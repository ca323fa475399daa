"""The tables of one virtual server: the shares of its upstreams put together, with names that belong to one each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from toolyard.contract.bindings import Binding, ResourceBinding
from toolyard.contract.choice import Choice
from toolyard.contract.definitions import Observation
from toolyard.contract.given_names import Book, GivenNames
from toolyard.contract.naming import NameTable, Origin
from toolyard.contract.shares import Named, Share, share
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec

Upstreams = Mapping[str, UpstreamSpec]
Holders = tuple[Mapping[str, Origin], Mapping[str, Origin]]


@dataclass(frozen=True, slots=True)
class Tables:
    """What a server offers by name and by URI, and all that it was made of. `fresh`: names not given before."""

    shares: Mapping[str, Share]
    upstreams: Upstreams
    holders: Holders
    tools: Mapping[str, Binding]
    prompts: Mapping[str, Binding]
    resources: Mapping[str, ResourceBinding]
    templates: tuple[ResourceBinding, ...]
    resource_owners: Mapping[str, float]
    disabled_tools: frozenset[str]
    collisions: tuple[str, ...]
    fresh: Mapping[Origin, str]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the tables of a server are made from: `upstreams` are those it may offer something of."""

    spec: ServerSpec
    upstreams: Upstreams
    given: GivenNames
    chosen: Choice

    def tables(self, seen: Iterable[tuple[UpstreamSpec, Observation]], before: Tables | None) -> Tables:
        """The tables, with everything taken over from those `before` that would be the same. These were made for the
        same server with the same choice, naming and overrides."""
        shares = [self._share(u, o, before.shares.get(u.id) if before is not None else None) for u, o in seen]
        books = Book(self.spec.code, self.spec.names, "tool"), Book(self.spec.code, self.spec.names, "prompt")
        holders = self.given.holders(books[0]), self.given.holders(books[1])
        if before is not None and _is_same(before, shares, self.upstreams, holders):
            return before
        return self._put_together(shares, holders)

    def _share(self, upstream: UpstreamSpec, seen: Observation, before: Share | None) -> Share:
        if before is None or not before.still_of(upstream, seen):
            before = share(self.spec, upstream, seen, self.chosen)
        tools, prompts = (
            n.claiming(self.given.of_upstream(n.book, upstream.id)) for n in (before.tools, before.prompts)
        )
        if tools is before.tools and prompts is before.prompts:
            return before
        return replace(before, tools=tools, prompts=prompts)

    def _put_together(self, shares: list[Share], holders: Holders) -> Tables:
        tool_names = NameTable(holders[0], self._keeps_tool)
        prompt_names = NameTable(holders[1], self._keeps_prompt)
        tools = _named([s.tools for s in shares], tool_names)
        prompts = _named([s.prompts for s in shares], prompt_names)
        shares = [_with(s, t, p) for s, t, p in zip(shares, tools, prompts, strict=True)]
        resources, clashes = _merged([s.resources for s in shares])
        templates, same_templates = _merged([s.templates for s in shares])
        return Tables(
            shares={s.upstream.id: s for s in shares},
            upstreams=self.upstreams,
            holders=holders,
            tools=_all(tools),
            prompts=_all(prompts),
            resources=resources,
            templates=tuple(templates.values()),
            resource_owners={
                s.upstream.id: s.upstream.timeout_s
                for s in shares
                if _has_one(resources, s.resources) or _has_one(templates, s.templates)
            },
            disabled_tools=frozenset().union(*(t.bound.disabled for t in tools)),
            collisions=(*tool_names.collisions, *prompt_names.collisions, *clashes, *same_templates),
            fresh={**tool_names.fresh, **prompt_names.fresh},
        )

    def _keeps_tool(self, origin: Origin) -> bool:
        upstream = self.upstreams.get(origin.upstream_id)
        return upstream is not None and self.chosen.tools.may_name_tool(upstream, origin.name)

    def _keeps_prompt(self, origin: Origin) -> bool:
        upstream = self.upstreams.get(origin.upstream_id)
        return upstream is not None and self.chosen.names_prompt(upstream, origin.name)


def _is_same(before: Tables, shares: list[Share], upstreams: Upstreams, holders: Holders) -> bool:
    """Whether these make the tables that there were before: every name was given before, and nobody's was taken."""
    return (
        len(shares) == len(before.shares)
        and all(s is b for s, b in zip(shares, before.shares.values(), strict=True))
        and not before.fresh
        and all(h is b for h, b in zip(holders, before.holders, strict=True))
        and list(upstreams.items()) == list(before.upstreams.items())
    )


def _named(parts: list[Named], table: NameTable) -> list[Named]:
    names = table.assign([part.claims for part in parts])
    return [part.bound_to(own) for part, own in zip(parts, names, strict=True)]


def _with(share: Share, tools: Named, prompts: Named) -> Share:
    same = tools is share.tools and prompts is share.prompts
    return share if same else replace(share, tools=tools, prompts=prompts)


def _has_one(merged: Mapping[str, ResourceBinding], own: Mapping[str, ResourceBinding]) -> bool:
    """Whether at least one of an upstream's own is among the merged ones, and not hidden by another upstream's."""
    return any(merged[key] is binding for key, binding in own.items())


def _all(parts: list[Named]) -> dict[str, Binding]:
    found: dict[str, Binding] = {}
    for part in parts:
        found.update(part.bound.bindings)
    return found


def _merged(offered: list[dict[str, ResourceBinding]]) -> tuple[dict[str, ResourceBinding], list[str]]:
    """Resources of several upstreams by URI: the first upstream that has one keeps it."""
    found: dict[str, ResourceBinding] = {}
    clashes = []
    for bindings in offered:
        hidden = [] if found.keys().isdisjoint(bindings) else [key for key in bindings if key in found]
        for key in hidden:
            upstream_id, holder = bindings[key].upstream_id, found[key].upstream_id
            clashes.append(f"resource {key!r} of {upstream_id!r} is hidden: it belongs to {holder!r}")
        found.update({k: b for k, b in bindings.items() if k not in found} if hidden else bindings)
    return found, clashes
