"""What can go wrong with tools."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Conflict, Invalid


class ToolStillOffered(Conflict):
    """Its upstream offers this now: turn it off instead of forgetting it."""

    code: ClassVar[str] = "tool_still_offered"


class NoArguments(Invalid):
    """Only tools take arguments that can be checked."""

    code: ClassVar[str] = "no_arguments"


class OwnerUnknown(Invalid):
    """There is nobody with that id in this organization."""

    code: ClassVar[str] = "owner_unknown"
