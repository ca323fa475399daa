"""What can go wrong with organizations, people and logins."""

from __future__ import annotations

from typing import ClassVar

from toolyard.control.base.errors import Conflict, Forbidden, Invalid, NotFound, NotLoggedIn, Taken, TooManyRequests


class WrongCredentials(NotLoggedIn):
    """User name or password are not right."""

    code: ClassVar[str] = "wrong_credentials"


class LoginDelayed(TooManyRequests):
    """Too many failed logins to this account from here: wait before the next one."""

    code: ClassVar[str] = "login_delayed"


class RefreshRefused(NotLoggedIn):
    """This refresh token does not hold: log in again."""

    code: ClassVar[str] = "refresh_refused"


class NoOrganization(Forbidden):
    """You belong to no organization that is enabled."""

    code: ClassVar[str] = "no_organization"


class RegistrationClosed(Forbidden):
    """Nobody can register here by themselves: ask an administrator for an account."""

    code: ClassVar[str] = "registration_closed"


class EmailTaken(Taken):
    """There is an account with this e-mail address already."""

    code: ClassVar[str] = "email_taken"
    status: ClassVar[int] = 400


class UsernameTaken(Taken):
    """There is an account with this user name already."""

    code: ClassVar[str] = "username_taken"


class SetupDone(Conflict):
    """There is an administrator already: setting up is over."""

    code: ClassVar[str] = "setup_done"


class SetupTokenWrong(NotLoggedIn):
    """This is not the token of the set-up link that was printed at the start."""

    code: ClassVar[str] = "setup_token_wrong"


class PlatformAdminProtected(Forbidden):
    """Only a platform administrator may see or change a platform administrator."""

    code: ClassVar[str] = "platform_admin_protected"


class LastPlatformAdmin(Conflict):
    """There would be no platform administrator left."""

    code: ClassVar[str] = "last_platform_admin"


class AccountNotYours(Forbidden):
    """This account is not your organization's alone: only its place in your organization can be changed."""

    code: ClassVar[str] = "account_not_managed_here"


class OrganizationUnknown(NotFound):
    """There is no organization with that id."""


class UserUnknown(NotFound):
    """There is no user with that id."""


class LoginUnknown(NotFound):
    """There is no login with that id."""


class SecretUnknown(NotFound):
    """There is no secret with that id."""


class DefaultOrganization(Conflict):
    """The default organization stays: it cannot be disabled or removed."""

    code: ClassVar[str] = "default_organization"


class SlugReserved(Invalid):
    """This name is reserved."""

    code: ClassVar[str] = "slug_reserved"


class RoleUnknown(Invalid):
    """There is no role of that name here."""

    code: ClassVar[str] = "role_unknown"


class TierUnknown(Invalid):
    """There is no tier of that name here."""

    code: ClassVar[str] = "tier_unknown"


class MoreThanOwn(Forbidden):
    """Nobody can give others what they may not do themselves."""

    code: ClassVar[str] = "more_than_own"


class AlreadyMember(Taken):
    """This user belongs to the organization already."""

    code: ClassVar[str] = "already_member"


class TooManySecrets(Conflict):
    """This service account has as many secrets as it can: remove one first."""

    code: ClassVar[str] = "too_many_secrets"
