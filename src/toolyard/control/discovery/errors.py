"""What can go wrong when MCP servers are looked for."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Forbidden, Invalid


class DiscoveryOff(Forbidden):
    """Looking for MCP servers is switched off here (the switch `discovery`)."""

    code: ClassVar[str] = "discovery_off"


class RegistryUnusable(Invalid):
    """The registry could not be read, or does not answer as registries do."""

    code: ClassVar[str] = "registry_unusable"
