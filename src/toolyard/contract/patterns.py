"""The patterns by which a virtual server chooses tools: by name, or by tag."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Any, Final, NamedTuple

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import UpstreamSpec
from toolyard.contract.tags import NO_TAGS, operators_tags, own_tags

BY_TAG: Final = "tag:"
Match = Callable[[str], Any]


class Pattern(NamedTuple):
    """One pattern without its `!`. `what` matches a tool's name, or a tag if it goes `by_tag`; `whole` if it is about
    everything an upstream has."""

    upstream: Match
    what: Match
    by_tag: bool
    whole: bool

    def names(self, namespace: str, tool: str, tags: Iterable[str]) -> bool:
        """Whether it is about a tool that has these tags."""
        if not self.upstream(namespace):
            return False
        return any(self.what(tag) for tag in tags) if self.by_tag else bool(self.what(tool))

    def may_name_one_of(self, upstream: UpstreamSpec) -> bool:
        """Whether it is about anything an upstream may have, by what the operator says."""
        if not self.upstream(upstream.prefix) or not self.by_tag:
            return bool(self.upstream(upstream.prefix))
        given = (*upstream.tags, *(tag for rule in upstream.tools.values() for tag in rule.tags))
        return upstream.own_tags or any(self.what(tag) for tag in given)

    def tags_upstream(self, upstream: UpstreamSpec) -> bool:
        """Whether it goes by a tag that the operator gave to an upstream as a whole."""
        return self.by_tag and bool(self.upstream(upstream.prefix)) and any(self.what(tag) for tag in upstream.tags)


class Patterns:
    """The `tools` list of a virtual server: `namespace/tool` globs, `*` for all, `tag:TAG` and `namespace/tag:TAG` for
    what is tagged so, a leading `!` to leave out.

    A pattern that goes by name also offers the prompts and resources of the upstreams it names, one that goes by tag
    only those of upstreams that have the tag as a whole. What leaves out every tool of an upstream leaves out its
    prompts and resources too. Tags that an upstream gives always leave out what a `!tag:` names; they bring in
    something only where the operator lets them.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._include = [compile_pattern(p) for p in patterns if not p.startswith("!")]
        self._exclude = [compile_pattern(p[1:]) for p in patterns if p.startswith("!")]
        self._by_tag = any(p.by_tag for p in (*self._include, *self._exclude))

    def may_offer(self, upstream: UpstreamSpec) -> bool:
        """Whether the server may offer anything of this upstream."""
        return not self._leaves_out(upstream) and any(p.may_name_one_of(upstream) for p in self._include)

    def offers_rest(self, upstream: UpstreamSpec) -> bool:
        """Whether the server offers this upstream's prompts and resources."""
        if self._leaves_out(upstream):
            return False
        return any(p.tags_upstream(upstream) if p.by_tag else p.upstream(upstream.prefix) for p in self._include)

    def names_all(self, upstream: UpstreamSpec) -> bool:
        """Whether the server offers every tool of this upstream, as far as that is sure without looking at them."""
        if any(p.upstream(upstream.prefix) for p in self._exclude):
            return False
        return any(p.whole and p.upstream(upstream.prefix) for p in self._include)

    def names_tool(self, upstream: UpstreamSpec, definition: Json) -> bool:
        """Whether the server offers this tool."""
        name = definition["name"]
        given = operators_tags(upstream, name) if self._by_tag else NO_TAGS
        own = own_tags(definition) if self._by_tag else NO_TAGS
        if self._exclude and any(p.names(upstream.prefix, name, given | own) for p in self._exclude):
            return False
        counting = given | own if upstream.own_tags else given
        return any(p.names(upstream.prefix, name, counting) for p in self._include)

    def may_name_tool(self, upstream: UpstreamSpec, name: str) -> bool:
        """Whether the server would offer a tool of this name, whichever tags the upstream gave it."""
        given = operators_tags(upstream, name)
        if any(p.names(upstream.prefix, name, given) for p in self._exclude):
            return False
        any_tag = upstream.own_tags
        return any(
            p.names(upstream.prefix, name, given) or (any_tag and p.by_tag and p.upstream(upstream.prefix))
            for p in self._include
        )

    def _leaves_out(self, upstream: UpstreamSpec) -> bool:
        return any((p.whole and p.upstream(upstream.prefix)) or p.tags_upstream(upstream) for p in self._exclude)


def compile_pattern(text: str, *, tags: bool = True) -> Pattern:
    """The pattern that a text without `!` is; any text is one. Without `tags`, what looks like one is a name."""
    upstream, _, what = ("*", "", text) if tags and text.startswith(BY_TAG) else text.partition("/")
    by_tag = tags and what.startswith(BY_TAG)
    what = what.removeprefix(BY_TAG) if by_tag else what or "*"
    return Pattern(_matcher(upstream), _matcher(what), by_tag, not by_tag and what == "*")


def _matcher(glob: str) -> Match:
    return re.compile(translate(glob)).match
