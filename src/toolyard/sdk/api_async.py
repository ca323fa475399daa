"""The operations of the management API as methods that are awaited.

Made by docs/generate_sdk.py from the OpenAPI document. Change the routes, then run it again.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from typing import Literal

from toolyard.sdk import models
from toolyard.sdk.group import AsyncCaller, AsyncGroup
from toolyard.sdk.requests import Upload


class Access(AsyncGroup):
    """Operations of `access`."""

    async def check(self, given: models.Question) -> models.Answer:
        """Whether a member may do something."""
        answer: models.Answer = await self._caller.value("access_check", body=given)
        return answer


class Auth(AsyncGroup):
    """Operations of `auth`."""

    async def setup_state(self) -> models.SetupState:
        """Whether the first administrator has still to be made."""
        answer: models.SetupState = await self._caller.value("auth_setup_state")
        return answer

    async def setup(self, given: models.Setup) -> models.Account:
        """Make the first administrator, with the token of the set-up link."""
        answer: models.Account = await self._caller.value("auth_setup", body=given)
        return answer

    async def register(self, given: models.Registration) -> models.Account:
        """Make an account for yourself, where that is switched on."""
        answer: models.Account = await self._caller.value("auth_register", body=given)
        return answer

    async def login(self, given: models.LoginWanted, *, cookie: bool | None = None) -> models.LoginAnswer:
        """Log in with a password; with `cookie=true` for a browser."""
        answer: models.LoginAnswer = await self._caller.value("auth_login", query={"cookie": cookie}, body=given)
        return answer

    async def refresh(self, given: models.IdentityRefreshWanted) -> models.LoginAnswer:
        """Get a new access token and a new refresh token; the old refresh token ends."""
        answer: models.LoginAnswer = await self._caller.value("auth_refresh", body=given)
        return answer

    async def service_token(self, given: models.ServiceTokenWanted) -> models.TokenAnswer:
        """Get an access token for a service account."""
        answer: models.TokenAnswer = await self._caller.value("auth_service_token", body=given)
        return answer

    async def access_token(self, given: models.TokenWanted) -> models.TokenAnswer:
        """Get another access token for this login, also for another of your organizations."""
        answer: models.TokenAnswer = await self._caller.value("auth_access_token", body=given)
        return answer

    async def confirm_password(self, given: models.PasswordProof) -> models.PasswordProved:
        """Prove your password again, for what needs a recent proof."""
        answer: models.PasswordProved = await self._caller.value("auth_confirm_password", body=given)
        return answer

    async def change_password(self, given: models.PasswordChange) -> None:
        """Change your password; all your other logins end."""
        await self._caller.value("auth_change_password", body=given)

    async def me(self) -> models.Me:
        """Who you are, and what you may do in the organization of the request."""
        answer: models.Me = await self._caller.value("auth_me")
        return answer

    async def profile(self) -> models.Profile:
        """Your profile."""
        answer: models.Profile = await self._caller.value("auth_profile")
        return answer

    async def change_profile(self, given: models.ProfileChange) -> models.Profile:
        """Change your profile."""
        answer: models.Profile = await self._caller.value("auth_change_profile", body=given)
        return answer

    async def preferences(self) -> models.Preferences:
        """Your preferences."""
        answer: models.Preferences = await self._caller.value("auth_preferences")
        return answer

    async def change_preferences(self, given: models.PreferencesChange) -> models.Preferences:
        """Change your preferences."""
        answer: models.Preferences = await self._caller.value("auth_change_preferences", body=given)
        return answer

    async def logout(self) -> None:
        """End this login; its access tokens end with it."""
        await self._caller.value("auth_logout")

    async def logins(self) -> builtins.list[models.Login]:
        """Your logins that have not ended."""
        answer: builtins.list[models.Login] = await self._caller.value("auth_logins")
        return answer

    async def end_login(self, login_id: str) -> None:
        """End one of your logins."""
        await self._caller.value("auth_end_login", path={"login_id": login_id})

    async def end_other_logins(self) -> models.LoginsEnded:
        """End all your logins but this one."""
        answer: models.LoginsEnded = await self._caller.value("auth_end_other_logins")
        return answer


class Credentials(AsyncGroup):
    """Operations of `credentials`."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, sort: str | None = None, q: str | None = None
    ) -> models.ListedCredential:
        """List credentials: which there are and what uses them, never their values."""
        answer: models.ListedCredential = await self._caller.value(
            "credentials_list", query={"limit": limit, "cursor": cursor, "sort": sort, "q": q}
        )
        return answer

    def all(
        self, *, limit: int | None = None, sort: str | None = None, q: str | None = None
    ) -> AsyncIterator[models.Credential]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items("credentials_list", query={"limit": limit, "sort": sort, "q": q})

    async def get(self, name: str) -> models.Credential:
        """Show what a credential is used by, never its value."""
        answer: models.Credential = await self._caller.value("credentials_get", path={"name": name})
        return answer

    async def put(
        self, name: str, given: models.UpstreamsNewValue, *, if_match: str | None = None
    ) -> models.Credential:
        """Give a credential a value, whether there was one or not. Upstreams that use it have it at once."""
        answer: models.Credential = await self._caller.value(
            "credentials_put", path={"name": name}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, name: str) -> None:
        """Forget a credential that nothing uses."""
        await self._caller.value("credentials_delete", path={"name": name})


class Discovery(AsyncGroup):
    """Operations of `discovery`."""

    async def run(self, given: models.Search) -> models.DiscoveryAnswer:
        """Look for MCP servers on hosts, in the files of clients and on a registry.

        Each that was found says how it does; with `configure`, upstreams are made of those that are not failing."""
        answer: models.DiscoveryAnswer = await self._caller.value("discovery_run", body=given)
        return answer


class Files(AsyncGroup):
    """Operations of `files`."""

    async def upload(self, file: Upload, *, description: str | None = None) -> models.StoredFile:
        """Upload a file.

        `multipart/form-data` with one part called `file`, and `description` if wanted."""
        answer: models.StoredFile = await self._caller.value(
            "files_upload", file=file, body={"description": description}
        )
        return answer

    async def get(self, file_id: str) -> models.StoredFile:
        """Get what is known of a file."""
        answer: models.StoredFile = await self._caller.value("files_get", path={"file_id": file_id})
        return answer

    async def delete(self, file_id: str) -> None:
        """Delete a file."""
        await self._caller.value("files_delete", path={"file_id": file_id})

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        sort: str | None = None,
        q: str | None = None,
        media_type: str | None = None,
        uploaded_by: str | None = None,
    ) -> models.ListedStoredFile:
        """List uploaded files."""
        answer: models.ListedStoredFile = await self._caller.value(
            "files_list",
            query={
                "limit": limit,
                "cursor": cursor,
                "sort": sort,
                "q": q,
                "media_type": media_type,
                "uploaded_by": uploaded_by,
            },
        )
        return answer

    def all(
        self,
        *,
        limit: int | None = None,
        sort: str | None = None,
        q: str | None = None,
        media_type: str | None = None,
        uploaded_by: str | None = None,
    ) -> AsyncIterator[models.StoredFile]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items(
            "files_list",
            query={"limit": limit, "sort": sort, "q": q, "media_type": media_type, "uploaded_by": uploaded_by},
        )

    async def download(self, file_id: str) -> bytes:
        """Download a file."""
        answer: bytes = await self._caller.value("files_download", path={"file_id": file_id})
        return answer


class Gateways(AsyncGroup):
    """Operations of `gateways`."""

    async def list(self) -> models.GatewayList:
        """List the gateways and what each has in force."""
        answer: models.GatewayList = await self._caller.value("gateways_list")
        return answer


class Grants(AsyncGroup):
    """Operations of `grants`."""

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        sort: str | None = None,
        q: str | None = None,
        user_id: str | None = None,
    ) -> models.ListedGrant:
        """Permissions that were granted beside roles."""
        answer: models.ListedGrant = await self._caller.value(
            "grants_list", query={"limit": limit, "cursor": cursor, "sort": sort, "q": q, "user_id": user_id}
        )
        return answer

    def all(
        self, *, limit: int | None = None, sort: str | None = None, q: str | None = None, user_id: str | None = None
    ) -> AsyncIterator[models.Grant]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items("grants_list", query={"limit": limit, "sort": sort, "q": q, "user_id": user_id})

    async def create(self, given: models.NewGrant, *, idempotency_key: str | None = None) -> models.Grant:
        """Grant a member a permission, everywhere or on one resource."""
        answer: models.Grant = await self._caller.value("grants_create", body=given, idempotency_key=idempotency_key)
        return answer

    async def delete(self, grant_id: str) -> None:
        """Take a granted permission back."""
        await self._caller.value("grants_delete", path={"grant_id": grant_id})


class Imports(AsyncGroup):
    """Operations of `imports`."""

    async def run(self, given: models.ImportersImport) -> models.BulkResultImportedUpstream:
        """Register the MCP servers of another program's file, each with its own result.

        Those that run a program need the platform permission server.exec."""
        answer: models.BulkResultImportedUpstream = await self._caller.value("imports_run", body=given)
        return answer


class Keys(AsyncGroup):
    """Operations of `keys`."""

    async def create(
        self, server_id: str, given: models.NewKey, *, idempotency_key: str | None = None
    ) -> models.IssuedKey:
        """Make an API key for a virtual server.

        The answer shows the key, this once: what is stored cannot be turned into it."""
        answer: models.IssuedKey = await self._caller.value(
            "keys_create", path={"server_id": server_id}, body=given, idempotency_key=idempotency_key
        )
        return answer

    async def rotate(
        self, key_id: str, given: models.Rotation, *, idempotency_key: str | None = None
    ) -> models.IssuedKey:
        """Put a new API key in the place of another.

        The new one may do what the old one may; the old one is good for the grace, a day unless it is said."""
        answer: models.IssuedKey = await self._caller.value(
            "keys_rotate", path={"key_id": key_id}, body=given, idempotency_key=idempotency_key
        )
        return answer

    async def reveal(self, key_id: str) -> models.RevealedKey:
        """Show an API key again.

        Only where the platform has switched that on (`reveal_keys`) before the key was made, and to who has proved
        their password within the last five minutes. That it was shown is recorded."""
        answer: models.RevealedKey = await self._caller.value("keys_reveal", path={"key_id": key_id})
        return answer

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        sort: str | None = None,
        q: str | None = None,
        server_id: str | None = None,
        user_id: str | None = None,
        enabled: bool | None = None,
    ) -> models.ListedKey:
        """List the organization's API keys."""
        answer: models.ListedKey = await self._caller.value(
            "keys_list",
            query={
                "limit": limit,
                "cursor": cursor,
                "sort": sort,
                "q": q,
                "server_id": server_id,
                "user_id": user_id,
                "enabled": enabled,
            },
        )
        return answer

    def all(
        self,
        *,
        limit: int | None = None,
        sort: str | None = None,
        q: str | None = None,
        server_id: str | None = None,
        user_id: str | None = None,
        enabled: bool | None = None,
    ) -> AsyncIterator[models.Key]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items(
            "keys_list",
            query={
                "limit": limit,
                "sort": sort,
                "q": q,
                "server_id": server_id,
                "user_id": user_id,
                "enabled": enabled,
            },
        )

    async def get(self, key_id: str) -> models.Key:
        """Get what is known of an API key."""
        answer: models.Key = await self._caller.value("keys_get", path={"key_id": key_id})
        return answer

    async def update(self, key_id: str, given: models.KeyChange, *, if_match: str | None = None) -> models.Key:
        """Change what an API key may do, or switch it off and on."""
        answer: models.Key = await self._caller.value(
            "keys_update", path={"key_id": key_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, key_id: str, *, if_match: str | None = None) -> None:
        """Revoke an API key and forget it."""
        await self._caller.value("keys_delete", path={"key_id": key_id}, if_match=if_match)

    async def bulk(self, given: models.BulkKeys) -> models.BaseBulkResultBulkDone2:
        """Enable, disable, revoke or delete several API keys."""
        answer: models.BaseBulkResultBulkDone2 = await self._caller.value("keys_bulk", body=given)
        return answer

    async def revoke(self, key_id: str) -> models.Key:
        """Revoke an API key for good: within a second it opens nothing any more."""
        answer: models.Key = await self._caller.value("keys_revoke", path={"key_id": key_id})
        return answer


class Members(AsyncGroup):
    """Operations of `members`."""

    async def create(self, given: models.NewMember, *, idempotency_key: str | None = None) -> models.User:
        """Let somebody who has an account belong to the organization of the request too."""
        answer: models.User = await self._caller.value("members_create", body=given, idempotency_key=idempotency_key)
        return answer


class Organizations(AsyncGroup):
    """Operations of `organizations`."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, sort: str | None = None, q: str | None = None
    ) -> models.ListedOrganization:
        """All organizations."""
        answer: models.ListedOrganization = await self._caller.value(
            "organizations_list", query={"limit": limit, "cursor": cursor, "sort": sort, "q": q}
        )
        return answer

    def all(
        self, *, limit: int | None = None, sort: str | None = None, q: str | None = None
    ) -> AsyncIterator[models.Organization]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items("organizations_list", query={"limit": limit, "sort": sort, "q": q})

    async def create(self, given: models.NewOrganization, *, idempotency_key: str | None = None) -> models.Organization:
        """Make an organization."""
        answer: models.Organization = await self._caller.value(
            "organizations_create", body=given, idempotency_key=idempotency_key
        )
        return answer

    async def get(self, organization_id: str) -> models.Organization:
        """One organization."""
        answer: models.Organization = await self._caller.value(
            "organizations_get", path={"organization_id": organization_id}
        )
        return answer

    async def update(
        self, organization_id: str, given: models.OrganizationChange, *, if_match: str | None = None
    ) -> models.Organization:
        """Change an organization, or take it out of use."""
        answer: models.Organization = await self._caller.value(
            "organizations_change", path={"organization_id": organization_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, organization_id: str) -> None:
        """Remove an organization with all it has."""
        await self._caller.value("organizations_delete", path={"organization_id": organization_id})


class Permissions(AsyncGroup):
    """Operations of `permissions`."""

    async def list(self) -> builtins.list[models.KnownPermission]:
        """All that can be allowed."""
        answer: builtins.list[models.KnownPermission] = await self._caller.value("permissions_list")
        return answer


class PlatformSettings(AsyncGroup):
    """Operations of `platform_settings`."""

    async def list(self) -> models.ListedSetting:
        """List all settings and switches with their values."""
        answer: models.ListedSetting = await self._caller.value("platform_settings_list")
        return answer

    async def update(self, given: dict[str, models.JsonValue]) -> models.Changed:
        """Change several settings: all of them, or none."""
        answer: models.Changed = await self._caller.value("platform_settings_update", body=given)
        return answer

    async def reset(self, given: models.ResetWanted) -> models.Changed:
        """Give settings their defaults again."""
        answer: models.Changed = await self._caller.value("platform_settings_reset", body=given)
        return answer

    async def batch(self, given: models.Batch) -> models.BatchResult:
        """Change and reset several settings, each with its own result."""
        answer: models.BatchResult = await self._caller.value("platform_settings_batch", body=given)
        return answer

    async def export(self) -> models.SettingsExported:
        """Export what was changed."""
        answer: models.SettingsExported = await self._caller.value("platform_settings_export")
        return answer

    async def import_(self, given: models.SettingsImport) -> models.BatchResult:
        """Import settings from an export, each with its own result."""
        answer: models.BatchResult = await self._caller.value("platform_settings_import", body=given)
        return answer

    async def get(self, key: str) -> models.Setting:
        """Get a setting."""
        answer: models.Setting = await self._caller.value("platform_settings_get", path={"key": key})
        return answer

    async def set(self, key: str, given: models.SettingsNewValue, *, if_match: str | None = None) -> models.Setting:
        """Give a setting a value."""
        answer: models.Setting = await self._caller.value(
            "platform_settings_set", path={"key": key}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Give a setting its default again."""
        await self._caller.value("platform_settings_delete", path={"key": key}, if_match=if_match)


class PlatformUsers(AsyncGroup):
    """Operations of `platform_users`."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, sort: str | None = None, q: str | None = None
    ) -> models.ListedAccountWithPlaces:
        """All accounts, with the organizations that their owners belong to."""
        answer: models.ListedAccountWithPlaces = await self._caller.value(
            "platform_users_list", query={"limit": limit, "cursor": cursor, "sort": sort, "q": q}
        )
        return answer

    def all(
        self, *, limit: int | None = None, sort: str | None = None, q: str | None = None
    ) -> AsyncIterator[models.AccountWithPlaces]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items("platform_users_list", query={"limit": limit, "sort": sort, "q": q})

    async def create(self, given: models.NewAccount, *, idempotency_key: str | None = None) -> models.AccountWithPlaces:
        """Make an account, which belongs to no organization yet; perhaps of a platform administrator."""
        answer: models.AccountWithPlaces = await self._caller.value(
            "platform_users_create", body=given, idempotency_key=idempotency_key
        )
        return answer

    async def get(self, user_id: str) -> models.AccountWithPlaces:
        """One account."""
        answer: models.AccountWithPlaces = await self._caller.value("platform_users_get", path={"user_id": user_id})
        return answer

    async def update(
        self, user_id: str, given: models.AccountChange, *, if_match: str | None = None
    ) -> models.AccountWithPlaces:
        """Change an account; make somebody a platform administrator, or one no more."""
        answer: models.AccountWithPlaces = await self._caller.value(
            "platform_users_change", path={"user_id": user_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, user_id: str) -> None:
        """Remove an account."""
        await self._caller.value("platform_users_delete", path={"user_id": user_id})

    async def set_password(self, user_id: str, given: models.NewPassword) -> None:
        """Give somebody another password; all their logins end."""
        await self._caller.value("platform_users_set_password", path={"user_id": user_id}, body=given)


class Roles(AsyncGroup):
    """Operations of `roles`."""

    async def list(self) -> models.RoleList:
        """The built-in roles and the organization's own."""
        answer: models.RoleList = await self._caller.value("roles_list")
        return answer

    async def create(self, given: models.NewRole, *, idempotency_key: str | None = None) -> models.Role:
        """Make a role of the organization's own."""
        answer: models.Role = await self._caller.value("roles_create", body=given, idempotency_key=idempotency_key)
        return answer

    async def get(self, role_id: str) -> models.Role:
        """One role of the organization's own."""
        answer: models.Role = await self._caller.value("roles_get", path={"role_id": role_id})
        return answer

    async def update(self, role_id: str, given: models.RoleChange, *, if_match: str | None = None) -> models.Role:
        """Change what a role allows; whoever has it may do that from now on."""
        answer: models.Role = await self._caller.value(
            "roles_change", path={"role_id": role_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, role_id: str) -> None:
        """Remove a role that nobody has."""
        await self._caller.value("roles_delete", path={"role_id": role_id})


class Servers(AsyncGroup):
    """Operations of `servers`."""

    async def connection(self, server_id: str, *, name: str | None = None) -> models.ServerConnection:
        """Get a server's addresses, and what to copy into each client."""
        answer: models.ServerConnection = await self._caller.value(
            "servers_connection", path={"server_id": server_id}, query={"name": name}
        )
        return answer

    async def tools(
        self, server_id: str, *, limit: int | None = None, cursor: str | None = None, q: str | None = None
    ) -> models.OfferedTools:
        """List the tools that a virtual server offers, as its clients see them."""
        answer: models.OfferedTools = await self._caller.value(
            "servers_tools", path={"server_id": server_id}, query={"limit": limit, "cursor": cursor, "q": q}
        )
        return answer

    def all_tools(
        self, server_id: str, *, limit: int | None = None, q: str | None = None
    ) -> AsyncIterator[models.OfferedTool]:
        """Every item of `tools`, page after page. `limit` is the size of a page."""
        return self._caller.items("servers_tools", path={"server_id": server_id}, query={"limit": limit, "q": q})

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        sort: str | None = None,
        q: str | None = None,
        enabled: bool | None = None,
        owner: Literal["database", "file"] | None = None,
        code: str | None = None,
    ) -> models.ListedServer:
        """List virtual servers."""
        answer: models.ListedServer = await self._caller.value(
            "servers_list",
            query={
                "limit": limit,
                "cursor": cursor,
                "sort": sort,
                "q": q,
                "enabled": enabled,
                "owner": owner,
                "code": code,
            },
        )
        return answer

    def all(
        self,
        *,
        limit: int | None = None,
        sort: str | None = None,
        q: str | None = None,
        enabled: bool | None = None,
        owner: Literal["database", "file"] | None = None,
        code: str | None = None,
    ) -> AsyncIterator[models.Server]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items(
            "servers_list",
            query={"limit": limit, "sort": sort, "q": q, "enabled": enabled, "owner": owner, "code": code},
        )

    async def create(self, given: models.NewServer, *, idempotency_key: str | None = None) -> models.Server:
        """Make a virtual server.

        It offers what its patterns name, at a URL of its own, to who has one of its keys."""
        answer: models.Server = await self._caller.value("servers_create", body=given, idempotency_key=idempotency_key)
        return answer

    async def bulk(self, given: models.BulkServers) -> models.BaseBulkResultBulkDone1:
        """Enable, disable or delete several virtual servers."""
        answer: models.BaseBulkResultBulkDone1 = await self._caller.value("servers_bulk", body=given)
        return answer

    async def get(self, server_id: str) -> models.Server:
        """Get a virtual server."""
        answer: models.Server = await self._caller.value("servers_get", path={"server_id": server_id})
        return answer

    async def update(self, server_id: str, given: models.ServerChange, *, if_match: str | None = None) -> models.Server:
        """Change a virtual server.

        In force within a second, without a failed call of what has not changed."""
        answer: models.Server = await self._caller.value(
            "servers_update", path={"server_id": server_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, server_id: str, *, if_match: str | None = None) -> None:
        """Delete a virtual server and its keys."""
        await self._caller.value("servers_delete", path={"server_id": server_id}, if_match=if_match)

    async def keys(
        self,
        server_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        sort: str | None = None,
        q: str | None = None,
        user_id: str | None = None,
        enabled: bool | None = None,
    ) -> models.ListedKey:
        """List the API keys of a virtual server."""
        answer: models.ListedKey = await self._caller.value(
            "servers_keys",
            path={"server_id": server_id},
            query={"limit": limit, "cursor": cursor, "sort": sort, "q": q, "user_id": user_id, "enabled": enabled},
        )
        return answer

    def all_keys(
        self,
        server_id: str,
        *,
        limit: int | None = None,
        sort: str | None = None,
        q: str | None = None,
        user_id: str | None = None,
        enabled: bool | None = None,
    ) -> AsyncIterator[models.Key]:
        """Every item of `keys`, page after page. `limit` is the size of a page."""
        return self._caller.items(
            "servers_keys",
            path={"server_id": server_id},
            query={"limit": limit, "sort": sort, "q": q, "user_id": user_id, "enabled": enabled},
        )


class ServiceAccounts(AsyncGroup):
    """Operations of `service_accounts`."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, sort: str | None = None, q: str | None = None
    ) -> models.ListedServiceAccount:
        """The service accounts of the organization."""
        answer: models.ListedServiceAccount = await self._caller.value(
            "service_accounts_list", query={"limit": limit, "cursor": cursor, "sort": sort, "q": q}
        )
        return answer

    def all(
        self, *, limit: int | None = None, sort: str | None = None, q: str | None = None
    ) -> AsyncIterator[models.ServiceAccount]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items("service_accounts_list", query={"limit": limit, "sort": sort, "q": q})

    async def create(
        self, given: models.NewServiceAccount, *, idempotency_key: str | None = None
    ) -> models.ServiceAccount:
        """Make a service account; it gets in with secrets."""
        answer: models.ServiceAccount = await self._caller.value(
            "service_accounts_create", body=given, idempotency_key=idempotency_key
        )
        return answer

    async def get(self, user_id: str) -> models.ServiceAccount:
        """One service account."""
        answer: models.ServiceAccount = await self._caller.value("service_accounts_get", path={"user_id": user_id})
        return answer

    async def update(
        self, user_id: str, given: models.ServiceAccountChange, *, if_match: str | None = None
    ) -> models.ServiceAccount:
        """Change a service account's roles, tier or description; take it out of use."""
        answer: models.ServiceAccount = await self._caller.value(
            "service_accounts_change", path={"user_id": user_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, user_id: str) -> None:
        """Remove a service account with its secrets."""
        await self._caller.value("service_accounts_delete", path={"user_id": user_id})


class ServiceSecrets(AsyncGroup):
    """Operations of `service_secrets`."""

    async def list(self, user_id: str) -> builtins.list[models.SecretInfo]:
        """The secrets of a service account, without what is secret."""
        answer: builtins.list[models.SecretInfo] = await self._caller.value(
            "service_secrets_list", path={"user_id": user_id}
        )
        return answer

    async def create(
        self, user_id: str, given: models.NewSecret, *, idempotency_key: str | None = None
    ) -> models.SecretMade:
        """Make a secret for a service account; it is shown this once."""
        answer: models.SecretMade = await self._caller.value(
            "service_secrets_create", path={"user_id": user_id}, body=given, idempotency_key=idempotency_key
        )
        return answer

    async def delete(self, user_id: str, secret_id: str) -> None:
        """Void a secret, and the access tokens got with it."""
        await self._caller.value("service_secrets_delete", path={"user_id": user_id, "secret_id": secret_id})


class Settings(AsyncGroup):
    """Operations of `settings`."""

    async def list(self) -> models.ListedSetting:
        """List all settings and switches with their values."""
        answer: models.ListedSetting = await self._caller.value("settings_list")
        return answer

    async def update(self, given: dict[str, models.JsonValue]) -> models.Changed:
        """Change several settings: all of them, or none."""
        answer: models.Changed = await self._caller.value("settings_update", body=given)
        return answer

    async def reset(self, given: models.ResetWanted) -> models.Changed:
        """Give settings their defaults again."""
        answer: models.Changed = await self._caller.value("settings_reset", body=given)
        return answer

    async def batch(self, given: models.Batch) -> models.BatchResult:
        """Change and reset several settings, each with its own result."""
        answer: models.BatchResult = await self._caller.value("settings_batch", body=given)
        return answer

    async def export(self) -> models.SettingsExported:
        """Export what was changed."""
        answer: models.SettingsExported = await self._caller.value("settings_export")
        return answer

    async def import_(self, given: models.SettingsImport) -> models.BatchResult:
        """Import settings from an export, each with its own result."""
        answer: models.BatchResult = await self._caller.value("settings_import", body=given)
        return answer

    async def get(self, key: str) -> models.Setting:
        """Get a setting."""
        answer: models.Setting = await self._caller.value("settings_get", path={"key": key})
        return answer

    async def set(self, key: str, given: models.SettingsNewValue, *, if_match: str | None = None) -> models.Setting:
        """Give a setting a value."""
        answer: models.Setting = await self._caller.value(
            "settings_set", path={"key": key}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Give a setting its default again."""
        await self._caller.value("settings_delete", path={"key": key}, if_match=if_match)


class SigningKeys(AsyncGroup):
    """Operations of `signing_keys`."""

    async def list(self) -> models.SigningState:
        """Which keys sign and verify access tokens."""
        answer: models.SigningState = await self._caller.value("signing_keys_list")
        return answer

    async def rotate(self) -> models.SigningState:
        """Sign access tokens with a new key, in some seconds; those that are out hold until they expire."""
        answer: models.SigningState = await self._caller.value("signing_keys_rotate")
        return answer


class Switches(AsyncGroup):
    """Operations of `switches`."""

    async def get(self, key: str) -> models.SwitchState:
        """Ask whether something is on.

        `service.NAME` is a feature of your own, `tool.UPSTREAM/TOOL` a tool: that has to be there, too."""
        answer: models.SwitchState = await self._caller.value("switches_get", path={"key": key})
        return answer


class Tiers(AsyncGroup):
    """Operations of `tiers`."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, sort: str | None = None, q: str | None = None
    ) -> models.ListedTier:
        """The tiers of the organization."""
        answer: models.ListedTier = await self._caller.value(
            "tiers_list", query={"limit": limit, "cursor": cursor, "sort": sort, "q": q}
        )
        return answer

    def all(
        self, *, limit: int | None = None, sort: str | None = None, q: str | None = None
    ) -> AsyncIterator[models.Tier]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items("tiers_list", query={"limit": limit, "sort": sort, "q": q})

    async def create(self, given: models.NewTier, *, idempotency_key: str | None = None) -> models.Tier:
        """Make a tier."""
        answer: models.Tier = await self._caller.value("tiers_create", body=given, idempotency_key=idempotency_key)
        return answer

    async def get(self, tier_id: str) -> models.Tier:
        """One tier."""
        answer: models.Tier = await self._caller.value("tiers_get", path={"tier_id": tier_id})
        return answer

    async def update(self, tier_id: str, given: models.TierChange, *, if_match: str | None = None) -> models.Tier:
        """Change a tier's limits."""
        answer: models.Tier = await self._caller.value(
            "tiers_change", path={"tier_id": tier_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, tier_id: str) -> None:
        """Remove a tier that nobody has."""
        await self._caller.value("tiers_delete", path={"tier_id": tier_id})


class Tools(AsyncGroup):
    """Operations of `tools`."""

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        sort: str | None = None,
        q: str | None = None,
        kind: Literal["tool", "resource", "template", "prompt"] | None = None,
        upstream: str | None = None,
        enabled: bool | None = None,
        category: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        gone: bool | None = None,
    ) -> models.ListedTool:
        """List and search tools, resources and prompts."""
        answer: models.ListedTool = await self._caller.value(
            "tools_list",
            query={
                "limit": limit,
                "cursor": cursor,
                "sort": sort,
                "q": q,
                "kind": kind,
                "upstream": upstream,
                "enabled": enabled,
                "category": category,
                "tag": tag,
                "owner": owner,
                "gone": gone,
            },
        )
        return answer

    def all(
        self,
        *,
        limit: int | None = None,
        sort: str | None = None,
        q: str | None = None,
        kind: Literal["tool", "resource", "template", "prompt"] | None = None,
        upstream: str | None = None,
        enabled: bool | None = None,
        category: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        gone: bool | None = None,
    ) -> AsyncIterator[models.Tool]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items(
            "tools_list",
            query={
                "limit": limit,
                "sort": sort,
                "q": q,
                "kind": kind,
                "upstream": upstream,
                "enabled": enabled,
                "category": category,
                "tag": tag,
                "owner": owner,
                "gone": gone,
            },
        )

    async def stats(self) -> models.Stats:
        """Count tools, resources and prompts."""
        answer: models.Stats = await self._caller.value("tools_stats")
        return answer

    async def categories(self) -> builtins.list[models.Category]:
        """List the categories that tools are in."""
        answer: builtins.list[models.Category] = await self._caller.value("tools_categories")
        return answer

    async def export(self) -> models.ToolsExported:
        """Export what is said of tools here, for another place."""
        answer: models.ToolsExported = await self._caller.value("tools_export")
        return answer

    async def import_(self, given: models.ToImport) -> models.BulkResultTool:
        """Say of tools what was exported elsewhere, each with its own result."""
        answer: models.BulkResultTool = await self._caller.value("tools_import", body=given)
        return answer

    async def bulk_update(self, given: models.ToolsBulkChange) -> models.BulkResultChangeAnswer:
        """Change several tools in the same way (turn them on or off), each with its own result."""
        answer: models.BulkResultChangeAnswer = await self._caller.value("tools_bulk_update", body=given)
        return answer

    async def refresh(self, given: models.ToolsRefreshWanted) -> models.BulkResultRefreshed:
        """Have gateways open upstreams anew and look at what they offer; calls in flight end on the old connection."""
        answer: models.BulkResultRefreshed = await self._caller.value("tools_refresh", body=given)
        return answer

    async def get(self, tool_id: str) -> models.ToolDetail:
        """Show a tool with its definition."""
        answer: models.ToolDetail = await self._caller.value("tools_get", path={"tool_id": tool_id})
        return answer

    async def update(
        self, tool_id: str, given: models.ChangedTool, *, if_match: str | None = None
    ) -> models.ChangeAnswer:
        """Change what is said of a tool. It is in force without anything being restarted."""
        answer: models.ChangeAnswer = await self._caller.value(
            "tools_update", path={"tool_id": tool_id}, body=given, if_match=if_match
        )
        return answer

    async def forget(self, tool_id: str, *, if_match: str | None = None) -> None:
        """Forget a tool that its upstream offers no more, with all that was said of it."""
        await self._caller.value("tools_forget", path={"tool_id": tool_id}, if_match=if_match)

    async def documentation(self, tool_id: str) -> str:
        """Show a tool's documentation, made of its definition, as Markdown."""
        answer: str = await self._caller.value("tools_documentation", path={"tool_id": tool_id})
        return answer

    async def validate(self, tool_id: str, given: models.Arguments) -> models.ArgumentsChecked:
        """Check whether arguments fit a tool's schema, without calling it."""
        answer: models.ArgumentsChecked = await self._caller.value(
            "tools_validate", path={"tool_id": tool_id}, body=given
        )
        return answer


class Upstreams(AsyncGroup):
    """Operations of `upstreams`."""

    async def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        sort: str | None = None,
        q: str | None = None,
        kind: Literal["mcp-http", "mcp-sse", "mcp-stdio", "websocket", "native"] | None = None,
        enabled: bool | None = None,
        name: str | None = None,
    ) -> models.ListedUpstream:
        """List upstreams."""
        answer: models.ListedUpstream = await self._caller.value(
            "upstreams_list",
            query={
                "limit": limit,
                "cursor": cursor,
                "sort": sort,
                "q": q,
                "kind": kind,
                "enabled": enabled,
                "name": name,
            },
        )
        return answer

    def all(
        self,
        *,
        limit: int | None = None,
        sort: str | None = None,
        q: str | None = None,
        kind: Literal["mcp-http", "mcp-sse", "mcp-stdio", "websocket", "native"] | None = None,
        enabled: bool | None = None,
        name: str | None = None,
    ) -> AsyncIterator[models.Upstream]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items(
            "upstreams_list",
            query={"limit": limit, "sort": sort, "q": q, "kind": kind, "enabled": enabled, "name": name},
        )

    async def create(self, given: models.NewUpstream, *, idempotency_key: str | None = None) -> models.Upstream:
        """Register an upstream.

        Its configuration and what it depends on are looked at first; warnings are in the answer. One that runs a
        program needs the platform permission server.exec, and runs only once it is approved."""
        answer: models.Upstream = await self._caller.value(
            "upstreams_create", body=given, idempotency_key=idempotency_key
        )
        return answer

    async def get(self, upstream_id: str) -> models.Upstream:
        """Show an upstream with its state."""
        answer: models.Upstream = await self._caller.value("upstreams_get", path={"upstream_id": upstream_id})
        return answer

    async def update(
        self, upstream_id: str, given: models.ChangedUpstream, *, if_match: str | None = None
    ) -> models.Upstream:
        """Change an upstream. Another program, or the same in other surroundings, has to be approved anew."""
        answer: models.Upstream = await self._caller.value(
            "upstreams_update", path={"upstream_id": upstream_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, upstream_id: str, *, if_match: str | None = None) -> None:
        """Remove an upstream, with its tools and its own credentials."""
        await self._caller.value("upstreams_delete", path={"upstream_id": upstream_id}, if_match=if_match)

    async def look(self, upstream_id: str) -> models.CheckResult:
        """Look at an upstream's configuration and what it depends on."""
        answer: models.CheckResult = await self._caller.value("upstreams_look", path={"upstream_id": upstream_id})
        return answer

    async def log(self, upstream_id: str) -> builtins.list[models.UpstreamLog]:
        """Show the last lines that an upstream wrote, as gateways told them."""
        answer: builtins.list[models.UpstreamLog] = await self._caller.value(
            "upstreams_log", path={"upstream_id": upstream_id}
        )
        return answer

    async def check(self, given: models.NewUpstream) -> models.CheckResult:
        """Look at an upstream without registering it."""
        answer: models.CheckResult = await self._caller.value("upstreams_check", body=given)
        return answer

    async def bulk_create(self, given: builtins.list[models.NewUpstream]) -> models.BulkResultUpstream:
        """Register several upstreams, each with its own result."""
        answer: models.BulkResultUpstream = await self._caller.value("upstreams_bulk_create", body=given)
        return answer

    async def bulk_update(self, given: builtins.list[models.UpstreamsBulkChange]) -> models.BulkResultUpstream:
        """Change several upstreams, each with its own result."""
        answer: models.BulkResultUpstream = await self._caller.value("upstreams_bulk_update", body=given)
        return answer

    async def bulk_delete(self, given: builtins.list[str]) -> models.BulkResultStr:
        """Remove several upstreams by their ids, each with its own result."""
        answer: models.BulkResultStr = await self._caller.value("upstreams_bulk_delete", body=given)
        return answer

    async def start(self, upstream_id: str) -> models.Upstream:
        """Have an upstream started."""
        answer: models.Upstream = await self._caller.value("upstreams_start", path={"upstream_id": upstream_id})
        return answer

    async def stop(self, upstream_id: str) -> models.Upstream:
        """Have an upstream stopped: its calls in flight end, and nothing new reaches it."""
        answer: models.Upstream = await self._caller.value("upstreams_stop", path={"upstream_id": upstream_id})
        return answer

    async def restart(self, upstream_id: str) -> models.Upstream:
        """Have an upstream opened anew and looked at; the old connection or process ends with its last call."""
        answer: models.Upstream = await self._caller.value("upstreams_restart", path={"upstream_id": upstream_id})
        return answer

    async def approve(self, upstream_id: str, *, if_match: str | None = None) -> models.Upstream:
        """Let the program of an upstream run, exactly as it is now."""
        answer: models.Upstream = await self._caller.value(
            "upstreams_approve", path={"upstream_id": upstream_id}, if_match=if_match
        )
        return answer

    async def test(self, given: models.NewUpstream) -> models.TryResult:
        """Have gateways try an upstream before it is saved: ask for the result by the id in the answer.

        Only upstreams that are reached by URL are tried."""
        answer: models.TryResult = await self._caller.value("upstreams_test", body=given)
        return answer

    async def test_result(self, try_id: str) -> models.TryResult:
        """Show what came of a try."""
        answer: models.TryResult = await self._caller.value("upstreams_test_result", path={"try_id": try_id})
        return answer


class Users(AsyncGroup):
    """Operations of `users`."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, sort: str | None = None, q: str | None = None
    ) -> models.ListedUser:
        """The people of the organization."""
        answer: models.ListedUser = await self._caller.value(
            "users_list", query={"limit": limit, "cursor": cursor, "sort": sort, "q": q}
        )
        return answer

    def all(
        self, *, limit: int | None = None, sort: str | None = None, q: str | None = None
    ) -> AsyncIterator[models.User]:
        """Every item of `list`, page after page. `limit` is the size of a page."""
        return self._caller.items("users_list", query={"limit": limit, "sort": sort, "q": q})

    async def create(self, given: models.NewUser, *, idempotency_key: str | None = None) -> models.User:
        """Make an account for somebody, who belongs to the organization."""
        answer: models.User = await self._caller.value("users_create", body=given, idempotency_key=idempotency_key)
        return answer

    async def get(self, user_id: str) -> models.User:
        """One person of the organization."""
        answer: models.User = await self._caller.value("users_get", path={"user_id": user_id})
        return answer

    async def update(self, user_id: str, given: models.UserChange, *, if_match: str | None = None) -> models.User:
        """Change somebody's roles and tier, or the account where it is managed here."""
        answer: models.User = await self._caller.value(
            "users_change", path={"user_id": user_id}, body=given, if_match=if_match
        )
        return answer

    async def delete(self, user_id: str) -> None:
        """Take somebody out of the organization; an account that is managed here is removed."""
        await self._caller.value("users_delete", path={"user_id": user_id})

    async def set_password(self, user_id: str, given: models.NewPassword) -> None:
        """Give somebody another password; all their logins end."""
        await self._caller.value("users_set_password", path={"user_id": user_id}, body=given)


class AsyncApi:
    """All groups of operations."""

    def __init__(self, caller: AsyncCaller) -> None:
        self.access = Access(caller)
        self.auth = Auth(caller)
        self.credentials = Credentials(caller)
        self.discovery = Discovery(caller)
        self.files = Files(caller)
        self.gateways = Gateways(caller)
        self.grants = Grants(caller)
        self.imports = Imports(caller)
        self.keys = Keys(caller)
        self.members = Members(caller)
        self.organizations = Organizations(caller)
        self.permissions = Permissions(caller)
        self.platform_settings = PlatformSettings(caller)
        self.platform_users = PlatformUsers(caller)
        self.roles = Roles(caller)
        self.servers = Servers(caller)
        self.service_accounts = ServiceAccounts(caller)
        self.service_secrets = ServiceSecrets(caller)
        self.settings = Settings(caller)
        self.signing_keys = SigningKeys(caller)
        self.switches = Switches(caller)
        self.tiers = Tiers(caller)
        self.tools = Tools(caller)
        self.upstreams = Upstreams(caller)
        self.users = Users(caller)
