"""Bindings: tools, prompts and resources as a virtual server exposes them."""

from __future__ import annotations

from dataclasses import dataclass

from toolyard.contract.definitions import Json
from toolyard.contract.snapshot import TaskRule


@dataclass(frozen=True, slots=True)
class ToolTasks:
    """What a tool has to do with tasks: the operator's `rule`, whether its upstream may make tasks itself, and whether
    it can be called only as a task of 2025-11-25, which is not offered."""

    rule: TaskRule
    upstream_makes: bool
    old_only: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """One tool or prompt as one virtual server exposes it. `definition` is what clients see; it carries the exposed
    name. `namespace` is its upstream's."""

    exposed_name: str
    upstream_id: str
    upstream_name: str
    definition: Json
    timeout_s: float
    tasks: ToolTasks | None = None
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class ResourceBinding:
    """One resource or resource template; `key` is its URI or URI template, unchanged. `literal` is what every URI of a
    template begins with: most templates are told by it to be another's, at a tenth of the cost of matching."""

    key: str
    upstream_id: str
    definition: Json
    timeout_s: float
    literal: str = ""
