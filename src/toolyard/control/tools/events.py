"""What happens to tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from toolyard.control.base.facts import Fact


@dataclass(frozen=True, slots=True)
class ToolsObserved(Fact):
    """An upstream was seen to offer something else than before; the id is the upstream's."""

    publishes: ClassVar[bool] = False
    added: int
    changed: int
    gone: int


@dataclass(frozen=True, slots=True)
class ToolChanged(Fact):
    """What is said of a tool here was changed."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolForgotten(Fact):
    """A tool that its upstream offers no more was forgotten, with all that was said of it."""

    publishes: ClassVar[bool] = False
    name_of: str
