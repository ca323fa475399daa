"""What one virtual server takes of its organization's upstreams: tools, prompts and resources."""

from __future__ import annotations

from typing import Final, Literal

from toolyard.contract.patterns import Pattern, Patterns, compile_pattern
from toolyard.contract.snapshot import ServerSpec, UpstreamSpec

Rest = frozenset[Literal["prompts", "resources"]]
"""What of an upstream is offered besides tools."""
BOTH: Final[Rest] = frozenset({"prompts", "resources"})
_REST: Final[dict[tuple[bool, bool], Rest]] = {
    (False, False): frozenset(),
    (True, False): frozenset({"prompts"}),
    (False, True): frozenset({"resources"}),
    (True, True): BOTH,
}


class Globs:
    """Patterns for prompts by name, or for resources by URI: `namespace/what` globs, `*` for all, a leading `!` to
    leave out. Tags mean nothing here."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._include = [_glob(p) for p in patterns if not p.startswith("!")]
        self._exclude = [_glob(p[1:]) for p in patterns if p.startswith("!")]

    def may_name(self, upstream: UpstreamSpec) -> bool:
        """Whether anything of an upstream may be chosen."""
        return any(p.upstream(upstream.prefix) for p in self._include)

    def names(self, upstream: UpstreamSpec, key: str) -> bool:
        """Whether this is chosen."""
        return _names(self._include, upstream, key) and not self.leaves_out(upstream, key)

    def leaves_out(self, upstream: UpstreamSpec, key: str) -> bool:
        """Whether this is left out by name, whatever chooses it."""
        return _names(self._exclude, upstream, key)


class Choice:
    """The choice of one server. Prompts and resources without patterns of their own go with their upstream (see
    `Patterns`)."""

    def __init__(self, spec: ServerSpec) -> None:
        self._organization = spec.organization
        self.tools = Patterns(spec.tools)
        self.prompts = Globs(spec.prompts) if spec.prompts is not None else None
        self.resources = Globs(spec.resources) if spec.resources is not None else None

    def may_offer(self, upstream: UpstreamSpec) -> bool:
        """Whether the server may offer anything of this upstream."""
        if upstream.organization != self._organization:
            return False
        return self.tools.may_offer(upstream) or bool(self.rest(upstream))

    def rest(self, upstream: UpstreamSpec) -> Rest:
        """What the server may offer of this upstream besides tools."""
        both = self.tools.offers_rest(upstream)
        prompts = both if self.prompts is None else self.prompts.may_name(upstream)
        resources = both if self.resources is None else self.resources.may_name(upstream)
        return _REST[prompts, resources]

    def names_prompt(self, upstream: UpstreamSpec, name: str) -> bool:
        """Whether the server offers this prompt, or would."""
        if self.prompts is None:
            return self.tools.offers_rest(upstream)
        return self.prompts.names(upstream, name)

    def names_resource(self, upstream: UpstreamSpec, uri: str) -> bool:
        """Whether the server offers this resource or template, or would."""
        if self.resources is None:
            return self.tools.offers_rest(upstream)
        return self.resources.names(upstream, uri)

    def leaves_out_resource(self, upstream: UpstreamSpec, uri: str) -> bool:
        """Whether a resource is left out although it is one of a template that is offered."""
        return self.resources is not None and self.resources.leaves_out(upstream, uri)


def _glob(text: str) -> Pattern:
    namespace, _, what = text.partition("/")
    return compile_pattern(f"{namespace}/{what}", tags=False)


def _names(patterns: list[Pattern], upstream: UpstreamSpec, key: str) -> bool:
    return any(p.upstream(upstream.prefix) and p.what(key) for p in patterns)
