"""What failures of a connection mean for an upstream that is spoken to over sockets. Texts name it by its id only."""

from __future__ import annotations

from toolyard.gateway.upstream.channel import ChannelClosed
from toolyard.gateway.upstream.errors import (
    UpstreamError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from toolyard.net.errors import BadResponse, DeadlineExceeded, EgressDenied, Incomplete, NetError, TooLarge

REFUSING_STATUSES = frozenset({401, 403})


def opening_failure(upstream_id: str, error: NetError) -> UpstreamError:
    """The connection could not be made, so nothing has run."""
    failure = _opening_failure(f"Upstream {upstream_id!r}", error)
    failure.may_have_run = False
    return failure


def sending_failure(upstream_id: str, error: NetError) -> UpstreamError:
    """One message could not be delivered; whether it arrived all the same, `error.sent` says."""
    name = f"Upstream {upstream_id!r}"
    failure: UpstreamError
    if not error.sent:
        failure = UpstreamUnreachable(f"{name} cannot be reached.")
    elif isinstance(error, DeadlineExceeded):
        failure = UpstreamTimedOut(f"{name} did not take the message in time.")
    else:
        failure = UpstreamIncomplete(f"{name} broke off while it took the message.")
    failure.may_have_run = error.sent
    return failure


def channel_end(error: NetError, *, may_have_sent: bool = False) -> ChannelClosed:
    """An open channel broke, perhaps while a message was being sent."""
    if isinstance(error, TooLarge):
        return ChannelClosed("it sent a message larger than is allowed", UpstreamTooLarge, may_have_sent=may_have_sent)
    return ChannelClosed("the connection broke", may_have_sent=may_have_sent)


def status_failure(upstream_id: str, status: int) -> UpstreamError:
    """An HTTP status that is not the expected one."""
    name = f"Upstream {upstream_id!r}"
    if status in REFUSING_STATUSES:
        return UpstreamRefused(f"{name} refused the gateway's credentials.", http_status=status)
    return UpstreamInvalid(f"{name} answered with HTTP status {status}.", http_status=status)


def _opening_failure(name: str, error: NetError) -> UpstreamError:
    if isinstance(error, EgressDenied):
        return UpstreamUnreachable(f"{name} is at an address that its configuration does not allow.")
    if isinstance(error, DeadlineExceeded):
        return UpstreamTimedOut(f"{name} did not open the connection in time.")
    if isinstance(error, BadResponse):
        if error.context.get("http_status") in REFUSING_STATUSES:
            return UpstreamRefused(f"{name} refused the gateway's credentials.")
        return UpstreamInvalid(f"{name} did not open the connection as it should.")
    if isinstance(error, Incomplete):
        return UpstreamIncomplete(f"{name} broke off the opening of the connection.")
    return UpstreamUnreachable(f"{name} cannot be reached.")
