"""What a gateway has seen on an upstream: its definitions, content-addressed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Era = Literal["modern", "legacy"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
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

    def digest(self) -> str:
        """SHA-256 of everything but the time, in hexadecimal: equal definitions have equal digests."""
        content = [
            self.era, self.revision, dict(self.server_info), dict(self.capabilities), self.instructions,
            self.tools, self.resources, self.resource_templates, self.prompts,
        ]  # fmt: skip
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
