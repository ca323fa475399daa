"""What happens to files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from toolyard.control.base.facts import Fact


@dataclass(frozen=True, slots=True)
class FileUploaded(Fact):
    """A file is there."""

    publishes: ClassVar[bool] = False
    label: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FileRemoved(Fact):
    """A file is gone."""

    publishes: ClassVar[bool] = False
    label: str
