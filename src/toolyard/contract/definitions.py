"""What a gateway has seen on an upstream: its definitions, content-addressed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import msgspec

Era = Literal["modern", "legacy"]
Json = dict[str, Any]
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True)
class Observation:
    """The definitions of one upstream at one moment. Dicts are as the upstream sent them, unknown fields kept; nobody
    changes them. `observed_at`: seconds since 1970. `ttl_ms`: how long the upstream said its lists stay fresh."""

    upstream_id: str
    era: Era
    revision: str
    server_info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    instructions: str | None
    tools: tuple[Json, ...]
    resources: tuple[Json, ...]
    resource_templates: tuple[Json, ...]
    prompts: tuple[Json, ...]
    observed_at: float
    ttl_ms: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many definitions there are."""
        return len(self.tools) + len(self.resources) + len(self.resource_templates) + len(self.prompts)

    @cached_property
    def tool_names(self) -> frozenset[str]:
        """What the upstream calls its tools."""
        return frozenset(tool["name"] for tool in self.tools)

    def digest(self) -> str:
        """SHA-256 of everything but the times, in hexadecimal: equal definitions have equal digests. Made once."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return _digest_of(self)

    def since(self, known: Observation | None) -> Observation:
        """The same, with the very definitions of the one before where nothing but the times has changed: what was made
        of them is good for these."""
        if known is None or known.digest() != self.digest():
            return self
        same = replace(known, observed_at=self.observed_at, ttl_ms=self.ttl_ms, warnings=self.warnings)
        same.__dict__["_digest"] = self._digest
        return same


def _digest_of(seen: Observation) -> str:
    content = [
        seen.era, seen.revision, seen.server_info, seen.capabilities, seen.instructions,
        seen.tools, seen.resources, seen.resource_templates, seen.prompts,
    ]  # fmt: skip
    try:
        text = _encode_sorted(content)
    except UnicodeEncodeError:  # half a surrogate pair: nothing that came over a wire has one
        text = json.dumps(content, sort_keys=True).encode("ascii")
    return hashlib.sha256(text).hexdigest()


def definition_digest(kind: str, definition: Mapping[str, Any]) -> str:
    """SHA-256 of one definition, in hexadecimal: the same for the same content."""
    try:
        text = _encode_sorted([kind, definition])
    except UnicodeEncodeError:
        text = json.dumps([kind, definition], sort_keys=True).encode("ascii")
    return hashlib.sha256(text).hexdigest()
