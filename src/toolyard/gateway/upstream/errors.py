"""What can go wrong with an upstream. `reason` is stable and goes to the caller; addresses and secrets never do."""

from __future__ import annotations

from typing import ClassVar

from toolyard.kit.errors import PlatformError


class UpstreamError(PlatformError):
    """The upstream could not answer."""

    code: ClassVar[str] = "upstream_failed"
    status: ClassVar[int] = 502
    may_have_run: bool = True
    """False only where the request provably never reached the upstream, so that it may be tried again."""


class UpstreamUnreachable(UpstreamError):
    """The upstream cannot be reached."""

    code = "upstream_unreachable"
    may_have_run = False


class UpstreamStopped(UpstreamUnreachable):
    """The upstream was stopped by its operator."""

    code = "upstream_stopped"
    status = 503


class UpstreamTimedOut(UpstreamError):
    """The upstream did not answer in time."""

    code = "upstream_timeout"
    status = 504


class WaitedTooLong(UpstreamTimedOut):
    """The call's time was up while it waited for a place; the upstream was not asked."""

    code = "waited_too_long"
    may_have_run = False


class UpstreamIncomplete(UpstreamError):
    """The upstream's answer broke off."""

    code = "upstream_incomplete"
    repeated: bool = False
    """The request has been sent a second time already."""


class UpstreamInvalid(UpstreamError):
    """The upstream's answer is not valid MCP."""

    code = "upstream_invalid"


class UpstreamTooLarge(UpstreamError):
    """The upstream's answer is larger than allowed."""

    code = "upstream_too_large"


class UpstreamExited(UpstreamError):
    """The upstream's process ended while it was working on the call."""

    code = "upstream_exited"


class UpstreamRefused(UpstreamError):
    """The upstream refused the gateway's credentials."""

    code = "upstream_refused"


class UpstreamBusy(UpstreamError):
    """All of the upstream's connections or processes are in use."""

    code = "upstream_busy"
    status = 503
    may_have_run = False


class UpstreamLost(UpstreamError):
    """The gateway's process that keeps the upstream ended while it worked on the call. Whether the call took effect is
    not known."""

    code = "upstream_lost"
