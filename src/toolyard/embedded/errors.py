"""What can be wrong with what an embedded Toolyard is asked for; everything else is the gateway's own."""

from __future__ import annotations

from toolyard.kit.errors import PlatformError


class ServiceExists(PlatformError):
    """There is a service of that name already."""

    code = "service_exists"
    status = 409


class ServiceInvalid(PlatformError):
    """This does not say what the service is: give a URL, a command, an entry of a configuration, or `mcpServers`."""

    code = "service_invalid"
    status = 400


class ServiceNotReady(PlatformError):
    """The service was not taken in: it could not be connected to."""

    code = "service_not_ready"
    status = 502


class ArgumentsInvalid(PlatformError):
    """The arguments do not fit the tool; it was not called."""

    code = "arguments_invalid"
    status = 400


class PermissionUnknown(PlatformError):
    """There is no such permission for an agent: there are `tools.call` and `upstreams.write`."""

    code = "permission_unknown"
    status = 400


class ToolyardClosed(PlatformError):
    """This Toolyard is not open: enter it with `with` (or `async with`), or call `start`; a closed one stays closed."""

    code = "toolyard_closed"
    status = 409
