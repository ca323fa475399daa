"""What can go wrong in every slice."""

from __future__ import annotations

from typing import ClassVar

from toolyard.kit.errors import PlatformError


class NotFound(PlatformError):
    """There is nothing with that id here."""

    code: ClassVar[str] = "not_found"
    status: ClassVar[int] = 404


class Taken(PlatformError):
    """Something with that name exists already."""

    code: ClassVar[str] = "name_taken"
    status: ClassVar[int] = 409


class Conflict(PlatformError):
    """This cannot be done as long as other things are as they are."""

    code: ClassVar[str] = "conflict"
    status: ClassVar[int] = 409


class Invalid(PlatformError):
    """A value is not one that can be taken."""

    code: ClassVar[str] = "invalid"
    status: ClassVar[int] = 422


class Unkeepable(Invalid):
    """A text or number in this cannot be kept: it is too large, or has characters that are none."""


class BodyTooLarge(PlatformError):
    """The body of this request is larger than any that is taken here."""

    code: ClassVar[str] = "body_too_large"
    status: ClassVar[int] = 413


class VersionOutdated(PlatformError):
    """It has been changed meanwhile: read it again and repeat the change."""

    code: ClassVar[str] = "version_outdated"
    status: ClassVar[int] = 412


class NotLoggedIn(PlatformError):
    """This needs a login: send an access token as `Authorization: Bearer …`."""

    code: ClassVar[str] = "not_logged_in"
    status: ClassVar[int] = 401


class Forbidden(PlatformError):
    """Your roles do not allow this."""

    code: ClassVar[str] = "forbidden"
    status: ClassVar[int] = 403


class CsrfRefused(PlatformError):
    """A change with a cookie needs the login's token in the header `toolyard-csrf` and must come from our own pages."""

    code: ClassVar[str] = "csrf_refused"
    status: ClassVar[int] = 403


class TooManyRequests(PlatformError):
    """Too many requests of this kind: wait a little and try again."""

    code: ClassVar[str] = "rate_limited"
    status: ClassVar[int] = 429


class IdempotencyKeyReused(PlatformError):
    """This idempotency key came with another request before: use a new one for each creation."""

    code: ClassVar[str] = "idempotency_key_reused"
    status: ClassVar[int] = 422


class DatabaseBusy(PlatformError):
    """The database has no time for this now: try again in a moment."""

    code: ClassVar[str] = "database_busy"
    status: ClassVar[int] = 503
    retry_after_s = 1.0


class DatabaseUnavailable(PlatformError):
    """The database cannot be reached: changes are not possible until it can. Calls go on."""

    code: ClassVar[str] = "database_unavailable"
    status: ClassVar[int] = 503
    retry_after_s = 2.0


class StorageFull(PlatformError):
    """The disk with the database is full: nothing was changed. Make room and try again; calls go on."""

    code: ClassVar[str] = "storage_full"
    status: ClassVar[int] = 507


class ReadOnlyHere(PlatformError):
    """This is described in the configuration file and can only be changed there."""

    code: ClassVar[str] = "owned_by_file"
    status: ClassVar[int] = 409


class RouteUndeclared(PlatformError):
    """A route of the management API does not declare what every route must declare."""

    code: ClassVar[str] = "route_undeclared"
