"""What can go wrong on the way out. `sent` says whether the request may have reached the peer."""

from __future__ import annotations

from typing import ClassVar

from toolyard.kit.errors import PlatformError


class NetError(PlatformError):
    """The connection failed."""

    code: ClassVar[str] = "net_failed"
    status: ClassVar[int] = 502

    def __init__(self, message: str | None = None, *, sent: bool = False, **context: object) -> None:
        super().__init__(message, **context)
        self.sent = sent


class InvalidUrl(NetError):
    """The URL cannot be used."""

    code = "invalid_url"
    status = 400


class Unsendable(NetError):
    """The request has characters that HTTP does not allow there."""

    code = "unsendable"
    status = 400


class EgressDenied(NetError):
    """The address is not one that may be connected to."""

    code = "egress_denied"


class Unreachable(NetError):
    """The peer cannot be reached."""

    code = "unreachable"


class TlsRefused(Unreachable):
    """A TLS connection that can be trusted could not be made."""

    code = "tls_refused"


class ConnectTimedOut(NetError):
    """The peer did not accept a connection in time."""

    code = "connect_timeout"
    status = 504


class DeadlineExceeded(NetError):
    """The peer did not answer in time."""

    code = "deadline_exceeded"
    status = 504


class Incomplete(NetError):
    """The peer's answer broke off. `answered` says whether any byte of an answer had come."""

    code = "incomplete"
    repeated: bool = False
    """The request had been sent a second time."""

    def __init__(self, message: str | None = None, *, sent: bool = True, answered: bool = True) -> None:
        super().__init__(message, sent=sent)
        self.answered = answered


class TooLarge(NetError):
    """The peer's answer is larger than allowed."""

    code = "too_large"


class BadResponse(NetError):
    """The peer's answer is not HTTP that is understood here."""

    code = "bad_response"
