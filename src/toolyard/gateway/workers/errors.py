"""What can go wrong between the workers of one gateway."""

from __future__ import annotations

from toolyard.kit.errors import PlatformError


class WorkerAway(PlatformError):
    """The gateway's process that this belongs to is not there at the moment. Nothing was done: try again."""

    code = "worker_away"
    status = 503


class WorkerLost(PlatformError):
    """The gateway's process that worked on this ended. Whether it took effect is not known."""

    code = "worker_lost"
    status = 502


class WorkerFailed(PlatformError):
    """Something went wrong in the gateway's process that this belongs to; its log says what."""

    code = "worker_failed"
    status = 500


class FrameTooLarge(PlatformError):
    """A message between the gateway's processes is larger than may be sent."""

    code = "frame_too_large"
    status = 502
