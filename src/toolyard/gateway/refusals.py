"""What the server refuses before any handler runs. `closes` says whether the connection may live on afterwards."""

from __future__ import annotations

import json
from typing import ClassVar

from toolyard.gateway.call import Answer
from toolyard.kit.errors import PlatformError


class WireRefusal(PlatformError):
    """The request is refused."""

    code: ClassVar[str] = "request_refused"
    status: ClassVar[int] = 400
    closes: ClassVar[bool] = True
    headers: tuple[tuple[str, str], ...] = ()


class RequestMalformed(WireRefusal):
    """This is not a well-formed HTTP/1.1 request."""

    code = "request_malformed"


class VersionUnsupported(WireRefusal):
    """Only HTTP/1.1 and HTTP/1.0 are spoken here."""

    code = "http_version_unsupported"
    status = 505


class TransferCodingUnsupported(WireRefusal):
    """The only transfer coding understood here is chunked."""

    code = "transfer_coding_unsupported"
    status = 501


class TargetTooLong(WireRefusal):
    """The request target is longer than allowed."""

    code = "target_too_long"
    status = 414


class HeadersTooLarge(WireRefusal):
    """The request's header fields are larger or more than allowed."""

    code = "headers_too_large"
    status = 431


class BodyTooLarge(WireRefusal):
    """The request's body is larger than allowed."""

    code = "body_too_large"
    status = 413


class RequestTimedOut(WireRefusal):
    """The request did not arrive in time."""

    code = "request_timed_out"
    status = 408


class HostRefused(WireRefusal):
    """This gateway does not serve that host name: set the public URL or the allowed hosts."""

    code = "host_refused"
    status = 421


class OriginRefused(WireRefusal):
    """Pages of that origin may not use this gateway."""

    code = "origin_refused"
    status = 403


class ExpectationUnknown(WireRefusal):
    """The only expectation understood here is 100-continue."""

    code = "expectation_unknown"
    status = 417


class ContentEncodingUnsupported(WireRefusal):
    """Send the body without content encoding."""

    code = "content_encoding_unsupported"
    status = 415


class MediaTypeUnsupported(WireRefusal):
    """Send the body as application/json in UTF-8."""

    code = "media_type_unsupported"
    status = 415
    closes = False


class RouteUnknown(WireRefusal):
    """There is nothing at this path."""

    code = "not_found"
    status = 404
    closes = False


class MethodRefused(WireRefusal):
    """This path does not take that method."""

    code = "method_not_allowed"
    status = 405
    closes = False


class UpgradeNeeded(WireRefusal):
    """This path speaks WebSocket only."""

    code = "upgrade_required"
    status = 426
    closes = False
    headers = (("upgrade", "websocket"),)


class TooManyConnections(WireRefusal):
    """There are as many connections as there may be."""

    code = "too_many_connections"
    status = 503
    headers = (("retry-after", "1"),)


class Overloaded(WireRefusal):
    """The gateway has more to do than it can."""

    code = "overloaded"
    status = 503
    closes = False
    headers = (("retry-after", "1"),)


class ShuttingDown(PlatformError):
    """The gateway is shutting down; the call was given up."""

    code = "shutting_down"
    status = 503


class Failed(PlatformError):
    """Something went wrong in the gateway; the request id finds it in the log."""

    code = "internal_error"
    status = 500


def error_answer(error: PlatformError, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """The plain HTTP answer for `error`: its status and a small JSON object with code and message."""
    body = json.dumps({"error": {"code": error.code, "message": error.message}}, ensure_ascii=False).encode()
    return Answer(error.status, body, headers)
